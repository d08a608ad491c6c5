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


def select(plan: Plan, states: JobStates, accept: Callable[[Entry], bool]) -> Selection:
    """Return the keys to submit: missing work without a live job that `accept` accepts.

    Runs that wait for a submitted pretraining are added. Runs whose pretraining is missing and not
    submitted are skipped.
    """
    wanted, waiting, blocked = set[str](), set[str](), set[int]()
    for entry in plan.pretrain:
        if entry.key is None or entry.state == "done":
            continue
        if states.live(entry.key):
            waiting.add(entry.key)
        elif entry.state != "running" and accept(entry):
            wanted.add(entry.key)
        elif entry.state != "new" or entry.learns:  # else the first job of its runs makes it
            blocked.add(id(entry.planned))
    for entry in plan.runs:
        start = entry.planned.pretraining
        if entry.key is None or not entry.to_do or states.live(entry.key):
            continue
        waited = entry.cause == Cause.PRETRAINING_FAILED or entry.state == "new"
        follows = waited and start.identity is not None and start.identity.key in wanted
        if id(start) not in blocked and (follows or accept(entry)):
            wanted.add(entry.key)
    return Selection(wanted, waiting)


def batches_to_do(plan: Plan, accept: Callable[[Entry], bool]) -> set[int]:
    """Return the batch sizes of the missing pretrainings that `accept` accepts."""
    return {
        entry.planned.recipe.batch
        for entry in plan.pretrain
        if entry.planned.recipe and entry.to_do and accept(entry)
    }


def accepted_by_submit(entry: Entry) -> bool:
    """Return whether `submit` accepts an entry: it skips work that most likely fails again."""
    return entry.failure_class not in RETRY_ONLY


def accepted_by_retry(classes: set[str]) -> Callable[[Entry], bool]:
    """Return the condition of `retry`: a failure of one of these classes."""

    def accept(entry: Entry) -> bool:
        return entry.state == "failed" and (entry.failure_class or "exception") in classes

    return accept
