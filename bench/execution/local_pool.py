"""A pool of worker processes on this machine, one for each device slot.

If a worker is killed, the piece of work that it started last is recorded as failed. A new worker
does the rest of its job.
"""

import errno
import multiprocessing
import signal
from collections.abc import Callable, Generator
from contextlib import suppress
from dataclasses import replace
from multiprocessing.connection import wait

from ...results.record import Attempt
from ..identity import Job, Resources
from ..machine import cores
from ..store.atomic import NoSpaceError
from ..store.attempts import make_attempt
from ..store.records import Store
from .job import DeviceError, Event, report_failure
from .worker import work

STOP_S = 30.0  # time for a worker to save after SIGTERM
LOOK_S = 1.0  # time between two looks at `should_stop`


def local_resources(device: str, workers: int | None, threads: int) -> list[Resources]:
    """Return the resources of each worker: one per GPU, or one per `threads` cores.

    Raises:
        DeviceError: The device is unknown or does not exist.
    """
    import torch

    gpus = torch.cuda.device_count()
    if device == "auto":
        device = "cuda" if gpus else "cpu"
    if device == "cuda" and not gpus:
        raise DeviceError("no GPU is visible to torch; use --device cpu")
    if device == "cuda":
        count = workers or gpus
        return [Resources(device=f"cuda:{i % gpus}", threads=threads) for i in range(count)]
    if device != "cpu":
        raise DeviceError(f"unknown device {device!r}; allowed: auto, cpu, cuda")
    count = workers or max(1, cores() // threads)
    return [Resources(device="cpu", threads=threads)] * count


class _Worker:
    """A process with its job and the piece of work that it started last."""

    def __init__(self, store: Store, resources: Resources) -> None:
        context = multiprocessing.get_context("spawn")
        self.resources = resources
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=work, args=(theirs,), daemon=True)
        # SLURM sends SIGUSR2 to every process of a job; the parent stops the workers.
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR2})
        try:
            self.process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
        theirs.close()
        self._send((store, resources))
        self.job: Job | None = None
        self.started: Event | None = None
        self.error: Attempt | None = None

    def assign(self, job: Job) -> None:
        self.job, self.started = job, None
        self._send(job)

    def _send(self, value: object) -> None:
        with suppress(BrokenPipeError, ConnectionResetError):  # `run_jobs` notices that it ended
            self.connection.send(value)

    def stop(self) -> None:
        if self.process.is_alive():
            self.process.terminate()

    def end(self) -> None:
        """Wait for the process to end, or kill it."""
        self.process.join(STOP_S)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()


def run_jobs(
    jobs: list[Job],
    store: Store,
    resources: list[Resources],
    should_stop: Callable[[], bool] = lambda: False,
) -> Generator[Event, None, None]:
    """Execute jobs in worker processes, one for each of `resources`, and yield their events.

    Closing the generator, Ctrl-C in its consumer or `should_stop` stops the workers after they have
    saved.

    Raises:
        NoSpaceError: The disk is full; finished work is stored.
    """
    waiting = list(jobs)
    workers: list[_Worker] = []
    killed: set[str] = set()
    try:
        for each in resources[: len(waiting)]:
            workers.append(_Worker(store, each))
            workers[-1].assign(waiting.pop(0))
        while busy := [worker for worker in workers if worker.job]:
            if should_stop():
                return
            for connection in wait([worker.connection for worker in busy], LOOK_S):
                worker = next(w for w in busy if w.connection is connection)
                try:
                    event = worker.connection.recv()
                except (EOFError, ConnectionResetError):
                    rest = yield from _record_end(worker, store, killed)
                    workers.remove(worker)
                    waiting[:0] = rest
                    if waiting:
                        workers.append(_Worker(store, worker.resources))
                        workers[-1].assign(waiting.pop(0))
                    continue
                if isinstance(event, Attempt):
                    worker.error = event
                    continue
                if event is not None and event.kind == "full":
                    raise NoSpaceError(errno.ENOSPC, event.text)
                if event is not None:
                    worker.started = event if event.kind == "started" else worker.started
                    yield event
                elif waiting:
                    worker.assign(waiting.pop(0))
                else:
                    worker.job = None
    finally:
        for worker in workers:
            worker.stop()
        for worker in workers:
            worker.end()


def _record_end(
    worker: _Worker, store: Store, killed: set[str]
) -> Generator[Event, None, list[Job]]:
    """Record the failure of the work that an ended worker had started; return the rest of its job.

    `killed` holds the jobs whose worker was killed before it started any work. Such a job is
    returned once more; after that it counts as failed. So no job is repeated forever.
    """
    worker.end()
    job, started = worker.job, worker.started
    if job is None:
        return []
    starts = [one.key for one in job.pretrainings]
    unfinished = [key for key in starts if store.read("pretrain", key) is None]
    if started is None and worker.error is None and job.pretraining.key not in killed:
        killed.add(job.pretraining.key)
        return [job]
    trained = started.keys if started is not None and started.what == "pretrain" else []
    if trained and not set(trained) & set(unfinished):
        return [job] if job.runs or unfinished else []  # it ended between two pieces of work
    if started is not None:
        what, keys = started.what, started.keys
    elif unfinished:
        what, keys = "pretrain", unfinished
    else:
        what, keys = "evaluate", [run.key for run in job.runs]
    attempt = worker.error or make_attempt("killed", _how_ended(worker))
    events: list[Event] = []
    report_failure(what, keys, store, events.append, attempt)
    yield from events
    rest = job.only([key for key in starts if key not in unfinished])
    runs = [run for run in rest.runs if run.key not in keys] if rest else []
    return [replace(rest, runs=runs)] if rest and runs else []


def _how_ended(worker: _Worker) -> str:
    """Return how a process without a last message ended."""
    code = worker.process.exitcode or 0
    place = "" if worker.started else " before it started its job"
    if code >= 0:
        return f"the worker process ended with exit status {code}{place}; see its messages above"
    name = signal.Signals(-code).name
    hint = "; the system may have run out of memory" if -code == signal.SIGKILL else ""
    return f"the worker process was killed by {name}{place}{hint}"
