"""Tests of a profile at a site: sbatch's own, and a job that checks what a node sees."""

import json
import os
import shlex
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from ..identity import KINDS, Kind
from ..store.records import Store
from . import ledger
from .batch_script import make_executor, stage_name
from .code_snapshot import take_snapshot
from .commands import SlurmError, command
from .profile import Profile
from .sbatch_options import flags

WAIT_S = 120
TEST_S = 20.0
NOT_OF_SRUN = {"begin", "hold", "get-user-env", "ignore-pbs", "batch", "chdir"}
SCRIPT = """
import json, os, sys
root, data, place, note = sys.argv[1:]
found = {"host": os.uname().nodename, "data": os.path.isdir(data), "store": os.path.isdir(root)}
from sarbench.bench.slurm.code_snapshot import running_digest
found["code"] = running_digest()
import torch
found["gpus"] = torch.cuda.device_count()
if found["store"]:
    with open(os.path.join(place, note), "w") as file:
        file.write("seen")
print(json.dumps(found))
"""


def refusals(profile: Profile, store: Store) -> Iterator[tuple[Kind, str]]:
    """Yield each stage with the reason for which `sbatch --test-only` refuses a job of it.

    Nothing is submitted.
    """
    place = ledger.folder(store) / "doctor"
    for stage in KINDS:
        allocation = profile.allocation(stage)
        made = make_executor(profile, allocation, place, place, name=stage_name("doctor", stage))
        with tempfile.NamedTemporaryFile("w", suffix=".sh") as script:
            script.write(made.text(1))
            script.flush()
            try:
                command("sbatch", "--test-only", script.name, timeout_s=TEST_S)
            except SlurmError as error:
                yield stage, str(error).removeprefix("sbatch failed: ")


def check_node(store: Store, data: Path, profile: Profile) -> list[tuple[str, bool, str]]:
    """Run the test as a job of the pretraining stage; return (name, passed, text) of each check."""
    allocation = profile.allocation("pretrain")
    code, digest = take_snapshot(ledger.folder(store))
    note = f"probe-{os.getpid()}"
    words = [
        "srun", "--ntasks=1", f"--immediate={WAIT_S}", "--time=5", "--job-name=sarbench-doctor",
        f"--cpus-per-task={allocation.cpus}", f"--mem={allocation.memory}",
    ]  # fmt: skip
    for name in ("partition", "account", "qos", "constraint"):
        if value := getattr(allocation, name):
            words.append(f"--{name}={value}")
    if allocation.exclude:
        words.append("--exclude=" + ",".join(allocation.exclude))
    if allocation.gpus_per_node:
        words.append(f"--gpus-per-node={allocation.gpus_per_node}")
    for name, value in flags(allocation.sbatch or {}).items():
        if name not in NOT_OF_SRUN:
            words.append(f"--{name}" if value is True else f"--{name}={value}")
    arguments = str(store.root), str(data.resolve()), str(ledger.folder(store)), note
    python = f"{profile.command(sys.executable)} {shlex.join(['-c', SCRIPT, *arguments])}"
    path = f"PYTHONPATH={shlex.quote(str(code))}${{PYTHONPATH:+:$PYTHONPATH}}"
    script = "; ".join(
        [*(allocation.setup or []), f"export {path} PYTHONSAFEPATH=1", python]
    )  # the launcher may use the variables too
    try:
        text = command(*words, "bash", "-c", script, timeout_s=WAIT_S * 2.0)
        found = json.loads(text.strip().splitlines()[-1])
    except (SlurmError, ValueError, IndexError) as error:
        return [("job", False, f"the test job did not run: {error}")]
    marker = ledger.folder(store) / note
    end = time.monotonic() + 10
    while not marker.exists() and time.monotonic() < end:
        time.sleep(0.5)
    shared = found["store"] and marker.exists()
    marker.unlink(missing_ok=True)
    wants_gpu = profile.resources("pretrain").device.startswith("cuda")
    node = found["host"]
    return [
        ("job: store", shared, f"{node} {'sees' if shared else 'DOES NOT see'} {store.root}"),
        ("job: data", found["data"] or not data.exists(),
         f"{node} {'sees' if found['data'] else 'does not see'} {data.resolve()}"),
        ("job: code", found["code"] == digest, f"{node} runs the submitted code"),
        ("job: GPU", found["gpus"] > 0 or not wants_gpu, f"{node} has {found['gpus']} GPUs"),
    ]  # fmt: skip
