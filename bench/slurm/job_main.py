"""The main function of a job on the cluster.

submitit starts `run_task` in every process of a job. Our signal handler replaces submitit's and
only sets a flag. The training loop then finishes its step and saves, and the process exits with
status AGAIN. `on_exit` asks the controller to requeue the job.
"""

import json
import logging
import os
import signal
import sys
import threading
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from ...results.record import Attempt
from ..identity import Job, Kind, Resources, labels_of
from ..store.atomic import write_atomic
from ..store.attempts import attempt_of, record_failure
from ..store.records import Store
from .code_snapshot import check_code
from .job_pool import Started, execute_in_pool, resources_of

if TYPE_CHECKING:
    from ..execution.job import Event

FAILED = 3  # a failure is stored and logged
AGAIN = 75  # the state is saved; the job must be requeued
ENDED = 76  # SIGTERM: the job was cancelled, or preempted without SIGUSR2

log = logging.getLogger("sarbench")


@dataclass(frozen=True)
class Task:
    """Everything a job needs, as plain values that are pickled."""

    stage: Kind
    work: tuple[Job, ...]  # done one after another; a pretraining is alone
    root: str  # of the store
    resources: Resources
    code: str  # digest of the code that was submitted
    requeues: int
    signal_s: int
    submitted: float  # seconds since the epoch
    gpus: int = 1  # of the node
    workers: int = 1  # runs at once

    @property
    def keys(self) -> list[str]:
        """The keys of its runs, or of its pretrainings if it has no runs."""
        return [key for job in self.work for key in job.keys]

    @property
    def kind(self) -> Kind:
        """The part of the store with these keys."""
        return "evaluate" if self.work[0].runs else "pretrain"

    def missing(self, store: Store) -> list[str]:
        """Return the keys without a record that can still be done.

        They have not failed since the submission, and neither has the pretraining of a run.
        """
        return [
            key
            for job in self.work
            if not (job.runs and self._failed(store, "pretrain", job.pretraining.key))
            for key in job.keys
            if store.read(self.kind, key) is None and not self._failed(store, self.kind, key)
        ]

    def _failed(self, store: Store, kind: Kind, key: str) -> bool:
        """Return whether work without a record has failed since the submission."""
        attempt = None if store.read(kind, key) else store.last_attempt(kind, key)
        return attempt is not None and moment(attempt.time) >= int(self.submitted)


def moment(text: str) -> float:
    """Return an ISO 8601 time as seconds since the epoch."""
    return datetime.fromisoformat(text).astimezone(UTC).timestamp()


class StopSignal:
    """A request to stop by SIGUSR2 or SIGTERM, with the exit status that follows from it."""

    def __init__(self, limit_s: float) -> None:
        self.status = 0
        self._limit_s = limit_s
        for number in (signal.SIGUSR2, signal.SIGTERM):
            signal.signal(number, self._note)

    def __call__(self) -> bool:
        """Return whether the process must stop."""
        return self.status != 0

    def _note(self, number: int, _: object) -> None:
        first = not self.status
        self.status = AGAIN if number == signal.SIGUSR2 else ENDED
        if first:
            log.warning("received %s: the step is finished and saved", signal.Signals(number).name)
            timer = threading.Timer(self._limit_s, self._exit)
            timer.daemon = True
            timer.start()

    def _exit(self) -> None:
        log.warning("the step took too long; the job resumes from its last checkpoint")
        os._exit(self.status)


def write_log() -> None:
    """Send our log lines, and no others, to standard output."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    log.handlers, log.propagate = [handler], False
    log.setLevel(logging.INFO)


def run_task(task: Task) -> None:
    """Do the missing part of a task, and exit with a status for `on_exit`."""
    stop = StopSignal(task.signal_s * 0.6)
    write_log()
    store = Store(Path(task.root))
    try:
        failed = _run(task, store, stop)
    except Exception as error:  # any exception is recorded as the failure of the missing keys
        record_failures(task, store, task.missing(store), attempt_of(error))
        raise SystemExit(FAILED) from error
    if stop():
        raise SystemExit(stop.status)
    if failed:
        raise SystemExit(FAILED)


def _run(task: Task, store: Store, stop: StopSignal) -> bool:
    """Check the code and the pretraining, and do the task; return whether anything failed."""
    check_code(task.code)
    missing = set(task.missing(store))
    if not missing:
        if all(store.read(task.kind, key) for key in task.keys):
            log.info("nothing is missing of %s", labels_of(task.work))
            return False
        log.error("the missing part of %s has failed in this job before", labels_of(task.work))
        return True
    work = []
    for job in task.work:
        start = job.pretraining
        if not missing.intersection(job.keys):
            continue
        if task.stage == "evaluate" and start.recipe and store.read("pretrain", start.key) is None:
            log.error("pretraining %s has no record, so its runs cannot start", start.key)
        else:
            work.append(replace(job, runs=[run for run in job.runs if run.key in missing]))
    return _do(task, work, store, stop) or missing != {key for job in work for key in job.keys}


def record_failures(task: Task, store: Store, keys: list[str], attempt: Attempt) -> None:
    """Store a failure of every key that has no record, for errors outside of the work itself.

    Keys are runs of the task or its pretraining; a control is made by the first job of its runs.
    """
    log.error("%s: %s", attempt.failure, attempt.message)
    for key in keys:
        record_failure(store, task.kind if key in task.keys else "pretrain", [key], attempt)


def _do(task: Task, work: list[Job], store: Store, stop: StopSignal) -> bool:
    """Do the work of a task; return whether any of it failed."""
    from ..execution.job import execute, prepare_process
    from ..pretraining.claim import Interrupted
    from ..pretraining.distributed import join_ranks, slurm_environment

    environment = slurm_environment()
    resources = environment.resources(task.resources)
    failed, last = False, ""
    started, in_progress = started_path(), Started()
    if environment.rank == 0:
        started.unlink(missing_ok=True)

    def report(event: "Event") -> None:
        nonlocal failed, last
        failed |= event.kind in ("failed", "elsewhere")
        if task.workers > 1 and (keys := in_progress.after(event)) is not None:
            write_atomic(started, json.dumps(keys))
        elif event.kind == "started" and environment.rank == 0:
            write_atomic(started, json.dumps(event.keys))
        _log(event, always=event.kind != last)
        last = event.kind

    if task.workers > 1:
        each = resources_of(task.resources, task.gpus, task.workers)
        try:
            execute_in_pool(work, store, each, report, stop)
        except Interrupted as stopped:
            log.warning("%s", stopped)
        return failed
    prepare_process(resources)
    with join_ranks(resources, environment) as ranks:
        try:
            for job in work:
                execute(job, store, resources, report, stop, ranks)
        except Interrupted as stopped:
            log.warning("%s", stopped)
    return failed


def started_path() -> Path:
    """Return the file with the keys of the work that this job started last."""
    from submitit import JobEnvironment

    paths = JobEnvironment().paths
    return paths.folder / f"{paths.job_id}_at.json"


def _log(event: "Event", always: bool) -> None:
    """Log an event; of progress only every hundredth part, and the first after a start."""
    what = "pretraining" if event.what == "pretrain" else f"{len(event.keys)} run(s)"
    if event.kind == "progress" and event.progress:
        now = event.progress
        if always or now.step % max(1, now.steps // 100) == 0:
            log.info(
                "step %d of %d, loss %.5f, %.0f images/s, %.0f s left",
                now.step, now.steps, now.loss, now.images_per_s, now.left_s,
            )  # fmt: skip
    elif event.kind == "started":
        log.info("started %s of %s", what, event.text)
    elif event.kind == "done":
        log.info("done %s %s", event.what, event.keys[0])
    elif event.kind == "failed":
        log.error("failed %s: %s", what, event.text)
    elif event.kind == "elsewhere":
        log.error("skipped: %s; submit again when that process has ended", event.text)
    elif event.kind == "warning":
        log.warning("%s", event.text)
