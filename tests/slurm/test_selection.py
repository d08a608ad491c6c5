"""The keys that `submit` and `retry` hand to SLURM."""

from dataclasses import replace
from pathlib import Path

import pytest
from small_plans import keys_of, make_plan

from sarbench.bench.plan.entry import Cause, Entry
from sarbench.bench.plan.plan import Plan
from sarbench.bench.slurm.job_states import JobStates
from sarbench.bench.slurm.selection import accepted_by_retry, accepted_by_submit, select
from sarbench.bench.store.records import Store

retry = accepted_by_retry({"time_out"})


class Queue(JobStates):
    """A queue with a live job of each of some entries."""

    def __init__(self, *entries: Entry) -> None:
        super().__init__(Store(Path("unused")))
        self.keys = {entry.key for entry in entries}

    def live(self, key: str | None) -> bool:
        return key in self.keys


@pytest.fixture
def plan() -> Plan:
    """Return two pretrainings with two runs each, nothing done."""
    return make_plan(runs_each=2, trained=2, untrained=0)


def fail(plan: Plan, index: int, failure: str) -> None:
    """Let a pretraining fail, and its runs with it."""
    start = plan.pretrain[index]
    start.set("failed", Cause.ERROR, "no number", failure)
    for entry in runs_of(plan, index):
        entry.set("failed", Cause.PRETRAINING_FAILED, start.reason, failure)


def runs_of(plan: Plan, index: int) -> list[Entry]:
    return plan.grouped()[index][1]


def keys(*entries: Entry) -> set[str]:
    return {str(entry.key) for entry in entries}


def test_submit_takes_everything_that_is_missing(plan):
    assert select(plan, Queue(), accepted_by_submit) == (keys_of(plan), set())


def test_runs_that_need_weights_which_are_not_here_are_neither_run_nor_submitted(plan):
    plan.pretrain[0].set("done")
    first, second = runs_of(plan, 0)
    first.set("new", Cause.NO_WEIGHTS, "M0")
    found = select(plan, Queue(), accepted_by_submit)
    assert found.wanted == keys_of(plan) - keys(plan.pretrain[0], first)
    assert next(job.runs for job in plan.jobs()) == [second.planned.identity]
    second.set("failed", Cause.NO_WEIGHTS, "M0")
    assert len(plan.jobs()) == 1


def test_what_is_done_or_in_a_job_is_not_submitted_again(plan):
    plan.pretrain[0].set("done")
    done, queued = runs_of(plan, 0)
    done.set("done")
    found = select(plan, Queue(queued), accepted_by_submit)
    assert found.wanted == keys(plan.pretrain[1], *runs_of(plan, 1))


def test_runs_of_a_pretraining_in_a_job_are_submitted_and_wait_for_it(plan):
    start = plan.pretrain[0]
    found = select(plan, Queue(start), accepted_by_submit)
    assert found.waiting == keys(start)
    assert found.wanted == keys_of(plan) - keys(start)


def test_a_pretraining_that_runs_outside_of_slurm_is_left_out_with_its_runs(plan):
    plan.pretrain[0].set("running", detail="step 3 of 9 on laptop")
    found = select(plan, Queue(), accepted_by_submit)
    assert found == (keys(plan.pretrain[1], *runs_of(plan, 1)), set())


def test_a_key_that_is_not_known_is_not_submitted(plan):
    plan.runs[0].planned = replace(plan.runs[0].planned, identity=None)
    assert select(plan, Queue(), accepted_by_submit).wanted == keys(*plan.pretrain, *plan.runs[1:])


@pytest.mark.parametrize(("failure", "taken"), [("time_out", True), ("exception", False)])
def test_submit_leaves_a_failure_that_most_likely_repeats_to_retry(plan, failure, taken):
    fail(plan, 0, failure)
    wanted = select(plan, Queue(), accepted_by_submit).wanted
    assert wanted >= keys(plan.pretrain[1], *runs_of(plan, 1))
    own = keys(plan.pretrain[0], *runs_of(plan, 0))
    assert (own <= wanted) is taken
    assert own.isdisjoint(wanted) is not taken


def test_retry_takes_the_failures_of_its_classes_and_the_runs_that_waited_for_them(plan):
    fail(plan, 0, "time_out")
    fail(plan, 1, "exception")
    first, second = runs_of(plan, 0)
    first.set("new", Cause.NOT_RUN)
    second.failure_class = "cancelled"
    assert select(plan, Queue(), retry) == (keys(plan.pretrain[0], first, second), set())


def test_retry_leaves_what_never_failed_to_submit(plan):
    assert select(plan, Queue(), retry) == (set(), set())


def test_a_failed_run_of_a_finished_pretraining_is_retried_by_its_own_class(plan):
    plan.pretrain[0].set("done")
    first, second = runs_of(plan, 0)
    for entry, failure in ((first, "time_out"), (second, "exception")):
        entry.set("failed", Cause.ERROR, "", failure)
    assert select(plan, Queue(), retry).wanted == keys(first)


def test_retry_takes_failed_runs_whose_control_their_job_did_not_come_to_make():
    plan = make_plan(runs_each=2, trained=1, untrained=1)
    for index in (0, 1):
        runs_of(plan, index)[0].set("failed", Cause.JOB_ENDED, "job 7 ended", "time_out")
    found = select(plan, Queue(), retry)
    assert found.wanted == keys(runs_of(plan, 1)[0])  # a pretraining is a job of its own
    plan.pretrain[1].set("failed", Cause.ERROR, "no number", "exception")
    assert select(plan, Queue(), retry).wanted == set()
