"""The processes of one pretraining: each takes its part of every batch, all hold the same weights.

Every process draws for the whole batch and keeps its part, so the number of processes changes no
mask and no crop. Losses and gradients are averaged in every step. With the same global batch the
loss curve is that of one process, except for the order of sums.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from hashlib import sha256
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from ..identity import Resources
from ..seeding import torch_stream
from .batch_share import batch_share

TIMEOUT = timedelta(minutes=15)  # how long a process waits for the others


class RanksDifferError(RuntimeError):
    """Processes of one pretraining with different steps or weights."""


class StepGenerator(torch.Generator):
    """A generator of a process that holds part `part[0]` of `part[1]` of the batch.

    On a GPU, `host` draws in its place where `methods/_masking.py` draws: the generator of the same
    stream on the CPU.
    """

    part: tuple[int, int]
    host: torch.Generator


@dataclass(frozen=True)
class Ranks:
    """The number of this process among those of its pretraining."""

    rank: int = 0
    count: int = 1

    @property
    def first(self) -> bool:
        """True for the only process that writes files."""
        return self.rank == 0

    def share(self, batch: int) -> slice:
        """Return the rows of a global batch that this process takes.

        Raises:
            BatchShareError: The batch does not divide evenly.
        """
        size = batch_share(batch, self.count)
        return slice(self.rank * size, (self.rank + 1) * size)

    def stream(self, seed: int, *purpose: str | int, device: str) -> torch.Generator:
        """Return the random stream of one purpose, with the part that this process keeps.

        Crops and masks are drawn on the CPU, so they are the same on every device.
        """
        host = torch_stream(seed, *purpose)
        if self.count == 1 and torch.device(device).type == "cpu":
            return host
        rng = StepGenerator(device)
        rng.manual_seed(host.initial_seed())
        rng.part = (self.rank, self.count)
        if rng.device.type != "cpu":
            rng.host = host
        return rng

    def mean_gradients(self, module: nn.Module) -> None:
        """Average the gradients over all processes, in one message."""
        if self.count == 1:
            return
        gradients = [p.grad for p in module.parameters() if p.grad is not None]
        flat = torch.cat([gradient.flatten() for gradient in gradients])
        dist.all_reduce(flat)
        flat /= self.count
        sizes = [gradient.numel() for gradient in gradients]
        for gradient, mean in zip(gradients, flat.split(sizes), strict=True):
            gradient.copy_(mean.view_as(gradient))

    def gather(self, rows: Tensor) -> Tensor:
        """Return the rows of all processes in the order of the whole batch, with their gradient."""
        return rows if self.count == 1 else _GatherRows.apply(rows, self.rank, self.count)

    def mean(self, value: float, device: str) -> float:
        """Return the mean of a number over all processes, the same bits in each."""
        return self.means([value], device)[0]

    def means(self, values: list[float], device: str) -> list[float]:
        """Return the mean of each number over all processes, the same bits in each."""
        if self.count == 1:
            return values
        totals = torch.tensor(values, dtype=torch.float64, device=device)
        dist.all_reduce(totals)
        return [total / self.count for total in totals.tolist()]

    def wait(self) -> None:
        """Wait until every process has called this."""
        if self.count > 1:
            dist.barrier()

    def from_first(self, value: Any, device: str) -> Any:
        """Return the value of the first process, which must be picklable, in every process."""
        if self.count == 1:
            return value
        held = [value if self.first else None]
        dist.broadcast_object_list(held, src=0, device=torch.device(device))
        return value if self.first else held[0]

    def check_same(self, step: int, module: nn.Module) -> None:
        """Check that every process has the same step and the same weights.

        Raises:
            RanksDifferError: They differ.
        """
        if self.count == 1:
            return
        digest = sha256()
        for tensor in module.state_dict().values():
            flat = tensor.detach().cpu().contiguous().reshape(-1)
            digest.update(flat.view(torch.uint8).numpy())
        found: list[Any] = [None] * self.count
        dist.all_gather_object(found, (step, digest.hexdigest()))
        for rank, (other, weights) in enumerate(found):
            if (other, weights) != found[0]:
                raise RanksDifferError(
                    f"process {rank} begins at step {other} with weights {weights[:12]}, process "
                    f"0 at step {found[0][0]} with {found[0][1][:12]}; they must be the same. "
                    "Rerun the pretraining on nodes of one kind with the same versions"
                )


class _GatherRows(torch.autograd.Function):
    """Concatenation over processes; a row's gradient is its sum over all processes."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, rank: int, count: int) -> Tensor:
        ctx.own = slice(rank * len(rows), (rank + 1) * len(rows))
        rows = rows.contiguous()
        found = [torch.empty_like(rows) for _ in range(count)]
        dist.all_gather(found, rows)
        return torch.cat(found)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        total = gradients[0].contiguous()
        dist.all_reduce(total)
        return total[ctx.own], None, None


ALONE = Ranks()


@contextmanager
def join_ranks(resources: Resources, environment: "Environment | None") -> Iterator[Ranks]:
    """Connect the processes of this job, if there are several."""
    if environment is None or environment.count == 1:
        yield Ranks()
        return
    dist.init_process_group(
        "nccl" if resources.device.startswith("cuda") else "gloo",
        init_method=f"tcp://{environment.host}:{environment.port}",
        rank=environment.rank,
        world_size=environment.count,
        timeout=TIMEOUT,
    )
    try:
        yield Ranks(environment.rank, environment.count)
    finally:
        dist.destroy_process_group()


@dataclass(frozen=True)
class Environment:
    """The address at which the processes of a job connect, and this one's number."""

    host: str  # of the first process
    port: int
    rank: int
    local_rank: int
    count: int

    def resources(self, resources: Resources) -> Resources:
        """Return the resources of this process: the GPU of its own number on the node."""
        if not resources.device.startswith("cuda"):
            return resources
        return replace(resources, device=f"cuda:{self.local_rank}")


def slurm_environment() -> Environment:
    """Return the environment that SLURM gave this process."""
    from submitit import JobEnvironment

    given = JobEnvironment()
    # Another port after every restart, because the last one may not be free yet.
    port = (
        20000 + (int(given.raw_job_id) * 7 + int(os.environ.get("SLURM_RESTART_COUNT", 0))) % 9973
    )
    return Environment(
        host=given.hostnames[0] if given.num_nodes > 1 else "127.0.0.1",
        port=port,
        rank=given.global_rank,
        local_rank=given.local_rank,
        count=given.num_tasks,
    )
