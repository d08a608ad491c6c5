"""Two threads that train with half a batch each and exchange rows like two processes."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from threading import Barrier, BrokenBarrierError
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from ..pretraining.distributed import Ranks

TIMEOUT_S = 60.0  # a half that waits longer for the other fails
T = TypeVar("T")


class HalvesDifferError(RuntimeError):
    """One half gathered and the other did not."""


class _OtherHalfFailedError(RuntimeError):
    """The other half raised an error."""


class _Exchange:
    """The rows that two threads exchange."""

    def __init__(self) -> None:
        self._barrier = Barrier(2)
        self._given: list[tuple[str, Tensor | None]] = [("", None)] * 2

    def meet(self, rank: int, purpose: str, rows: Tensor | None) -> list[Tensor]:
        """Return the rows of both threads in order."""
        self._given[rank] = purpose, rows
        try:
            self._barrier.wait(TIMEOUT_S)
            given = list(self._given)
            self._barrier.wait(TIMEOUT_S)
        except BrokenBarrierError as error:
            raise _OtherHalfFailedError("the other half of the batch failed") from error
        if len({(what, None if one is None else one.shape) for what, one in given}) == 2:
            raise HalvesDifferError(
                "the two halves of a batch give gradients to different weights; every process must "
                "train the same weights"
                if {what for what, _ in given} == {"gradients"}
                else "the two halves of a batch call gather with different rows; every process "
                "must call batch.gather equally often, with rows of one shape"
            )
        return [one for _, one in given if one is not None]

    def abort(self) -> None:
        """End the wait of the other thread with an error."""
        self._barrier.abort()


@dataclass(frozen=True)
class ThreadRanks(Ranks):
    """The number of one of two threads, which exchange rows as processes do."""

    count: int = 2
    exchange: _Exchange = field(default_factory=_Exchange)

    def mean_gradients(self, module: nn.Module) -> None:
        """Average the gradients over both threads."""
        gradients = [p.grad for p in module.parameters() if p.grad is not None]
        flat = torch.cat([gradient.flatten() for gradient in gradients])
        mean = torch.stack(self.exchange.meet(self.rank, "gradients", flat)).mean(0)
        sizes = [gradient.numel() for gradient in gradients]
        for gradient, found in zip(gradients, mean.split(sizes), strict=True):
            gradient.copy_(found.view_as(gradient))

    def gather(self, rows: Tensor) -> Tensor:
        """Return the rows of both threads in order, with their gradient."""
        gathered: Any = _GatherRows.apply(rows, self)
        return gathered

    def mean(self, value: float, device: str) -> float:
        """Return the mean of a number over both threads."""
        number = torch.tensor(value, dtype=torch.float64)
        return float(torch.stack(self.exchange.meet(self.rank, "loss", number)).mean())


class _GatherRows(torch.autograd.Function):
    """Concatenation over threads; a row's gradient is its sum over both."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, ranks: ThreadRanks) -> Tensor:
        ctx.ranks, ctx.size = ranks, len(rows)
        return torch.cat(ranks.exchange.meet(ranks.rank, "gather", rows))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        ranks: ThreadRanks = ctx.ranks
        total = torch.stack(ranks.exchange.meet(ranks.rank, "gather", gradients[0])).sum(0)
        return total[ranks.rank * ctx.size :][: ctx.size], None


def in_two_threads(work: Callable[[ThreadRanks], T]) -> list[T]:
    """Run `work` in two threads with the ranks of two processes; return what each returns."""
    exchange = _Exchange()

    def run(rank: int) -> T:
        try:
            done = work(ThreadRanks(rank, exchange=exchange))
            exchange.meet(rank, "end", None)
        except BaseException:
            exchange.abort()
            raise
        return done

    with ThreadPoolExecutor(2) as pool:
        halves = [pool.submit(run, rank) for rank in range(2)]
    errors = [error for one in halves if (error := one.exception())]
    for error in sorted(errors, key=lambda error: isinstance(error, _OtherHalfFailedError)):
        raise error  # the cause first, then its consequence in the other half
    return [one.result() for one in halves]
