"""The members of a pool in the identity of a pretraining."""

from collections.abc import Callable, Sequence
from typing import Any

from .names import TRAIN, set_of, split_source
from .packed import Summary


def pool_members(
    pool: Sequence[str], summary: Callable[[str], Summary | None]
) -> list[dict[str, Any]] | None:
    """Return the members of a pool for an identity; None if a set is not known.

    A training split has two more keys than another pool: its split digest and its number of
    classes.

    Args:
        pool: Names in a grid.
        summary: Returns the summary of a set by its full name.
    """
    members = []
    for name in pool:
        found = summary(set_of(name))
        if found is None:
            return None
        members.append(_member(name, found))
    return members


def _member(name: str, found: Summary) -> dict[str, Any]:
    member = {"name": found.name, "digest": found.data_digest, "count": found.count}
    if split_source(name) is None:
        return member
    return member | {
        "name": found.name + TRAIN,
        "count": sum(found.counts["train"].values()),
        "split": found.split_digest,
        "classes": len(found.classes),
    }
