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
    adopted: bool = False  # its id was found in the queue and is not in the ledger

    @property
    def job(self) -> str | None:
        """The job's id; None if sbatch did not return one."""
        return self.array.job(self.index)


@dataclass
class Watch:
    """The jobs of a store."""

    store: Store
    held: dict[str, Assignment] = field(default_factory=dict)  # by key
    answered: bool = True  # False: the controller did not answer

    def live(self, key: str | None) -> bool:
        """Return whether a job with this key runs or may still run."""
        held = self.held.get(key or "")
        if held is None or held.job is None:
            return False
        return not self.answered or (held.seen is not None and held.seen.live)

    def note_adopted(self) -> None:
        """Add to the ledger the ids that a killed `submit` could not write."""
        for held in self.held.values():
            if held.adopted:
                ledger.write(self.store, held.submission)
                held.adopted = False

    def log(self, held: Assignment) -> Path | None:
        """Return the log of a job; None if it wrote none."""
        place = ledger.folder(self.store) / held.submission.id / held.array.name
        path = place / f"{held.job}_0_log.out"
        return path if path.exists() else None


def update_from_queue(store: Store, plan: Plan, warn: Callable[[str], None]) -> Watch:
    """Find the job of every key of a plan that is not done, with one query of the queue.

    Updates the states of the plan to `queued`, `running` or `failed`.
    """
    watch = Watch(store)
    open_keys = {
        entry.key for entry in (*plan.pretrain, *plan.runs) if entry.key and entry.state != "done"
    }
    submissions = ledger.read(store, warn) if ledger.folder(store).exists() else []
    for submission in submissions:
        for key, array, index in submission.places():
            if key in open_keys:
                watch.held[key] = Assignment(submission, array, index)
    if watch.held:
        _query(watch, warn)
    _update_states(plan, watch)
    return watch


def _query(watch: Watch, warn: Callable[[str], None]) -> None:
    """Look up every job in the queue, and jobs that left it in the accounting."""
    orphans = [held for held in watch.held.values() if held.array.job_id is None]
    try:
        seen = queue(None if orphans else {held.job for held in watch.held.values() if held.job})
    except ControllerDownError as error:
        watch.answered = False
        warn(f"{error}. Jobs in the ledger are shown as queued")
        return
    except SlurmError as error:
        warn(f"{error}. The states of the jobs in the ledger are unknown")
        seen = {}
    by_mark = {job.comment.split(":")[0]: job.job.split("_")[0] for job in seen.values()}
    for held in orphans:  # `submit` was killed before it could write their ids
        mark = f"sarbench {held.submission.id}/{held.array.name}"
        held.array.job_id = by_mark.get(mark)
        held.adopted = mark in by_mark
    for key, held in list(watch.held.items()):
        if held.adopted and not _has_task(watch.store, held):
            del watch.held[key]  # `submit` was killed before it wrote the task of this job
        # Waiting elements of an array that were cancelled one by one are listed as one line.
        held.seen = seen.get(held.job or "") or seen.get(held.array.job_id or "")
    left = [held for held in watch.held.values() if held.job and held.seen is None]
    last = accounted({held.job for held in left if held.job})
    for held in left:
        held.seen = last.get(held.job or "")


def _has_task(store: Store, held: Assignment) -> bool:
    place = ledger.folder(store) / held.submission.id / held.array.name
    return (place / f"{held.job}_submitted.pkl").exists()


def _update_states(plan: Plan, watch: Watch) -> None:
    starts = {}
    for entry in plan.pretrain:
        _update_entry(entry, watch)
        starts[id(entry.planned)] = entry
    for entry in plan.runs:
        start = starts.get(id(entry.planned.pretraining))
        inherited = entry.failure_class is None and entry.cause == Cause.PRETRAINING_FAILED
        if inherited and start and start.state != "failed":
            entry.set("new", Cause.NOT_RUN)
        _update_entry(entry, watch)
        lost = entry.failure_class in (LOST, "cancelled")
        if start and start.state == "failed" and (entry.state == "new" or lost):
            entry.set("failed", Cause.PRETRAINING_FAILED, start.reason, start.failure_class)


def _update_entry(entry: Entry, watch: Watch) -> None:
    held = watch.held.get(entry.key or "")
    if held is None or entry.state == "done" or held.job is None:
        return
    entry.job = held.job
    seen = held.seen
    if not watch.answered:
        entry.set("queued", detail=f"job {held.job}, the controller does not answer")
    elif seen and seen.live:
        if not seen.runs:
            entry.set("queued", detail=f"job {held.job} waits ({seen.reason})")
            return
        where = f"job {held.job} on {seen.node}, {seen.elapsed}"
        entry.set("running", detail=f"{where}{_progress(entry, watch)}")
    elif entry.attempt and moment(entry.attempt.time) >= int(held.submission.time):
        return  # it failed in this job and stored an attempt
    elif entry.state == "running":
        entry.job = None  # it runs elsewhere: this job has ended
    else:
        entry.set("failed", Cause.JOB_ENDED, _describe_end(held, watch), _class(seen))
        entry.attempt = None


def _class(seen: QueuedJob | None) -> str:
    return OF_SLURM.get(seen.state, LOST) if seen else LOST


def _describe_end(held: Assignment, watch: Watch) -> str:
    """Describe the end of a job that stored neither a record nor an attempt."""
    seen = held.seen
    how = (
        f"as {seen.state} on {seen.node or 'no node'}"
        if seen
        else "for an unknown reason (no accounting)"
    )
    if seen and seen.reason not in ("None", "", "NonZeroExitCode"):
        how += f", {seen.reason}"
    text = f"job {held.job} ended {how} and stored no record"
    if watch.log(held) is None and not (seen and seen.state == "CANCELLED"):
        text += "; it wrote no log, so check that its node sees the file system of the store"
    return text


def _progress(entry: Entry, watch: Watch) -> str:
    """Return the last stored progress of a running pretraining in words."""
    running = read_progress(watch.store.folder("pretrain", entry.key or ""))
    if running is None:
        return ""
    now = running.progress
    text = f", step {now.step} of {now.steps}"
    if not now.images_per_s:  # no step is done yet
        return text
    return f"{text}, {now.images_per_s:.0f} images/s, {duration(now.left_s)} left"


def duration(seconds: float) -> str:
    """Return seconds in words, as hours, minutes or seconds."""
    if seconds >= 5400:
        return f"{seconds / 3600:.1f} h"
    return f"{seconds / 60:.0f} min" if seconds >= 90 else f"{seconds:.0f} s"
