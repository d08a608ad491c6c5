"""Two halves of a batch in two threads that exchange rows like two processes."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Barrier, BrokenBarrierError, local
from typing import Any

import torch
from torch import Tensor

from ...methods._method import Batch
from ..pretraining.batch_norm import share_statistics
from ..pretraining.distributed import Ranks

TIMEOUT_S = 60.0  # a half that waits longer for the other fails


class HalvesDifferError(RuntimeError):
    """One half gathered and the other did not."""


class _OtherHalfFailedError(RuntimeError):
    """The other half raised an error."""


class _Exchange:
    """The rows that two threads exchange."""

    def __init__(self) -> None:
        self._barrier = Barrier(2)
        self._rows: list[Tensor | None] = [None, None]

    def gather(self, rank: int, rows: Tensor) -> Tensor:
        """Return the rows of both, in order, with their gradient."""
        return torch.cat(self._meet(rank, rows))

    def finish(self, rank: int) -> None:
        """Wait until the other thread has finished too."""
        self._meet(rank, None)

    def abort(self) -> None:
        """End the wait of the other thread with an error."""
        self._barrier.abort()

    def _meet(self, rank: int, rows: Tensor | None) -> list[Tensor]:
        self._rows[rank] = rows
        try:
            self._barrier.wait(TIMEOUT_S)
            found = list(self._rows)
            self._barrier.wait(TIMEOUT_S)
        except BrokenBarrierError as error:
            raise _OtherHalfFailedError("the other half of the batch failed") from error
        if len({None if one is None else one.shape for one in found}) == 2:
            raise HalvesDifferError(
                "the two halves of a batch call gather with different rows; every process must "
                "call batch.gather equally often, with rows of one shape"
            )
        return [one for one in found if one is not None]


def in_halves(method: Any, batch: Batch) -> list[tuple[Tensor, Tensor | None]]:
    """Return the loss and the rows for `after_step` of each half of a batch, in one graph."""
    exchange, place = _Exchange(), local()
    share_statistics(method, lambda rows: exchange.gather(place.rank, rows))

    def half(rank: int) -> tuple[Tensor, Tensor | None]:
        place.rank = rank
        share = slice(rank * len(batch.index) // 2, (rank + 1) * len(batch.index) // 2)
        own = replace(
            batch,
            views=tuple(view[share] for view in batch.views),
            index=batch.index[share],
            labels=None if batch.labels is None else batch.labels[share],
            gather=lambda rows: exchange.gather(rank, rows),
        )
        rng = Ranks(rank, 2).stream(0, "method checks", device="cpu")
        try:
            found = method.loss(own, rng)
            exchange.finish(rank)
        except BaseException:
            exchange.abort()
            raise
        return found

    with ThreadPoolExecutor(2) as pool:
        halves = [pool.submit(half, rank) for rank in range(2)]
    errors = [error for one in halves if (error := one.exception())]
    for error in sorted(errors, key=lambda error: isinstance(error, _OtherHalfFailedError)):
        raise error  # the cause first, then its consequence in the other half
    return [one.result() for one in halves]
