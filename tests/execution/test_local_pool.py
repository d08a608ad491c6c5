"""Every run of a local pool of workers ends as a record or as a stored failure with its cause."""

import os
import signal
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from small_pretrainings import RECIPE, identity_of, make_pool, tiny_identity

from sarbench.bench.execution import job as jobs
from sarbench.bench.execution.job import Event
from sarbench.bench.execution.local_pool import run_jobs
from sarbench.bench.identity import Job, Resources, Run
from sarbench.bench.plan.failure_class import classify
from sarbench.bench.pretraining.loop import pretrain
from sarbench.bench.store.records import Store
from sarbench.results.record import Attempt

CONTROL = identity_of("raw_pixels", None, encoder=None, pool=[])


SETTINGS = {"readout": "patch_mean"}


def runs_of(dataset: str) -> list[Run]:
    return [
        Run(CONTROL.key, "m", dataset, "x", "y", "knn", 1, SETTINGS, 5, seed) for seed in range(2)
    ]


JOB = Job("Raw pixels", CONTROL, [], [*runs_of("mstar_soc"), *runs_of("sar_acd")])


class Evaluation:
    """An evaluation that computes nothing."""

    def __init__(self, *_: object) -> None:
        pass

    def run(self, batch):
        yield from (SimpleNamespace(key=run.key) for run in batch.runs)


def kill(number: int = signal.SIGKILL) -> None:
    os.kill(os.getpid(), number)


@pytest.fixture(autouse=True)
def _empty_evaluation(forked_workers: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Evaluate nothing in the workers."""
    monkeypatch.setattr(jobs, "Evaluation", Evaluation)
    monkeypatch.setattr(jobs, "open_version", lambda *_: None)


def run(store: Store, *todo: Job) -> list[Event]:
    """Run jobs with one worker; return its events, at most 50."""
    events = []
    for event in run_jobs([*todo] or [JOB], store, [Resources()]):
        events.append(event)
        assert len(events) < 50
    return events


def keys(events: list[Event], kind: str) -> set[str]:
    return {key for event in events if event.kind == kind for key in event.keys}


def attempts(store: Store, runs: list[Run]) -> set[tuple[str, str]]:
    """Return the failures of runs; each run must have one."""
    found = [store.last_attempt("evaluate", run.key) for run in runs]
    assert all(isinstance(attempt, Attempt) for attempt in found)
    return {(attempt.failure, attempt.message) for attempt in found if attempt}


def key_set(runs: list[Run]) -> set[str]:
    return {run.key for run in runs}


@pytest.mark.parametrize("pretrained", [False, True])
def test_a_worker_that_is_killed_while_it_opens_data_fails_those_runs_only(
    tmp_path, monkeypatch, pretrained
):
    store = Store(tmp_path)
    if pretrained:
        pretrain(CONTROL, None, store, Resources())
    broken = "mstar_soc"
    monkeypatch.setattr(jobs, "open_version", lambda card, *_: kill() if card.name == broken else 0)
    events = run(store)
    assert keys(events, "failed") == key_set(runs_of("mstar_soc"))
    assert key_set(runs_of("sar_acd")) <= keys(events, "done")
    message = "the worker process was killed by SIGKILL; the system may have run out of memory"
    assert attempts(store, runs_of("mstar_soc")) == {("killed", message)}


@pytest.mark.parametrize("pretrained", [False, True])
def test_a_worker_that_cannot_start_reports_its_exception(tmp_path, monkeypatch, pretrained):
    store = Store(tmp_path)
    if pretrained:
        pretrain(CONTROL, None, store, Resources())

    def fail(_: Resources) -> None:
        raise ImportError("No module named 'lost'")

    monkeypatch.setattr(jobs, "prepare_process", fail)
    events = run(store)
    expected = ("ImportError", "the worker process could not start: No module named 'lost'")
    if pretrained:
        assert keys(events, "failed") == key_set(JOB.runs)
        assert attempts(store, JOB.runs) == {expected}
    else:
        attempt = store.last_attempt("pretrain", CONTROL.key)
        assert attempt
        assert (attempt.failure, attempt.message) == expected
        assert "Traceback" in attempt.traceback
        assert events == [Event("failed", "pretrain", [CONTROL.key], ": ".join(expected))]


def test_a_worker_that_cannot_be_imported_reports_its_exception(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "sarbench.bench.execution.job", None)
    (event,) = run(Store(tmp_path))
    assert event.kind == "failed"
    assert "could not start: import of sarbench.bench.execution.job halted" in event.text


@pytest.mark.parametrize("pretrained", [False, True])
def test_a_job_whose_worker_is_killed_twice_before_it_starts_has_failed(
    tmp_path, monkeypatch, pretrained
):
    store, count = Store(tmp_path / "runs"), tmp_path / "count"
    if pretrained:
        pretrain(CONTROL, None, store, Resources())

    def die(*_: object) -> None:
        with count.open("a") as file:
            file.write("x")
        kill()

    monkeypatch.setattr(jobs, "execute", die)
    events = run(store)
    assert count.read_text() == "xx"
    assert keys(events, "failed") == (key_set(JOB.runs) if pretrained else {CONTROL.key})
    assert "killed by SIGKILL before it started its job; the system may" in events[-1].text


def test_a_worker_that_is_killed_once_before_it_starts_its_job_is_replaced(tmp_path, monkeypatch):
    first, execute = tmp_path / "first", jobs.execute

    def die_once(*given) -> None:
        if not first.exists():
            first.touch()
            kill()
        execute(*given)

    monkeypatch.setattr(jobs, "execute", die_once)
    events = run(Store(tmp_path / "runs"))
    assert not keys(events, "failed")
    assert keys(events, "done") == {CONTROL.key, *key_set(JOB.runs)}


def test_only_sigkill_has_the_hint_on_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(jobs, "open_version", lambda *_: kill(signal.SIGUSR1))
    store = Store(tmp_path)
    run(store)
    assert attempts(store, JOB.runs) == {("killed", "the worker process was killed by SIGUSR1")}


def test_a_worker_that_exits_is_reported_with_its_exit_status(tmp_path, monkeypatch):
    monkeypatch.setattr(jobs, "open_version", lambda *_: os._exit(4))
    store = Store(tmp_path)
    run(store)
    expected = "the worker process ended with exit status 4; see its messages above"
    assert attempts(store, JOB.runs) == {("killed", expected)}


def test_a_worker_that_received_sigterm_reports_it(tmp_path, monkeypatch):
    monkeypatch.setattr(jobs, "open_version", lambda *_: kill(signal.SIGTERM))
    store = Store(tmp_path)
    events = run(store)
    assert key_set(JOB.runs) <= keys(events, "failed") | keys(events, "done")
    texts = {event.text for event in events if event.kind == "failed"}
    assert texts
    assert all("SIGTERM ended the worker process" in text for text in texts)


def test_runs_of_a_pretraining_in_another_process_are_skipped(tmp_path, monkeypatch):
    def refuse(*_: object, **__: object) -> None:
        raise jobs.RunningElsewhereError("process 7 on node trains it now")

    monkeypatch.setattr(jobs, "pretrain", refuse)
    store = Store(tmp_path)
    events = run(store)
    assert [event.kind for event in events] == ["started", "elsewhere"]
    assert store.last_attempt("pretrain", CONTROL.key) is None


def broken() -> None:
    raise ValueError("broken on purpose")


@pytest.mark.parametrize(("end", "failure"), [(kill, "killed"), (broken, "ValueError")])
def test_states_from_before_the_end_of_a_training_are_evaluated(
    tmp_path, monkeypatch, end, failure
):
    whole = tiny_identity(recipe=replace(RECIPE, epochs=1, warmup_epochs=0.5))
    late, early = replace(whole, at=0.99), replace(whole, at=0.5)
    runs = [replace(runs_of("mstar_soc")[0], start=one.key) for one in (whole, late, early)]
    job = Job("MAE", whole, [], runs, earlier=(late, early))
    store = Store(tmp_path)

    def train(identity, pool, store, resources, *, earlier, on_earlier, **_: object) -> None:
        assert (identity, earlier) == (whole, [late, early])
        pretrain(early, make_pool(), store, resources)
        on_earlier(early)
        end()

    monkeypatch.setattr(jobs, "pool_of_job", lambda *_: None)
    monkeypatch.setattr(jobs, "pretrain", train)
    events = run(store, job)
    assert keys(events, "failed") == {whole.key, late.key}
    assert keys(events, "done") == {early.key, runs[2].key}
    for key in keys(events, "failed"):
        attempt = store.last_attempt("pretrain", key)
        assert attempt is not None
        assert attempt.failure == failure
    assert store.last_attempt("pretrain", early.key) is None


@pytest.mark.parametrize(
    ("first", "failure", "kind"),
    [
        ("CUDA error: unspecified launch failure", "DeviceLostError", "node_failure"),
        ("CUDA error: device-side assert triggered", "KernelError", "exception"),
    ],
)
def test_a_gpu_that_stops_costs_one_piece_of_work_and_the_rest_is_done_by_a_new_process(
    tmp_path, monkeypatch, first, failure, kind
):
    store, lost = Store(tmp_path / "runs"), tmp_path / "lost"
    broken: list[str] = []

    def fault(device: str) -> str:
        return "CUDA error: device is gone" if broken else ""

    def stop_once(card, *_: object) -> None:
        if card.name == "mstar_soc" and not lost.exists():
            lost.touch()
            broken.append("in this process only")
            raise RuntimeError(first)

    monkeypatch.setattr(jobs, "device_fault", fault)
    monkeypatch.setattr(jobs, "open_version", stop_once)
    events = run(store)
    assert keys(events, "failed") == key_set(runs_of("mstar_soc"))
    assert key_set(runs_of("sar_acd")) <= keys(events, "done")
    for one in runs_of("mstar_soc"):
        attempt = store.last_attempt("evaluate", one.key)
        assert attempt is not None
        assert attempt.failure == failure
        assert classify(attempt) == kind
        assert first in attempt.message
        assert ("rerun" in attempt.message) == (kind == "node_failure")


def test_a_process_that_gets_no_working_gpu_says_so(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(jobs.DeviceError, match="torch sees no GPU in this job"):
        jobs.prepare_process(Resources("cuda:0"))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)

    def lost(*_: object, **__: object) -> None:
        raise torch.AcceleratorError("CUDA error: device unavailable\nMore")

    monkeypatch.setattr(torch, "zeros", lost)
    with pytest.raises(jobs.DeviceError, match=r"does not compute: CUDA error: device unava.*smi"):
        jobs.prepare_process(Resources("cuda:0"))
    assert jobs.device_fault("cpu") == ""


def test_deterministic_algorithms_are_switched_on_by_the_environment(monkeypatch):
    asked: list[tuple] = []
    monkeypatch.setattr(torch, "use_deterministic_algorithms", lambda *a, **k: asked.append((a, k)))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "set_device", lambda device: None)
    monkeypatch.setattr(jobs, "device_fault", lambda device: "")
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", "")  # so that it is restored after the test
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG")
    jobs.prepare_process(Resources("cuda:0"))
    assert not asked
    monkeypatch.setenv("SARBENCH_DETERMINISTIC", "1")
    jobs.prepare_process(Resources("cuda:0"))
    assert asked == [((True,), {"warn_only": True})]
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"


@pytest.mark.gpu
def test_a_gpu_that_works_has_no_fault():
    jobs.prepare_process(Resources("cuda:0"))
    assert jobs.device_fault("cuda:0") == ""


def test_workers_ignore_the_signal_of_a_cluster_and_stop_where_the_caller_wants(
    tmp_path, monkeypatch
):
    def open_version(card, *_):
        if card.name == "mstar_soc":
            kill(signal.SIGUSR2)  # SLURM sends it to every process of a job

    monkeypatch.setattr(jobs, "open_version", open_version)
    assert keys(run(Store(tmp_path / "one")), "done") >= key_set(JOB.runs)
    assert list(run_jobs([JOB], Store(tmp_path / "two"), [Resources()], lambda: True)) == []
