"""Leases: one process at a time does a piece of work, on this machine or on another.

A lease is a file that its holder renews. It is free again when its holder has ended (on the same
machine) or has not renewed it for `LEASE_S`; filelock makes sure that only one process takes it.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # a plan or a table starts without it
    from filelock import SoftFileLease

LEASE_S = 120.0  # longer than a network file system keeps old file times
RENEW_S = 5.0


class LeaseHeldError(Exception):
    """Another process holds the lease; the message names it."""


@contextmanager
def lease(
    path: Path, cancelled: Callable[[], bool], wait_s: float = LEASE_S + 15
) -> Iterator["SoftFileLease"]:
    """Hold a lease; its `compromise` is set if another process took it over meanwhile.

    Args:
        path: The file of the lease.
        cancelled: Asked while another process holds it; true ends the wait.
        wait_s: Seconds to wait.

    Raises:
        LeaseHeldError: It was not free in time.
    """
    from filelock import SoftFileLease, Timeout

    path.parent.mkdir(parents=True, exist_ok=True)
    held = SoftFileLease(path, lease_duration=LEASE_S, heartbeat_interval=RENEW_S)
    try:
        held.acquire(timeout=wait_s, poll_interval=0.1, cancel_check=cancelled)
    except Timeout:
        raise LeaseHeldError(holder(path)) from None
    try:
        yield held
    finally:
        held.release()


def holder(path: Path) -> str:
    """Return the process that holds a lease, in words."""
    from filelock import SoftFileLease

    owner = SoftFileLease(path, lease_duration=LEASE_S).owner
    if owner is None:
        return "another process"
    return f"process {owner.pid} on {owner.hostname.split('?')[0]}"  # then: its PID namespace


class Renewed:
    """Return true once a lease was renewed since the first call: its holder is alive."""

    def __init__(self, path: Path) -> None:
        self._path, self._seen = path, 0

    def __call__(self) -> bool:
        """Return whether the file changed since the first call."""
        try:
            at = self._path.stat().st_mtime_ns
        except OSError:
            return False
        self._seen = self._seen or at
        return at != self._seen
