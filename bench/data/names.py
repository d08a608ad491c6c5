"""Names of data sets and pools in grids and plans.

`mstar_soc:train`, the training split of a data set as a pool, is not a set of its own: it is read
from the files of `mstar_soc`.
"""

from ..suggest import nearest
from .registry import (
    HELD_OUT,
    UnknownDatasetError,
    card,
    dataset_names,
    is_dataset,
    is_pool,
)
from .source import Card

TRAIN = ":train"  # ends the name of a pool that is the training split of a data set


def split_source(name: str) -> str | None:
    """Return the data set of a training split `NAME:train`, or None for another kind of name.

    Raises:
        UnknownDatasetError: NAME is not a data set, or the part is not `train`.
    """
    if name.endswith(HELD_OUT):
        return None
    dataset, colon, part = name.rpartition(":")
    folder = name.startswith("folder:")
    if colon and part.startswith("train?"):
        query = part.removeprefix("train")
        raise UnknownDatasetError(
            f"{name!r} has options behind its part; they belong to the data set: write "
            f"{dataset + query + TRAIN!r}"
        )
    if not colon or (folder and (part != "train" or dataset == "folder")):
        return None
    if is_dataset(dataset) and part == "train":
        return dataset
    near = nearest(dataset, dataset_names())
    if is_dataset(dataset):
        hint = f"write {dataset + TRAIN!r}"
    elif is_pool(dataset):
        hint = f"{dataset!r} is a pool, which has no split: write {dataset!r}"
    else:
        hint = f"did you mean {near + TRAIN!r}?" if near else "`sarbench data ls` lists them"
    raise UnknownDatasetError(
        f"{name!r} is not a training split; allowed is NAME{TRAIN}, with NAME one of "
        f"{', '.join(dataset_names())}; {hint}"
    )


def split_name(given: str) -> tuple[str, bool]:
    """Return the name of a data set or pool without `pool:`, and True for a pool.

    Raises:
        UnknownDatasetError: A part of a data set other than its training split.
    """
    name = given.removeprefix("pool:")
    if (dataset := split_source(name)) is not None:
        return dataset, False
    if name != given:
        return name, True
    return given, is_pool(given) and not is_dataset(given)


def full_name(given: str) -> str:
    """Return the name of a set in plans: a pool is written `pool:<name>`."""
    name, pool = split_name(given)
    return f"pool:{name}" if pool else name


def stored_name(given: str) -> str:
    """Return the name of a set in records, stores and tables.

    A labelled folder has the last part of its path, so that its results do not depend on the place.
    """
    return card(given).name if given.startswith("folder:") else given


def set_of(pool: str) -> str:
    """Return the full name of the set from which a pool of a grid is read.

    A name that is a data set and not a pool is that data set; a grid refuses it as a pool. The
    stored name of a labelled folder is a data set too.
    """
    if isinstance(pool, PlacedName):
        return pool
    whole = not pool.startswith("folder:") and is_dataset(pool) and not is_pool(pool)
    return pool if whole else full_name(f"pool:{pool}")


class PlacedName(str):
    """The stored name of a labelled folder, which remembers the name with the path."""

    __slots__ = ("place",)
    place: str


def placed(given: str) -> str:
    """Return the stored name of a set with its place; a malformed name is returned as it is."""
    try:
        name = PlacedName(stored_name(given))
    except UnknownDatasetError:
        return given
    name.place = given
    return name if name != given else given


def place_of(name: str) -> str:
    """Return a name with the path of its files, if it has one."""
    return name.place if isinstance(name, PlacedName) else name


def card_of(given: str) -> Card:
    """Return the card of a set.

    Raises:
        UnknownDatasetError: No such name.
    """
    name, pool = split_name(given)
    return card(name, pool=pool)
