"""Chips that pools share with data sets."""

from collections.abc import Mapping

from ..data.names import TRAIN, card_of, place_of, set_of
from ..data.packed import Summary
from ..data.sharing import Sharing, sharing
from ..grid.schema import Grid, GridError, as_list, describe_pool
from ..store.records import Store

# Pool, as named in the grid -> data set -> the chips that they share.
Shared = dict[tuple[str, ...], dict[str, Sharing]]


class OverlapError(GridError):
    """A pool shares chips with a test set."""


def sharing_of(
    grid: Grid, data: Mapping[str, Summary], pools: list[tuple[str, ...]], store: Store
) -> Shared:
    """Return the chips that each pool shares with each data set, where both are known."""
    pretrain, result = grid.pretrain, {}
    fraction = max(as_list(pretrain.pool_fraction))
    for pool in pools:
        members = [one for name in pool if (one := data.get(set_of(name)))]
        if len(members) < len(pool):
            continue
        shared = {
            name: sharing(pool, members, pretrain.pool_cap, fraction, data[name], store.root)
            for name in grid.evaluate.datasets
            if name in data
        }
        if known := {name: one for name, one in shared.items() if one}:
            result[pool] = known
    return result


def own_copies(grid: Grid, data: Mapping[str, Summary], store: Store) -> Shared:
    """Return what the training split of each data set of a user shares with its test chips.

    Data sets whose chips have a bundled list are left out: `docs/audit.md` has their copies.
    """
    result: Shared = {}
    for name in () if grid.of_trials else grid.evaluate.datasets:
        if (known := data.get(name)) and card_of(place_of(name)).is_of_user:
            names = (f"{name}{TRAIN}",)
            if one := sharing(names, [known], None, 1.0, known, store.root):
                result[names] = {name: one}
    return result


def overlaps_in(shared: Shared) -> list[str]:
    """Return a statement for each pool that holds test chips."""
    statements = []
    for pool, datasets in shared.items():
        listed = [f"{one.test} test chips of {name}" for name, one in datasets.items() if one.test]
        if listed:
            statements.append(f"the pool {describe_pool(pool)} holds {', '.join(listed)}")
    return statements


def refuse_overlaps(grid: Grid, shared: Shared) -> None:
    """Refuse pools that hold test chips, unless the grid allows it.

    Raises:
        OverlapError: The message lists them.
    """
    overlaps = overlaps_in(shared)
    if overlaps and not grid.pretrain.allow_overlap:
        raise OverlapError(
            f"{'; '.join(overlaps)}: an encoder pretrained on it has seen test chips. Use "
            "another pool, or set allow_overlap = true under [pretrain]; every table will then "
            "report it"
        )
