"""A job whose processes failed is requeued, or its failure is recorded."""

import json
import signal
import time
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from small_pretrainings import identity_of
from submitit.core.utils import DelayedSubmission

from sarbench.bench.identity import Job, Pretraining, Resources, Run
from sarbench.bench.pretraining.loop import pretrain
from sarbench.bench.slurm import on_exit
from sarbench.bench.slurm.job_main import AGAIN, ENDED, FAILED, Task, run_task
from sarbench.bench.store.records import Store
from sarbench.results.record import Attempt

KILLED = 128 + signal.SIGKILL


@dataclass
class Ended:
    """A job of three runs that ended."""

    folder: Path
    store: Store
    keys: list[str]
    start: Pretraining

    def after(self, status: int, state: str = "RUNNING", refused: str | None = None) -> bool:
        """Run the end of the batch script; return whether it requeues the job."""
        return on_exit.requeue_or_record(self.folder, status, state, refused)

    def messages(self) -> list[str]:
        found = [self.store.last_attempt("evaluate", key) for key in self.keys]
        return [attempt.message if attempt else "" for attempt in found]

    def started_last(self, *keys: str) -> None:
        (self.folder / "7_at.json").write_text(json.dumps(keys))

    def logged(self, text: str) -> None:
        (self.folder / "7_0_log.out").write_text(text)

    def failures(self) -> list[str | None]:
        found = [self.store.last_attempt("evaluate", key) for key in self.keys]
        return [attempt.failure if attempt else None for attempt in found]


@pytest.fixture
def ended(tmp_path, monkeypatch) -> Ended:
    start = identity_of("raw_pixels", None, encoder=None, pool=[])
    runs = [Run(start.key, "m", "d", "x", "y", "linear", 1, {}, 5, seed) for seed in range(3)]
    task = Task(
        "evaluate", (Job("M", start, [], runs),), str(tmp_path / "runs"), Resources(), "code",
        requeues=2, signal_s=30, submitted=time.time() - 60,
    )  # fmt: skip
    folder = tmp_path / "job"
    folder.mkdir()
    DelayedSubmission(run_task, task).dump(folder / "7_submitted.pkl")
    for name, value in (
        ("SLURM_JOB_ID", "7"), ("SLURM_RESTART_COUNT", "0"), ("SUBMITIT_EXECUTOR", "slurm"),
    ):  # fmt: skip
        monkeypatch.setenv(name, value)
    return Ended(folder, Store(tmp_path / "runs"), [run.key for run in runs], start)


def test_a_job_that_is_killed_twice_while_it_makes_its_control_records_a_failure_of_the_control(
    ended,
):
    start = ended.start
    ended.started_last(start.key)
    assert ended.after(KILLED)
    assert not ended.after(KILLED)
    attempt = ended.store.last_attempt("pretrain", start.key)
    assert attempt is not None
    assert (attempt.failure, attempt.message) == ("killed", "the process ended by SIGKILL")
    assert ended.failures() == [None, None, None]  # the plan shows that their pretraining failed
    assert not ended.store.folder("evaluate", start.key).exists()


def test_without_one_of_its_controls_a_job_is_requeued_for_the_runs_of_the_others(ended):
    other = replace(ended.start, seed=1)
    task: Task = DelayedSubmission.load(ended.folder / "7_submitted.pkl").args[0]
    runs = [replace(task.work[0].runs[0], start=other.key)]
    both = replace(task, work=(*task.work, Job("N", other, [], runs)))
    DelayedSubmission(run_task, both).dump(ended.folder / "7_submitted.pkl")
    assert both.missing(ended.store) == [*ended.keys, runs[0].key]
    ended.started_last(ended.start.key)
    assert ended.after(KILLED)
    assert ended.after(KILLED)
    assert ended.store.last_attempt("pretrain", ended.start.key) is not None
    assert both.missing(ended.store) == [runs[0].key]


def test_a_job_that_is_killed_after_it_made_its_control_records_a_failure_of_its_runs(ended):
    pretrain(ended.start, None, ended.store, Resources())
    ended.started_last(ended.start.key)
    assert ended.after(KILLED)
    assert ended.after(KILLED) is False
    assert ended.failures() == ["killed"] * 3


@pytest.mark.parametrize("status", [AGAIN, 128 + signal.SIGUSR2])
def test_a_job_that_saved_its_state_after_sigusr2_is_requeued(ended, status):
    assert ended.after(status)
    assert ended.failures() == [None, None, None]


def test_a_job_that_was_restarted_too_often_records_a_time_out(ended, monkeypatch):
    monkeypatch.setenv("SLURM_RESTART_COUNT", "2")
    assert not ended.after(AGAIN)
    assert ended.failures() == ["time_out"] * 3


def test_a_job_that_may_not_be_requeued_records_that_it_is_to_be_submitted_again(ended):
    task: Task = DelayedSubmission.load(ended.folder / "7_submitted.pkl").args[0]
    DelayedSubmission(run_task, replace(task, requeues=0)).dump(ended.folder / "7_submitted.pkl")
    assert not ended.after(AGAIN)
    assert ended.failures() == ["time_out"] * 3
    assert "allows no requeue; its state is saved. Submit the grid again" in ended.messages()[0]


def test_a_job_that_the_controller_refuses_to_requeue_records_its_answer(ended):
    assert ended.after(AGAIN)
    assert not ended.after(AGAIN, refused="Requested operation is presently disabled")
    assert ended.failures() == ["time_out"] * 3
    assert "(Requested operation is presently disabled)" in ended.messages()[0]
    assert "set requeue = false in the profile" in ended.messages()[0]


@pytest.mark.parametrize(("state", "requeued"), [("RUNNING\n", True), ("CANCELLED\n", False)])
def test_after_sigterm_a_job_is_requeued_only_if_the_controller_lists_it_as_running(
    ended, state, requeued
):
    assert ended.after(ENDED, state) == requeued
    assert ended.failures() == [None, None, None]


def test_a_failure_that_is_stored_already_is_not_recorded_again(ended):
    assert not ended.after(FAILED)
    assert ended.failures() == [None, None, None]


def test_a_run_that_is_killed_twice_has_failed_and_the_job_is_requeued_for_the_rest(ended):
    ended.started_last(ended.keys[1])
    assert ended.after(KILLED)
    assert ended.failures() == [None, None, None]
    assert ended.after(KILLED)  # for the other two
    assert ended.failures() == [None, "killed", None]
    ended.started_last(ended.keys[2])
    assert ended.after(KILLED)
    assert ended.failures() == [None, "killed", None]


def test_a_run_without_memory_has_failed_at_once_and_the_job_is_requeued_for_the_rest(ended):
    ended.started_last(ended.keys[0])
    ended.logged("slurmstepd: error: Detected 1 oom-kill event(s) in StepId=7.0\n")
    assert ended.after(KILLED)
    assert ended.failures() == ["out_of_memory", None, None]
    attempt = ended.store.last_attempt("evaluate", ended.keys[0])
    assert attempt is not None
    assert "oom-kill" in attempt.log_tail[0]


def test_a_crash_before_any_run_records_a_failure_of_all_runs(ended):
    ended.logged("ModuleNotFoundError: No module named 'torch'\n")
    assert not ended.after(1)
    assert ended.failures() == ["exception"] * 3


def test_a_failure_of_an_earlier_submission_does_not_count(ended):
    old = Attempt(
        failure="ValueError", message="", traceback="", host="h", time="2020-01-01T00:00:00+00:00"
    )
    ended.store.write_attempt("evaluate", ended.keys[0], old)
    assert not ended.after(1)
    assert ended.failures() == ["exception"] * 3
