"""Time of plan, table, statistics and report from many records, next to the goals.

The store belongs to a real grid, with the keys that `run` would give. Scores are drawn.

    python tests/benchmarks/bench_results.py [--records 10000] [--folder DIR]
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

GRID = """
name = "many"
methods = ["mae", "lomar", "i_jepa", "fg_mae", "sar_hog", "pgga", "sar_jepa"]
[pretrain]
pool = ["folder:pool"]
encoder = "vit_nano"
recipe = "quick"
epochs = {epochs}
batch = 4
[evaluate]
datasets = ["synthetic"]
seeds = 10
[evaluate.protocols]
linear = [5, 10, 20, 40]
knn = [5, 10, 20, 40]
"""
PER_EPOCH = 7 * 8 * 10  # runs that one swept value adds
GOALS_S = {
    "plan": 2.0,
    "table": 5.0,
    "compare": 10.0,
    "report": 30.0,
    "check": 10.0,
}  # from 10,000 records; 1 GB each
MOST_PREDICTIONS = 11_000  # a store of more records has no files for the rest


def build(folder: Path, records: int) -> int:
    """Write the grid and its store; return the number of records.

    Its imports are here: a process that holds torch would count as the memory of its children.
    """
    import numpy as np
    from chips import write_pool
    from scipy.special import log_softmax
    from stores import Shared, encoder_file, labelled, planned, pretrain_record, provenance

    from sarbench.bench.data.prepare import prepare
    from sarbench.bench.store.atomic import file_digest, npz
    from sarbench.bench.store.run_predictions import to_store
    from sarbench.protocols import PROTOCOLS
    from sarbench.results.class_metrics import class_scores
    from sarbench.results.metric import OF_SCORES, run_of, score_values
    from sarbench.results.record import RunRecord

    Shared.session = Shared.process = folder / "packed"
    Shared.session.mkdir()
    grid, runs = folder / "many.toml", folder / "runs"
    values = list(range(1, max(2, round(records / PER_EPOCH)) + 1))
    grid.write_text(GRID.format(epochs=values))
    write_pool(runs / "data")
    plan, store = planned(grid, runs)
    chips = prepare("synthetic", runs / "data", store.prepared).chips
    labels = chips.labels[chips.is_test]
    draw, weights = np.random.default_rng(0), {}
    for entry in plan.pretrain:
        record = pretrain_record(entry.planned)
        weights[record.key] = record.weights_digest
        target = store.folder("pretrain", record.key)
        write(target, record)
        (target / "encoder.safetensors").write_bytes(encoder_file(record.identity))
    made, drawn = None, {}
    for number, entry in enumerate(plan.runs):
        identity = entry.planned.identity
        target = store.folder("evaluate", identity.key)
        target.mkdir(parents=True)
        if number < MOST_PREDICTIONS or made is None:
            wrong = draw.random(len(labels)) > draw.uniform(0.5, 0.9)
            classes = np.where(wrong, (labels + 1) % 10, labels).astype(np.int16)
            path = target / "predictions.npz"
            drawn_scores = draw.normal(size=(len(labels), 10)).astype(np.float32)
            drawn_scores[np.arange(len(labels)), classes] = 3
            stored = to_store(classes, log_softmax(drawn_scores, axis=1))
            path.write_bytes(npz(**stored))
            scores = class_scores(labels, classes, len(chips.classes))
            known = PROTOCOLS[identity.protocol].probabilities
            run = run_of(labels, **stored, names=chips.classes, has_probabilities=known)
            metrics = score_values(run, OF_SCORES.values(), has_probabilities=known)
            made = scores | {"predictions_digest": file_digest(path), "metrics": metrics}
        place = identity.shots, identity.seed
        drawn[place] = drawn.get(place) or labelled(entry.planned, chips)
        write(target, RunRecord(
            key=identity.key, identity=identity.to_json(), provenance=provenance(),
            weights_digest=weights[identity.start], train_count=drawn[place][0],
            test_count=len(labels), support_digest=drawn[place][1], **made,
        ))  # fmt: skip
    return len(plan.runs)


def write(folder: Path, record) -> None:
    """Write a record without syncing it, which a benchmark's store does not need."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "record.json").write_text(record.model_dump_json(indent=1) + "\n")


def measure(name: str, words: list[str], environment: dict[str, str]) -> None:
    """Run a command and print its wall and processor seconds, and its peak of memory."""
    start = time.perf_counter()
    command = [sys.executable, "-m", "sarbench.bench.cli", *words]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    goal_s = GOALS_S.get(name)
    goal = f"goal {goal_s:.0f} s per 10,000 records" if goal_s else ""
    print(f"{name:11} {time.perf_counter() - start:7.1f} s wall "
          f"{usage.ru_utime + usage.ru_stime:7.1f} s processor {usage.ru_maxrss / 1024:6.0f} MB  "
          f"{goal}")  # fmt: skip


def main() -> None:
    """Build the store and measure each command once."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--records", type=int, default=10_000)
    parser.add_argument("--folder", type=Path, help="keep the store here, or use the one there")
    parser.add_argument("--build", action="store_true", help="only make the store")
    options = parser.parse_args()
    if options.build:
        print(f"{build(options.folder, options.records)} records made")
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / "many.toml").exists():
            subprocess.run(
                [sys.executable, __file__, "--records", str(options.records), "--folder",
                 str(folder), "--build"], check=True,
            )  # fmt: skip
        words = [str(folder / "many.toml"), "--runs", str(folder / "runs")]
        data = str(folder / "runs" / "data")
        environment = os.environ | {"OMP_NUM_THREADS": "1", "SARBENCH_DATA": data}
        measure("plan", ["plan", *words], environment)
        measure("table", ["table", *words, "--json"], environment)
        if options.records <= MOST_PREDICTIONS:
            measure("table auc", ["table", *words, "--metric", "auc", "--json"], environment)
            measure("check", ["check", str(folder / "runs")], environment)
            rows = ["MAE, epochs 1", "SAR-JEPA, epochs 1"]
            measure("compare", ["compare", words[0], *rows, *words[1:]], environment)
            archive = str(folder / "many.zip")
            measure("archive", ["archive", *words, "--no-scores", "--replace", "--out", archive],
                    environment)  # fmt: skip
            measure("table of it", ["table", archive, "--json"], environment)
            measure("report", ["report", *words, "--out", str(folder / "report"),
                               "--no-encoders"], environment)  # fmt: skip


if __name__ == "__main__":
    main()
