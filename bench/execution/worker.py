"""The start of a worker process, which imports torch where an error can be reported."""

import signal
import traceback
from multiprocessing.connection import Connection
from typing import NamedTuple


class WorkerError(NamedTuple):
    """The exception that ended a worker process."""

    failure: str  # class of the exception
    message: str
    trace: str


def work(connection: Connection) -> None:
    """Receive the store and resources, then execute jobs until the connection closes."""
    signal.signal(
        signal.SIGINT, signal.SIG_IGN
    )  # Ctrl-C reaches every process; the parent stops the workers
    ended = "could not start"
    try:
        from .local_pool import execute_jobs, prepare_worker

        store, resources = connection.recv()
        stop = prepare_worker(resources)
        ended = "ended"
        execute_jobs(connection, store, resources, stop)
    except Exception as error:  # the parent records any exception as the failure of the job
        message = f"the worker process {ended}: {error}"
        failed = WorkerError(type(error).__name__, message, traceback.format_exc())
        try:
            connection.send(failed)
        except OSError:  # the parent has ended
            return
