"""Everything that needs a GPU: the tests marked `gpu`, then times of training and evaluation.

Run: make gpu, or python tests/benchmarks/bench_gpu.py [STEP ...]; `--list` prints the steps.
It needs no network. Each step is a process of its own and ends within 9 minutes. Results are
written after every step to results/gpu/<date>-<device>.json and .md. Without a GPU it says so and
exits with status 2.

SARJEPA_REFERENCE names a checkout of waterdisappear/SAR-JEPA to be timed on the same GPU.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from sarbench.methods import get, names

ROOT = Path(__file__).parent.parent.parent
LIMIT_S = 540
METHODS = [name for name in names() if get(name).trains]
PAPER = ["mae", "lomar", "i_jepa", "fg_mae", "sar_hog", "pgga", "sar_jepa"]  # bundled grid `paper`
STEPS = [
    "tests", "reference", *(f"pretrain:{name}" for name in ["sar_jepa", *METHODS]), "attention",
    "few_shot", *(f"evaluate:{name}" for name in PAPER),
]  # fmt: skip
STEPS = list(dict.fromkeys(STEPS))
REFERENCE = "SARJEPA_REFERENCE"


def test_step() -> dict[str, Any]:
    """Run the tests marked `gpu`; return their counts and the lines of failures."""
    command = [sys.executable, "-m", "pytest", "-m", "gpu", "-rfEs", "--tb=short"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    counts = {
        kind: int(count)
        for count, kind in re.findall(r"(\d+) (passed|failed|error|skipped)", done.stdout[-4000:])
    }
    seen = [line for line in done.stdout.splitlines() if re.match("FAILED|ERROR|SKIPPED", line)]
    print(done.stdout[-20000:], done.stderr[-4000:])
    if done.returncode and not counts:
        raise RuntimeError(f"pytest ended with status {done.returncode}: {done.stderr[-500:]}")
    return {"status": done.returncode, **counts, "lines": seen}


def measure(step: str) -> dict[str, Any]:
    """Do one step in this process."""
    import gpu_evaluation
    import gpu_steps

    kind, _, name = step.partition(":")
    if kind == "tests":
        return test_step()
    if kind == "reference":
        checkout = os.environ.get(REFERENCE)
        if not checkout:
            return {"skipped": f"{REFERENCE} names no checkout of waterdisappear/SAR-JEPA"}
        return gpu_steps.reference(Path(checkout))
    if kind == "pretrain":
        return gpu_steps.pretrain_step(name)
    if kind == "attention":
        return gpu_steps.attention()
    if kind == "few_shot":
        return gpu_evaluation.few_shot_seeds()
    return gpu_evaluation.evaluate(name)


def in_process(step: str, folder: Path) -> dict[str, Any]:
    """Do one step in a new process; return what it measured, or the reason why not."""
    out = folder / "step.json"
    out.unlink(missing_ok=True)
    command = [sys.executable, __file__, "--only", step, "--out", str(out)]
    began = time.monotonic()
    try:
        status = subprocess.run(command, cwd=ROOT, timeout=LIMIT_S).returncode
        found = json.loads(out.read_text()) if out.exists() else {"failed": f"status {status}"}
    except subprocess.TimeoutExpired:
        found = {"failed": f"took longer than {LIMIT_S} s"}
    out.unlink(missing_ok=True)
    return found | {"wall_s": round(time.monotonic() - began, 1)}


def table(results: dict[str, Any]) -> str:
    """Return the results as Markdown."""
    lines = [f"# {results['device']}, {results['date']}, torch {results['torch']}", ""]
    steps = results["steps"]
    rows = [(step.partition(":")[2], found) for step, found in steps.items() if ":" in step]
    trained = [(name, found) for name, found in rows if "step_ms" in found]
    if trained:
        lines += [
            "| ViT-B, bf16 | batch | ms a step | not compiled | chips/s | TFLOP/s | of the peak | "
            "GiB | reference |",
            "|---|--:|--:|--:|--:|--:|--:|--:|--:|",
        ]
    reference = steps.get("reference", {}).get("chips_per_s")
    for name, found in trained:
        peak = "-" if found["peak_share"] is None else f"{found['peak_share']:.0%}"
        times = "-"
        if reference and name == "sar_jepa":
            times = f"{found['chips_per_s'] / reference:.1f} times as fast"
        lines.append(
            f"| {name} | {found['batch']} | {found['step_ms']:.1f} | {found['eager_ms']:.1f} | "
            f"{found['chips_per_s']:.0f} | {found['tflops']:.0f} | {peak} | "
            f"{found['memory_gib']:.1f} | {times} |"
        )
    evaluated = [found for _, found in rows if "runs" in found]
    if evaluated:
        runs, minutes = sum(f["runs"] for f in evaluated), sum(f["wall_s"] for f in evaluated) / 60
        lines += ["", f"Evaluation: {runs} runs in {minutes:.1f} minutes (the paper: 1,260)."]
    for step, found in steps.items():
        short = {name: value for name, value in found.items() if name != "traceback"}
        lines += ["", f"**{step}**: `{json.dumps(short)}`"]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Run the steps and write what they measured."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("steps", nargs="*", metavar="STEP", help="default: all")
    parser.add_argument("--list", action="store_true", help="print the steps")
    parser.add_argument("--only", help=argparse.SUPPRESS)
    parser.add_argument("--out", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.list:
        print(*STEPS, sep="\n")
        return
    if unknown := set(given.steps) - set(STEPS):
        parser.error(f"unknown step {sorted(unknown)[0]!r}; `--list` prints all")  # status 2
    if not torch.cuda.is_available():
        print("torch sees no GPU on this machine; run it on one that has a GPU", file=sys.stderr)
        raise SystemExit(2)
    if given.only:
        try:
            found = measure(given.only)
        except Exception as error:  # the other steps run
            import traceback

            traceback.print_exc()
            found = {"failed": f"{type(error).__name__}: {error}"[:500]}
        Path(given.out).write_text(json.dumps(found))
        return
    device, now = torch.cuda.get_device_name(), datetime.now(UTC)
    folder = ROOT / "results" / "gpu"
    folder.mkdir(exist_ok=True)
    stem = f"{now:%Y-%m-%d-%H%M}-{re.sub('[^A-Za-z0-9]+', '-', device)}"
    results = {
        "device": device, "date": f"{now:%Y-%m-%d %H:%M} UTC", "torch": torch.__version__,
        "steps": {},
    }  # fmt: skip
    for step in given.steps or STEPS:
        print(f"== {step}", flush=True)
        results["steps"][step] = in_process(step, folder)
        print(json.dumps(results["steps"][step]), flush=True)
        (folder / f"{stem}.json").write_text(json.dumps(results, indent=1) + "\n")
        (folder / f"{stem}.md").write_text(table(results))
    print(f"written: results/gpu/{stem}.json and .md")
    broken = [
        step for step, found in results["steps"].items() if found.get("status") or "failed" in found
    ]
    if broken:
        raise SystemExit(f"failed: {', '.join(broken)}")


if __name__ == "__main__":
    main()
