"""One pretraining, without a grid."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from ..data.find_set import prepare_set
from ..data.names import place_of, set_of
from ..execution.job import Event, execute
from ..grid.schema import GridError
from ..identity import Resources
from ..plan.plan import make_plan
from ..suggest import RequestError
from .requests import PathLike, data_in, grid_of, store_in


class PretrainingError(RuntimeError):
    """A pretraining that failed; the failure is stored too."""


def pretrain(
    method: str,
    pool: str | Sequence[str] = "synthetic",
    encoder: str = "vit_nano",
    recipe: str = "quick",
    seed: int = 0,
    *,
    config: Mapping[str, Any] | None = None,
    data: PathLike | None = None,
    runs: PathLike | None = None,
    device: str = "cpu",
    threads: int = 1,
    **fields: Any,
) -> str:
    """Pretrain an encoder, unless the store has it, and return its key.

    The key is that of the same pretraining in a grid, so a grid on this store takes it as done.
    `open_store(runs).encoder(key)` is the encoder.

    Args:
        method: A method by its name in the registry.
        pool: A pool or several, as in a grid.
        encoder: Size of the encoder, as in a grid.
        recipe: `paper`, `quick` or `source`.
        seed: Pretraining seed.
        config: Settings of the method that differ from its defaults.
        data: Folder of the data sets; by default that of SARBENCH_DATA, or `data`.
        runs: Folder of the store; by default that of SARBENCH_RUNS, or `runs`.
        device: `cpu` or `cuda:<index>`.
        threads: Threads of torch during the training.
        fields: Fields of the recipe that differ, such as `epochs=4`, and of `[pretrain]`, such as
            `pool_cap=1000`.

    Raises:
        GridError: An argument is not allowed; the message lists all that are wrong.
        PretrainingError: It failed.
    """
    pools = [pool] if isinstance(pool, str) else list(pool)
    section = {"pool": pools, "encoder": encoder, "recipe": recipe, "seeds": [seed], **fields}
    grid = grid_of(
        methods=[{"name": method, "config": dict(config or {})}],
        pretrain=section,
        evaluate={"datasets": ["synthetic"], "protocols": {"knn": ["all"]}},
    )
    store, folder = store_in(runs), data_in(data)
    plan = make_plan(grid, store, folder)  # refuses a wrong request before anything is written
    if len(plan.pretrain) != 1:
        raise GridError("a list sweeps a value in a grid; give single values here")
    store.check_writable()
    planned = plan.pretrain[0].planned
    for name in dict.fromkeys(map(set_of, planned.pool)):
        prepare_set(place_of(name), folder, store)
    plan = make_plan(grid, store, folder)
    entry = plan.pretrain[0]
    if entry.key is None:
        raise RequestError(f"the pool {', '.join(pools)} is not prepared; {entry.reason}")
    if entry.state != "done":
        _train(plan.job([entry.planned], []), store, Resources(device, threads))
    return entry.key


def _train(job: Any, store: Any, resources: Resources) -> None:
    failures = list[Event]()
    before = torch.get_num_threads()
    torch.set_num_threads(resources.threads)

    def note(event: Event) -> None:
        if event.kind in ("failed", "elsewhere"):
            failures.append(event)

    try:
        execute(job, store, resources, note)
    finally:
        torch.set_num_threads(before)
    if failures:
        raise PretrainingError(f"{job.label}: {failures[0].text}")
