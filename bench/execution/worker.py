"""A worker process: it receives jobs from a connection and sends their events.

Torch is imported where an error can be reported.
"""

import signal
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING

from ..identity import Resources
from ..store.atomic import NoSpaceError
from ..store.attempts import attempt_of, make_attempt
from ..store.records import Store

if TYPE_CHECKING:
    from .job import Event


def work(connection: Connection) -> None:
    """Receive the store and resources, then execute jobs until the connection closes.

    An exception that ends the process is sent as an attempt, which the parent records.
    """
    # Ctrl-C reaches every process; the parent stops the workers.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    ended = "could not start"
    try:
        from .job import prepare_process

        store, resources = connection.recv()
        stop = stop_on_sigterm()
        prepare_process(resources)
        ended = "ended"
        execute_jobs(connection, store, resources, stop)
    except Exception as error:
        with suppress(OSError):  # the parent has ended
            connection.send(attempt_of(error, f"the worker process {ended}: {error}"))


def stop_on_sigterm() -> Callable[[], bool]:
    """Handle SIGTERM; return a function that returns True once it was received."""
    stop = False

    def request_stop(*_: object) -> None:
        nonlocal stop
        stop = True

    signal.signal(signal.SIGTERM, request_stop)
    return lambda: stop


def execute_jobs(
    connection: Connection,
    store: Store,
    resources: Resources,
    stop: Callable[[], bool],
) -> None:
    """Execute jobs from a connection until it closes or SIGTERM is received."""
    from ..pretraining.claim import Interrupted
    from .job import Event, execute

    def report(event: "Event | None") -> None:
        try:
            connection.send(event)
        except BrokenPipeError:
            raise Interrupted("the parent process has ended") from None

    try:
        while not stop():
            if not connection.poll(0.2):
                continue
            job = connection.recv()
            execute(job, store, resources, report, stop)
            report(None)
    except EOFError:
        return
    except Interrupted as stopped:
        message = f"SIGTERM ended the worker process: {stopped}"
        with suppress(OSError):  # the parent has ended
            connection.send(make_attempt("cancelled", message))
    except NoSpaceError as error:
        with suppress(OSError):  # the parent has ended
            connection.send(Event("full", text=str(error.strerror)))
