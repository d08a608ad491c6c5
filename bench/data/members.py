"""The members of a pool in an identity, and the number of chips that are drawn from them."""

from collections.abc import Callable, Sequence
from typing import Any

from .names import set_of
from .packed import Summary
from .registry import TRAIN, split_source


def pool_count(total: int, cap: int | None, fraction: float) -> int:
    """Return how many of the `total` chips of a pool are drawn, after cap and fraction."""
    return round(fraction * min(total, total if cap is None else cap))


def pool_members(
    pool: Sequence[str], summary: Callable[[str], Summary | None]
) -> list[dict[str, Any]] | None:
    """Return the members of a pool as an identity holds them; None where one is not known.

    A training split has two keys more than another pool: its split digest and its number of
    classes.

    Args:
        pool: Names as in a grid.
        summary: Returns the summary of a set by its full name.
    """
    members = []
    for name in pool:
        found = summary(set_of(name))
        if found is None:
            return None
        members.append(_member(name, found))
    return members


def member_count(name: str, found: Summary) -> int:
    """Return how many chips a pool of a grid has in the set that it is read from."""
    return found.count if split_source(name) is None else sum(found.counts["train"].values())


def _member(name: str, found: Summary) -> dict[str, Any]:
    count, digest = member_count(name, found), found.data_digest
    if split_source(name) is None:
        return {"name": found.name, "digest": digest, "count": count}
    return {
        "name": found.name + TRAIN,
        "digest": digest,
        "count": count,
        "split": found.split_digest,
        "classes": len(found.classes),
    }
