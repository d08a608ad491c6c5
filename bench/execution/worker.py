"""The start of a worker process: imports what it needs where errors can be reported."""

import signal
import traceback
from multiprocessing.connection import Connection
from typing import NamedTuple


class Died(NamedTuple):
    """The exception that ended a worker process."""

    failure: str  # its class
    message: str
    trace: str


def work(connection: Connection) -> None:
    """Receive what this worker is given, and execute jobs until the other end closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all; the parent decides
    at = "could not start"
    try:
        from .local_pool import prepare, serve

        store, resources = connection.recv()
        stop = prepare(resources)
        at = "ended"
        serve(connection, store, resources, stop)
    except Exception as error:  # whatever it is: the parent records it for what was to be done
        message = f"the worker process {at}: {error}"
        died = Died(type(error).__name__, message, traceback.format_exc())
        try:
            connection.send(died)
        except OSError:  # the parent is gone
            return
