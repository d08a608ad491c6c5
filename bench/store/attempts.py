"""Failures, and their attempts in the store."""

import traceback
from collections.abc import Callable, Iterable, Sequence

from ...results.record import Attempt
from ..identity import Kind
from .atomic import NoSpaceError
from .provenance import host, now
from .records import Store


def make_attempt(failure: str, message: str, log_tail: Sequence[str] = ()) -> Attempt:
    """Return a failure without an exception; `failure` is its class."""
    return Attempt(
        failure=failure, message=message, traceback="", log_tail=list(log_tail), host=host(),
        time=now(),
    )  # fmt: skip


def attempt_of(error: Exception, message: str = "") -> Attempt:
    """Return the failure by an exception, whose class may have an attribute `failure_class`."""
    of_class = getattr(error, "failure_class", None)
    return Attempt(
        failure=type(error).__name__,
        failure_class="out_of_memory" if isinstance(error, MemoryError) else of_class,
        message=message or str(error),
        traceback="".join(traceback.format_exception(error)),
        host=host(),
        time=now(),
    )


def record_failure(
    store: Store,
    kind: Kind,
    keys: Iterable[str],
    attempt: Attempt,
    warn: Callable[[str], None] | None = None,
) -> list[str]:
    """Write a failure of every key that has no record; return these keys.

    Args:
        store: The store.
        kind: `pretrain` or `evaluate`.
        keys: Keys of the failed work.
        attempt: The failure.
        warn: Called with a message if an attempt cannot be written; without it, that is an error.

    Raises:
        NoSpaceError: The disk is full.
    """
    failed = [key for key in keys if store.read(kind, key) is None]
    for key in failed:
        try:
            store.write_attempt(kind, key, attempt)
        except OSError as error:
            if warn is None or isinstance(error, NoSpaceError):
                raise
            warn(f"the failure could not be stored: {error}")
    return failed
