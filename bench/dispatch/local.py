"""A bounded pool of worker processes on this machine: one job each, one process per device slot.

A worker that is killed takes nothing with it: the piece it was at is recorded as failed, the rest
of its job is handed to a fresh worker.
"""

import errno
import multiprocessing
import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from multiprocessing.connection import Connection, wait
from pathlib import Path

from ..jobs import DeviceError, Event, execute, prepare_process, record_failure
from ..pretrain import Interrupted
from ..run import Job, Resources
from ..store import NoSpaceError, Store

STOP_S = 30.0  # how long a worker may take to save when it is asked to stop


def local_resources(device: str, workers: int | None, threads: int) -> list[Resources]:
    """Return the resources of each worker: one per GPU, or one per core and `threads`.

    Raises:
        DeviceError: The device is not there.
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
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    count = workers or max(1, (cores or 1) // threads)
    return [Resources(device="cpu", threads=threads)] * count


class _Worker:
    """One process, and what it is at."""

    def __init__(self, store: Store, data_dir: Path, resources: Resources) -> None:
        context = multiprocessing.get_context("spawn")
        self.resources = resources
        self.connection, theirs = context.Pipe()
        arguments = (theirs, store, data_dir, resources)
        self.process = context.Process(target=_work, args=arguments, daemon=True)
        self.process.start()
        theirs.close()
        self.job: Job | None = None
        self.at: Event | None = None

    def give(self, job: Job) -> None:
        self.job, self.at = job, None
        self.connection.send(job)

    def stop(self) -> None:
        if self.process.is_alive():
            self.process.terminate()


def _work(connection: Connection, store: Store, data_dir: Path, resources: Resources) -> None:
    """Execute jobs until the other end closes; SIGTERM finishes the step, saves and ends."""
    stop = False

    def ask_to_stop(*_: object) -> None:
        nonlocal stop
        stop = True

    signal.signal(signal.SIGTERM, ask_to_stop)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all; the parent decides

    def tell(event: Event | None) -> None:
        try:
            connection.send(event)
        except BrokenPipeError:
            raise Interrupted("whoever gave this job is gone") from None

    prepare_process(resources)
    try:
        while not stop:
            if not connection.poll(0.2):
                continue
            job = connection.recv()
            execute(job, store, data_dir, resources, tell, lambda: stop)
            tell(None)
    except (Interrupted, EOFError):
        return
    except NoSpaceError as error:
        with suppress(BrokenPipeError):
            connection.send(Event("full", text=str(error.strerror)))


def run_jobs(
    jobs: list[Job], store: Store, data_dir: Path, resources: list[Resources]
) -> Iterator[Event]:
    """Yield what happens until every job is done or has failed.

    Closing the generator (or Ctrl-C in its consumer) asks the workers to save and stop, and waits.

    Raises:
        NoSpaceError: The disk is full; what is finished is stored.
    """
    waiting = list(jobs)
    workers: list[_Worker] = []
    try:
        for each in resources[: len(waiting)]:
            workers.append(_Worker(store, data_dir, each))
            workers[-1].give(waiting.pop(0))
        while busy := [worker for worker in workers if worker.job]:
            for connection in wait([worker.connection for worker in busy]):
                worker = next(w for w in busy if w.connection is connection)
                try:
                    event = worker.connection.recv()
                except (EOFError, ConnectionResetError):
                    yield from _bury(worker, waiting, store)
                    workers.remove(worker)
                    if waiting:
                        workers.append(_Worker(store, data_dir, worker.resources))
                        workers[-1].give(waiting.pop(0))
                    continue
                if event is not None and event.kind == "full":
                    raise NoSpaceError(errno.ENOSPC, event.text)
                if event is not None:
                    worker.at = event if event.kind == "started" else worker.at
                    yield event
                elif waiting:
                    worker.give(waiting.pop(0))
                else:
                    worker.job = None
    finally:
        for worker in workers:
            worker.stop()
        for worker in workers:
            worker.process.join(STOP_S)
            if worker.process.is_alive():
                worker.process.kill()
                worker.process.join()


def _bury(worker: _Worker, waiting: list[Job], store: Store) -> Iterator[Event]:
    """Record what a dead worker was at, and put the rest of its job back."""
    worker.process.join()
    job, at = worker.job, worker.at
    if job is None:
        return
    what, keys = (at.what, at.keys) if at else ("pretrain", [job.pretraining.key])
    events: list[Event] = []
    code = worker.process.exitcode or 0
    cause = f"by signal {-code} ({signal.Signals(-code).name})" if code < 0 else f"with exit {code}"
    message = f"the worker process ended {cause}; signal 9 often means out of memory"
    record_failure(what, keys, store, events.append, "killed", message)
    yield from events
    rest = [run for run in job.runs if run.key not in keys]
    if what == "evaluate" and rest:
        waiting.insert(0, replace(job, runs=rest))
