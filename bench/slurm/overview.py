"""Running jobs and the last lines of failures, for people who watch a grid."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..plan.entry import Cause, Entry
from ..plan.plan import Plan
from .job_states import JobStates

TAIL = 5  # log lines of a failure


@dataclass(frozen=True)
class RunningJob:
    """A job of SLURM that runs now."""

    job: str
    work: str
    node: str
    elapsed: str
    log: Path | None


def running_jobs(made: Plan, states: JobStates) -> tuple[list[RunningJob], int]:
    """Return the running jobs of a plan, and the number of waiting ones."""
    running, waiting = {}, set()
    for entry in made.entries:
        assignment = states.assigned.get(entry.key or "")
        if assignment and assignment.job and entry.state == "running" and assignment.seen:
            running[assignment.job] = assignment
        elif assignment and assignment.job and entry.state == "queued":
            waiting.add(assignment.job)
    jobs = []
    for job, assignment in sorted(running.items()):
        element, seen = assignment.array.elements[assignment.index], assignment.seen
        work = f"{len(element.runs)} runs of" if element.runs else "pretraining"
        jobs.append(
            RunningJob(
                job, f"{work} {element.label}", seen.node if seen else "",
                seen.elapsed if seen else "", states.log(assignment),
            )
        )  # fmt: skip
    return jobs, len(waiting)


def own_failures(made: Plan) -> list[Entry]:
    """Return the failed pretrainings and runs, without runs that only wait for a failed one."""
    return [
        entry
        for entry in made.entries
        if entry.state == "failed" and entry.cause != Cause.PRETRAINING_FAILED
    ]


def last_lines(entry: Entry, states: JobStates) -> Sequence[str]:
    """Return the end of a failure's traceback, or of its log."""
    if entry.attempt and entry.attempt.traceback:
        return entry.attempt.traceback.strip().splitlines()[-TAIL:]
    if entry.attempt and entry.attempt.log_tail:
        return entry.attempt.log_tail[-TAIL:]
    assignment = states.assigned.get(entry.key or "")
    path = states.log(assignment) if assignment else None
    return tail(path, TAIL) if path else []


def tail(path: Path, count: int) -> list[str]:
    """Return the last lines of a file; only its end is read."""
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - 400 * count))
        return file.read().decode(errors="replace").splitlines()[-count:]
