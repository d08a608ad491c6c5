"""Claims: only one process, or one group of ranks, trains a pretraining at a time."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..identity import Pretraining, Resources
from ..store.leases import LeaseHeldError, Renewed, lease
from ..store.progress import (
    LEASE,
    PROGRESS_FILE,
    Progress,
    last_checkpoint,
    steps_of,
    write_progress,
)
from ..store.records import Store
from .distributed import Ranks

if TYPE_CHECKING:
    from filelock import SoftFileLease


class Interrupted(Exception):
    """A pretraining that stopped on request, with its state saved."""


class RunningElsewhereError(Exception):
    """A pretraining that another process trains now."""


@dataclass(frozen=True)
class Claim:
    """The right to train a pretraining.

    Attributes:
        done: Whether another process finished it before.
        lost: Returns whether another process took it over.
    """

    done: bool
    lost: Callable[[], bool]


@contextmanager
def claim(
    identity: Pretraining,
    store: Store,
    resources: Resources,
    ranks: Ranks,
    should_stop: Callable[[], bool],
) -> Iterator[Claim]:
    """Keep other processes from training the same pretraining; the first rank decides for all.

    A control learns nothing, is done in a moment, and needs no claim.

    Raises:
        RunningElsewhereError: Another living process trains it.
        Interrupted: `should_stop` returned True while it was unknown whether that process lives.
    """
    with ExitStack() as stack:
        refused, held = "", None
        if identity.recipe is not None and ranks.first:
            try:
                held = stack.enter_context(_hold(identity, store, should_stop))
            except LeaseHeldError as error:
                refused = f"{error} trains it now"
        done = ranks.first and store.read("pretrain", identity.key) is not None
        refused, done = ranks.from_first([refused, done], resources.device)
        if refused and should_stop():
            raise Interrupted("stopped on request before the first step")
        if refused:
            raise RunningElsewhereError(refused)
        yield Claim(done, lambda: held is not None and held.compromise is not None)


@contextmanager
def _hold(
    identity: Pretraining, store: Store, should_stop: Callable[[], bool]
) -> Iterator["SoftFileLease"]:
    """Hold the lease of a pretraining, and show its progress from the start."""
    folder = store.folder("pretrain", identity.key)
    renewed = Renewed(folder / LEASE)
    with lease(folder / LEASE, lambda: should_stop() or renewed()) as held:
        batch = (identity.recipe or {})["batch"]
        write_progress(folder, Progress(last_checkpoint(folder), steps_of(identity), batch))
        try:
            yield held
        finally:
            if held.compromise is None:
                (folder / PROGRESS_FILE).unlink(missing_ok=True)
