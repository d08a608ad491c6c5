"""Runs of one job at once, in a pool of workers over the GPUs of its node."""

import pytest
from small_pretrainings import identity_of

from sarbench.bench.execution import local_pool
from sarbench.bench.execution.job import Event
from sarbench.bench.identity import Job, Resources, Run
from sarbench.bench.pretraining.claim import Interrupted
from sarbench.bench.slurm.commands import NO_SITE
from sarbench.bench.slurm.job_arrays import limits_of
from sarbench.bench.slurm.job_pool import Started, execute_in_pool, parts, resources_of
from sarbench.bench.slurm.profile import parse_profile
from sarbench.bench.store.records import Store

START = identity_of("raw_pixels", None, encoder=None, pool=[])


def run(protocol: str, shots: int, seed: int, condition: str | None = None) -> Run:
    return Run(START.key, "m", "d", "x", "y", protocol, 1, {}, shots, seed, condition)


def test_each_worker_gets_heads_of_each_kind_and_seeds_that_train_together_stay_together():
    runs = [run("finetune", 5, seed) for seed in range(4)]
    runs += [run("finetune", 5, seed, "shift:4") for seed in range(4)]
    runs += [run("few_shot", shots, seed) for shots in (1, 5) for seed in range(3)]
    first, second = parts(Job("M", START, [], runs), 2)
    assert {one.key for one in (*first.runs, *second.runs)} == {one.key for one in runs}
    for part in (first, second):
        kinds = [(one.protocol, one.shots, one.seed, one.condition) for one in part.runs]
        heads = {(p, k, s) for p, k, s, _ in kinds}
        assert len({s for p, _, s in heads if p == "finetune"}) == 2
        assert all((p, k, s, "shift:4") in kinds for p, k, s in heads if p == "finetune")
        assert len({k for p, k, _ in heads if p == "few_shot"}) == 1
        assert len([k for p, k, _ in heads if p == "few_shot"]) == 3
    assert len(parts(Job("M", START, [], runs[:1]), 4)) == 1


def test_workers_take_turns_at_the_gpus():
    found = resources_of(Resources("cuda:0", threads=2), 2, 4)
    assert [one.device for one in found] == ["cuda:0", "cuda:1", "cuda:0", "cuda:1"]
    assert resources_of(Resources("cuda:0"), 0, 2) == [Resources("cuda:0")] * 2  # a part of a GPU
    assert resources_of(Resources("cpu"), 0, 2) == [Resources("cpu")] * 2


def test_a_job_of_runs_has_the_cores_and_the_work_of_all_its_workers():
    profile = parse_profile({"cpus": 3, "gpus": 4, "runs_per_gpu": 2, "evaluate": {"gpus": 2}}, "p")
    assert (profile.workers("evaluate"), profile.workers("pretrain")) == (4, 1)
    assert profile.allocation("evaluate").cpus == 12
    assert profile.allocation("pretrain").cpus == 3
    one = limits_of(parse_profile({}, "p"), NO_SITE)
    assert limits_of(profile, NO_SITE).pack_s == 4 * one.pack_s


def test_the_work_in_progress_is_that_of_all_workers():
    started = Started()
    assert started.after(Event("started", "evaluate", ["a", "b"])) == ["a", "b"]
    assert started.after(Event("started", "evaluate", ["c"])) == ["a", "b", "c"]
    assert started.after(Event("done", "evaluate", ["a"])) == ["b", "c"]
    assert started.after(Event("warning", "evaluate", ["b"])) is None
    assert started.after(Event("failed", "evaluate", ["b"])) == ["c"]


def test_a_control_is_made_first_and_workers_stop_between_two_runs(tmp_path, monkeypatch):
    store, called, stop = Store(tmp_path), [], []

    def run_jobs(jobs, store, resources, should_stop):
        assert store.read("pretrain", START.key) is not None
        called.append([len(job.runs) for job in jobs])
        yield Event("done", "evaluate", ["a"])

    monkeypatch.setattr(local_pool, "run_jobs", run_jobs)
    job = Job("M", START, [], [run("knn", 5, seed) for seed in range(5)])
    events = []
    execute_in_pool([job], store, [Resources()] * 2, events.append, lambda: bool(stop))
    assert called == [[3, 2]]
    assert [(one.kind, one.what) for one in events] == [
        ("started", "pretrain"), ("done", "pretrain"), ("done", "evaluate"),
    ]  # fmt: skip
    stop.append(True)
    with pytest.raises(Interrupted, match="finished runs are stored"):
        execute_in_pool([job], store, [Resources()] * 2, events.append, lambda: bool(stop))
