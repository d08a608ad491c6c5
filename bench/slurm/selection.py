"""The pretrainings and runs of a plan that `submit` and `retry` hand to SLURM."""

from collections.abc import Callable
from typing import NamedTuple

from ..plan.entry import Cause, Entry
from ..plan.failure_class import RETRY_ONLY
from ..plan.plan import Plan
from .job_states import JobStates


class Selection(NamedTuple):
    """Keys of a plan."""

    wanted: set[str]  # pretrainings and runs to submit
    waiting: set[str]  # pretrainings that are queued or running already


def select(plan: Plan, states: JobStates, take: Callable[[Entry], bool]) -> Selection:
    """Choose what to submit: everything that is missing, has no live job and is taken by `take`.

    A run also depends on its pretraining. If that is missing, but neither submitted nor in a job (a
    `run` outside of SLURM may be training it), its runs are left out. If it is submitted, its runs
    that have not failed themselves are submitted too, even if `take` does not take them.
    """
    wanted, waiting, blocked = set[str](), set[str](), set[int]()
    for entry in plan.pretrain:
        if entry.key is None or entry.state == "done":
            continue
        if states.live(entry.key):
            waiting.add(entry.key)
        elif entry.state != "running" and take(entry):
            wanted.add(entry.key)
        else:
            blocked.add(id(entry.planned))
    for entry in plan.runs:
        start = entry.planned.pretraining
        if entry.key is None or entry.state == "done" or states.live(entry.key):
            continue
        waited = entry.cause == Cause.PRETRAINING_FAILED or entry.state == "new"
        follows = waited and start.identity is not None and start.identity.key in wanted
        if id(start) not in blocked and (follows or take(entry)):
            wanted.add(entry.key)
    return Selection(wanted, waiting)


def taken_by_submit(entry: Entry) -> bool:
    """Return whether `submit` takes an entry; what most likely fails again is left to `retry`."""
    return entry.failure_class not in RETRY_ONLY


def taken_by_retry(classes: set[str]) -> Callable[[Entry], bool]:
    """Return the condition of `retry`: a failure of one of these classes."""

    def take(entry: Entry) -> bool:
        return entry.state == "failed" and (entry.failure_class or "exception") in classes

    return take
