"""Leases: locks that make one process at a time do a piece of work, on one or several machines.

A lease is a file that its holder renews. It is free again when its holder has ended (on the same
machine) or has not renewed it for `LEASE_S`. `filelock` ensures that only one process takes it.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # a plan or a table starts without filelock
    from filelock import SoftFileLease

LEASE_S = 120.0  # longer than a network file system caches the time of a file
RENEW_S = 5.0


class LeaseHeldError(Exception):
    """A lease that another process holds; the message names the process."""


@contextmanager
def lease(
    path: Path, cancelled: Callable[[], bool], wait_s: float = LEASE_S + 15
) -> Iterator["SoftFileLease"]:
    """Hold a lease; its `compromise` is set if another process takes it over.

    Args:
        path: The file of the lease.
        cancelled: Called while another process holds the lease; true ends the wait.
        wait_s: Seconds to wait.

    Raises:
        LeaseHeldError: The lease was not free in time.
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
    """Describe the process that holds a lease."""
    from filelock import SoftFileLease

    owner = SoftFileLease(path, lease_duration=LEASE_S).owner
    if owner is None:
        return "another process"
    return f"process {owner.pid} on {owner.hostname.split('?')[0]}"  # after "?": PID namespace


class Renewed:
    """A callable, true once the holder has renewed its lease, which shows that it is alive."""

    def __init__(self, path: Path) -> None:
        self._path, self._first_ns = path, 0

    def __call__(self) -> bool:
        """Return whether the file has changed since the first call."""
        try:
            changed_ns = self._path.stat().st_mtime_ns
        except OSError:
            return False
        self._first_ns = self._first_ns or changed_ns
        return changed_ns != self._first_ns
