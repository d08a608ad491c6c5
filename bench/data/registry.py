"""Data sets and pools by name."""

from functools import cache
from pathlib import Path
from typing import Any

from ..suggest import unknown
from .files import DatasetNotFoundError
from .source import Card, Source
from .sources import fusar_ship, image_folders, mstar, sar_acd, synthetic

# A new data set is one file in `sources/` and one line here.
SOURCES: tuple[Source, ...] = (
    *image_folders.POOLS,
    mstar.Mstar(),
    sar_acd.SarAcd(),
    fusar_ship.FusarShip(),
    synthetic.Synthetic(),
)


class UnknownDatasetError(LookupError):
    """A name that belongs to no data set or pool."""


@cache
def _cards(kind: str) -> dict[str, Card]:
    cards = [card for source in SOURCES for card in source.cards()]
    return {card.name: card for card in cards if card.kind == kind}


def dataset_names() -> tuple[str, ...]:
    """Return the names of all data set variants; a bare name is the default variant."""
    return tuple(_cards("dataset"))


def pool_names() -> tuple[str, ...]:
    """Return the names of all pools; `folder:PATH` is a pool too."""
    return tuple(_cards("pool"))


def card(name: str, *, pool: bool = False) -> Card:
    """Return the card of a data set or pool.

    Args:
        name: A name of `dataset_names()` or `pool_names()`, or `folder:PATH`, optionally followed
            by `?transform=chip_max`.
        pool: Choose the pool if a data set has the same name (`synthetic`).

    Raises:
        UnknownDatasetError: No such name; the message has the nearest one.
    """
    if name.startswith("folder:"):
        found = image_folders.folder_card(name)
        if found is None:
            transforms = ", ".join(image_folders.TRANSFORMS)
            raise UnknownDatasetError(
                f"{name!r} is not a folder pool; write folder:PATH or "
                f"folder:PATH?transform=chip_max (transforms: {transforms})"
            )
        return found
    datasets, all_pools = _cards("dataset"), _cards("pool")
    found = all_pools.get(name) if pool else datasets.get(name) or all_pools.get(name)
    if found is not None:
        return found
    splits = [f"{dataset}:train" for dataset in datasets]
    known = (*all_pools, *splits) if pool else (*datasets, *all_pools)
    kind = "pool" if pool else "data set or pool"
    raise UnknownDatasetError(unknown(kind, name, [*known, "folder:PATH"]))


def describe(card: Card, data_dir: Path) -> dict[str, Any]:
    """Return all that is known of a data set or pool before its files are read."""
    source = card.source
    try:
        found = source.find(card, data_dir)
    except DatasetNotFoundError:
        found = None
    return {
        "name": card.name,
        "kind": card.kind,
        "title": card.title,
        "description": card.what,
        "where": source.where,
        "licence": source.licence,
        "citation": source.citation,
        "layouts": source.layouts,
        "folders": source.folders,
        "found": str(found) if found is not None and found.exists() else None,
        "crop_px": card.crop_px,
        "transform": card.transform,
        "images": card.total,
        "extra_controls": source.extra_controls,
        "counts": card.counts,
    }
