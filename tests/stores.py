"""Stores written by tests: the records of a grid with chosen scores, as if it had been run."""

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path

import numpy as np
import torch
from chips import write_pool
from commands import Sarbench
from filelock import FileLock, Timeout
from safetensors.numpy import save

from sarbench.bench.data.chips import Chips
from sarbench.bench.data.names import split_name
from sarbench.bench.data.prepare import prepare
from sarbench.bench.data.set_descriptions import write_description
from sarbench.bench.data.sources import synthetic
from sarbench.bench.evaluation.run_writer import RunWriter
from sarbench.bench.grid.expand import PlannedPretraining, PlannedRun
from sarbench.bench.grid.schema import read_grid
from sarbench.bench.method_facts.method_info import describe
from sarbench.bench.plan.plan import Plan, make_plan, needs
from sarbench.bench.store.atomic import file_digest, npz
from sarbench.bench.store.records import Store
from sarbench.protocols._support_sets import support_digest, support_set
from sarbench.protocols._types import Predictions
from sarbench.results.class_metrics import class_scores
from sarbench.results.record import Attempt, PretrainRecord, Provenance, RunRecord

# A grid whose pool is a folder of images; formatted with the protocols and the rest.
_GRID = """
name = "{name}"
methods = {methods}
[pretrain]
seeds = 3
pool = ["folder:pool"]
encoder = "vit_nano"
recipe = "quick"
batch = 4
[evaluate]
datasets = ["synthetic"]
{evaluate}
[evaluate.protocols]
{protocols}
"""

# Returns the correctly classified test chips of a run; None for a failed run, MISSING for none.
Right = Callable[[PlannedRun, np.ndarray], "np.ndarray | None"]
MISSING = np.zeros(0, bool)
FAILED = Attempt(
    failure="RuntimeError", message="broken <b>on purpose</b>", traceback="...", host="h",
    time="2026-01-02T03:04:05+00:00",
)  # fmt: skip


def provenance(wall_s: float = 1.0) -> Provenance:
    return Provenance(
        commit="0123456789abcdef", dirty=False, versions={"python": "3"}, host="host",
        device="cpu", threads=1, started="2026-01-02T03:04:05+00:00", wall_s=wall_s, gpu_s=0,
        peak_memory_mb=100,
    )  # fmt: skip


class Shared:
    """Folders of a test session; `conftest.py` sets them."""

    session: Path  # the same for all processes of xdist
    process: Path


GENERATE = synthetic.generate


def synthetic_sets() -> Path:
    """Return a folder with the packed synthetic sets, made once in a session; only read it."""
    return _packed(synthetic.generate)


def link_synthetic(store: Store) -> None:
    """Link the packed synthetic sets into a store; a test replaces a file of it, or copies it."""
    shutil.copytree(synthetic_sets(), store.prepared, copy_function=_link, dirs_exist_ok=True)


def _link(source: str, target: str) -> None:
    with suppress(FileExistsError):
        os.link(source, target)


def pooled_grid(
    name: str,
    methods: list[str],
    evaluate: str = "seeds = 3",
    protocols: str = 'linear = [5]\nknn = ["all"]',
) -> str:
    """Return a grid with three pretraining seeds and the pool of `chips.write_pool`."""
    return _GRID.format(
        name=name, methods=json.dumps(methods), evaluate=evaluate, protocols=protocols
    )


@cache
def _packed(generate: Callable[..., object]) -> Path:
    """Return the sets of one simulator; a test may replace `synthetic.generate` for its process."""
    shared = generate is GENERATE
    folder = Shared.session / "synthetic" if shared else Shared.process / f"sets-{id(generate)}"
    # Two processes make one each: what another one is making comes last.
    locks = {pool: FileLock(f"{folder}-{pool}.lock") for pool in (False, True)}
    for pool in sorted(locks, key=lambda pool: not _free(locks[pool])):
        with locks[pool]:
            prepare("synthetic", folder, folder, pool=pool)
    return folder


def _free(lock: FileLock) -> bool:
    """Take a lock for a moment, if no process holds it."""
    try:
        with lock.acquire(timeout=0):
            return True
    except Timeout:
        return False


def planned(grid: Path, runs: Path) -> tuple[Plan, Store]:
    """Prepare what the grid reads and plan it."""
    store, read = Store(runs), read_grid(grid)
    link_synthetic(store)
    for given in needs(read, describe(read.method_names(), runs)):
        name, pool = split_name(given)
        prepared = prepare(name, runs / "data", store.prepared, pool=pool)
        write_description(runs, given, prepared.chips, prepared.summary)
    return make_plan(read, store, runs / "data"), store


def fill(
    grid: Path, runs: Path, right: Right | None, fails: Callable[[str], bool] = lambda m: False
):
    """Write a record for every pretraining and run of a grid; return the plan made before.

    Without `right` the runs have drawn scores of all classes.
    """
    plan, store = planned(grid, runs)
    chips = {
        name: prepare(name, runs / "data", store.prepared).chips
        for name in plan.grid.evaluate.datasets
    }
    for entry in plan.pretrain:
        start = entry.planned
        if fails(start.method):
            store.write_attempt("pretrain", start.identity.key, FAILED)
        else:
            write_start(store, start)
    for entry in plan.runs:
        if not fails(entry.planned.pretraining.method):
            given = store, entry.planned, chips[entry.planned.dataset]
            write_run(*given, right) if right else write_scored_run(*given)
    return plan


def encoder_file(identity: dict) -> bytes:
    """Return the smallest file of weights with the identity of its pretraining."""
    metadata = {"pretraining": json.dumps(identity, sort_keys=True)}
    return save({"weight": np.zeros(1, np.float32)}, metadata=metadata)


def write_start(store: Store, start: PlannedPretraining) -> None:
    folder = store.folder("pretrain", start.identity.key)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "encoder.safetensors").write_bytes(encoder_file(start.identity.to_json()))
    store.write("pretrain", pretrain_record(start))


def weights_digest(start: PlannedPretraining) -> str:
    return hashlib.sha256(encoder_file(start.identity.to_json())).hexdigest()


def pretrain_record(start: PlannedPretraining) -> PretrainRecord:
    return PretrainRecord(
        key=start.identity.key, identity=start.identity.to_json(), provenance=provenance(60.0),
        weights_digest=weights_digest(start), steps=10, images_per_s=100.0,
        final_loss=0.5, feature_spread=0.3,
    )  # fmt: skip


def labelled(run: PlannedRun, chips: Chips) -> tuple[int, str]:
    """Return number and digest of the labelled chips of a run."""
    train = np.flatnonzero(~chips.is_test)
    ids, labels = chips.ids[train], chips.labels[train]
    chosen = support_set(chips.split_digest, run.seed, ids, labels, run.shots)
    return len(chosen), support_digest(ids[chosen])


def write_run(store: Store, run: PlannedRun, chips: Chips, right: Right) -> None:
    labels = chips.labels[chips.is_test]
    correct = right(run, labels)
    if correct is MISSING:
        return
    if correct is None:
        store.write_attempt("evaluate", run.identity.key, FAILED)
        return
    classes = np.where(correct, labels, (labels + 1) % len(chips.classes)).astype(np.int16)
    path = store.folder("evaluate", run.identity.key) / "predictions.npz"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(npz(classes=classes, scores=np.ones(len(classes), np.float32)))
    start, (count, support) = run.pretraining, labelled(run, chips)
    store.write("evaluate", RunRecord(
        key=run.identity.key, identity=run.identity.to_json(), provenance=provenance(),
        weights_digest=weights_digest(start),
        **class_scores(labels, classes, len(chips.classes)),
        train_count=count, test_count=len(labels),
        support_digest=support,
        predictions_digest=file_digest(path),
    ))  # fmt: skip


def write_scored_run(store: Store, run: PlannedRun, chips: Chips, warn=print) -> RunRecord:
    """Write a run with drawn scores of all classes, as `sarbench run` writes one."""
    labels, name = chips.labels[chips.is_test], run.pretraining.method
    draw = np.random.default_rng([run.seed, run.pretraining.seed, len(name)])
    logits = draw.normal(size=(len(labels), len(chips.classes)))
    logits[np.arange(len(labels)), labels] += 0.2 * len(name)
    train = np.flatnonzero(~chips.is_test)
    ids, known = chips.ids[train], chips.labels[train]
    chosen = support_set(chips.split_digest, run.seed, ids, known, run.shots)
    writer = RunWriter(chips, store, weights_digest(run.pretraining), warn)
    predictions = Predictions.of_logits(torch.from_numpy(logits))
    return writer.write(run.identity, chosen, predictions, provenance())


def share(level: float, seed: int, size: int) -> np.ndarray:
    """Return a mask of correct chips: a share of all, the same chips first for every method."""
    order = np.random.default_rng(0).permutation(size)
    count = round((level + 0.004 * np.sin(seed)) * size)
    correct = np.zeros(size, bool)
    correct[order[:count]] = True
    return correct


def filled_store(folder: Path, text: str, right: Right) -> Sarbench:
    """Return the commands on a grid of `pooled_grid` whose store has made-up results."""
    data = folder / "runs" / "data"
    write_pool(data)
    sarbench = Sarbench(folder, text, SARBENCH_DATA=str(data))
    fill(sarbench.grid, sarbench.runs, right)
    return sarbench
