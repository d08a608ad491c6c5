"""The job of every pretraining and run of a plan, from the ledger and one query of the queue."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from ..plan.entry import Cause, Entry
from ..plan.failure_class import LOST, OF_SLURM
from ..plan.plan import Plan
from ..store.progress import read_progress
from ..store.records import Store
from . import ledger
from .commands import ControllerDownError, QueuedJob, SlurmError, accounted, queue
from .job_main import moment
from .ledger import Array, Submission


@dataclass
class Assignment:
    """The newest job that a key was submitted in."""

    submission: Submission
    array: Array
    index: int
    seen: QueuedJob | None = None  # its state in the queue or the accounting
    recovered: bool = False  # its id was found in the queue and is not in the ledger

    @property
    def job(self) -> str | None:
        """The job's id; None if sbatch did not return one."""
        return self.array.job(self.index)


@dataclass
class JobStates:
    """The jobs of a store."""

    store: Store
    assigned: dict[str, Assignment] = field(default_factory=dict)  # by key
    answered: bool = True  # False: the controller did not answer

    def live(self, key: str | None) -> bool:
        """Return whether a job with this key runs or may still run."""
        assignment = self.assigned.get(key or "")
        if assignment is None or assignment.job is None:
            return False
        return not self.answered or (assignment.seen is not None and assignment.seen.live)

    def write_recovered(self) -> None:
        """Add to the ledger the ids that a killed `submit` could not write."""
        for assignment in self.assigned.values():
            if assignment.recovered:
                ledger.write(self.store, assignment.submission)
                assignment.recovered = False

    def log(self, assignment: Assignment) -> Path | None:
        """Return the log of a job; None if it wrote none."""
        logs = assignment.submission.logs(self.store, assignment.array, assignment.index)
        return logs[0] if logs else None


def update_from_queue(store: Store, plan: Plan, warn: Callable[[str], None]) -> JobStates:
    """Find the job of every key of a plan that is not done, with one query of the queue.

    Updates the states of the plan to `queued`, `running` or `failed`.
    """
    states = JobStates(store)
    open_keys = {entry.key for entry in plan.entries if entry.key and entry.state != "done"}
    for submission in ledger.read(store, warn):
        for key, array, index in submission.places():
            if key in open_keys:
                states.assigned[key] = Assignment(submission, array, index)
    if states.assigned:
        _query(states, warn)
    _update_states(plan, states)
    return states


def _query(states: JobStates, warn: Callable[[str], None]) -> None:
    """Look up every job in the queue, and jobs that left it in the accounting."""
    assignments = states.assigned.values()
    without_id = [assignment for assignment in assignments if assignment.array.job_id is None]
    jobs = {assignment.job for assignment in assignments if assignment.job}
    try:
        seen = queue(None if without_id else jobs)
    except ControllerDownError as error:
        states.answered = False
        warn(f"{error}. Jobs in the ledger are shown as queued")
        return
    except SlurmError as error:
        warn(f"{error}. The states of the jobs in the ledger are unknown")
        seen = {}
    by_mark = {job.comment.split(":")[0]: job.job.split("_")[0] for job in seen.values()}
    for assignment in without_id:  # `submit` was killed before it could write their ids
        mark = f"sarbench {assignment.submission.id}/{assignment.array.name}"
        assignment.array.job_id = by_mark.get(mark)
        assignment.recovered = mark in by_mark
    for key, assignment in list(states.assigned.items()):
        if assignment.recovered and not _has_task(states.store, assignment):
            del states.assigned[key]  # `submit` was killed before it wrote the task of this job
        # Waiting elements of an array that were cancelled one by one are one line, by its id.
        assignment.seen = seen.get(assignment.job or "") or seen.get(assignment.array.job_id or "")
    left = [
        assignment
        for assignment in states.assigned.values()
        if assignment.job and assignment.seen is None
    ]
    last = accounted({assignment.job for assignment in left if assignment.job})
    for assignment in left:
        assignment.seen = last.get(assignment.job or "")


def _has_task(store: Store, assignment: Assignment) -> bool:
    array, index = assignment.array, assignment.index
    return assignment.submission.task_file(store, array, index).exists()


def _update_states(plan: Plan, states: JobStates) -> None:
    starts = {}
    for entry in plan.pretrain:
        _update_entry(entry, states)
        starts[id(entry.planned)] = entry
    for entry in plan.runs:
        start = starts.get(id(entry.planned.pretraining))
        inherited = entry.failure_class is None and entry.cause == Cause.PRETRAINING_FAILED
        if inherited and start and start.state != "failed":
            entry.set("new", Cause.NOT_RUN)
        _update_entry(entry, states)
        lost = entry.failure_class in (LOST, "cancelled")
        if start and start.state == "failed" and (entry.state == "new" or lost):
            entry.set("failed", Cause.PRETRAINING_FAILED, start.reason, start.failure_class)


def _update_entry(entry: Entry, states: JobStates) -> None:
    assignment = states.assigned.get(entry.key or "")
    if assignment is None or entry.state == "done" or assignment.job is None:
        return
    entry.job = assignment.job
    seen = assignment.seen
    if not states.answered:
        entry.set("queued", detail=f"job {assignment.job}, the controller does not answer")
    elif seen and seen.live:
        if not seen.runs:
            entry.set("queued", detail=f"job {assignment.job} waits ({seen.reason})")
            return
        where = f"job {assignment.job} on {seen.node}, {seen.elapsed}"
        entry.set("running", detail=f"{where}{_progress(entry, states)}")
    elif entry.attempt and moment(entry.attempt.time) >= int(assignment.submission.time):
        return  # it failed in this job and stored an attempt
    elif entry.state == "running":
        entry.job = None  # it runs elsewhere: this job has ended
    else:
        entry.set("failed", Cause.JOB_ENDED, _describe_end(assignment, states), _class(seen))
        entry.attempt = None


def _class(seen: QueuedJob | None) -> str:
    return OF_SLURM.get(seen.state, LOST) if seen else LOST


def _describe_end(assignment: Assignment, states: JobStates) -> str:
    """Describe the end of a job that stored neither a record nor an attempt."""
    seen = assignment.seen
    how = (
        f"as {seen.state} on {seen.node or 'no node'}"
        if seen
        else "for an unknown reason (no accounting)"
    )
    if seen and seen.reason not in ("None", "", "NonZeroExitCode"):
        how += f", {seen.reason}"
    text = f"job {assignment.job} ended {how} and stored no record"
    if states.log(assignment) is None and not (seen and seen.state == "CANCELLED"):
        text += "; it wrote no log, so check that its node sees the file system of the store"
    return text


def _progress(entry: Entry, states: JobStates) -> str:
    """Return the last stored progress of a running pretraining in words."""
    running = read_progress(states.store.folder("pretrain", entry.key or ""))
    if running is None:
        return ""
    now = running.progress
    text = f", {now}"
    if not now.images_per_s:  # no step is done yet
        return text
    return f"{text}, {now.images_per_s:.0f} images/s, {duration(now.left_s)} left"


def duration(seconds: float) -> str:
    """Return seconds in words, as hours, minutes or seconds."""
    if seconds >= 5400:
        return f"{seconds / 3600:.1f} h"
    return f"{seconds / 60:.0f} min" if seconds >= 90 else f"{seconds:.0f} s"
