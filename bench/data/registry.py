"""Data sets and pools by name."""

import re
from dataclasses import replace
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from ..suggest import unknown
from .files import DatasetNotFoundError
from .rendering import OptionError
from .source import HELD_OUT, Card, Source
from .sources import (
    atrnet_star,
    card_file,
    fusar_ship,
    image_folders,
    labelled_folder,
    mstar,
    opensarship,
    sar_acd,
    synthetic,
)

# A new data set is one file in `sources/` and one line here.
SOURCES: tuple[Source, ...] = (
    *image_folders.POOLS,
    mstar.Mstar(),
    sar_acd.SarAcd(),
    fusar_ship.FusarShip(),
    opensarship.OpenSARShip(),
    atrnet_star.AtrnetStar(),
    synthetic.Synthetic(),
)


OPTIONS = re.compile(r"\?[^:]*")  # of a name; a part such as `:held_out` may follow
GROUP = "sarbench.datasets"  # of entry points: NAME = "module:path of NAME.card.toml"

_added: dict[str, Card | str] = {}  # by card files; a text is the reason why a card is unusable


class UnknownDatasetError(LookupError):
    """A name that belongs to no data set or pool."""


@cache
def _cards(kind: str) -> dict[str, Card]:
    cards = [card for source in SOURCES for card in source.cards()]
    return {card.name: card for card in cards if card.kind == kind}


def cards_in(folder: Path) -> list[Path]:
    """Return the card files in a folder, which need not exist."""
    return sorted(folder.glob(f"*{card_file.SUFFIX}"))


def add_cards(folder: Path) -> None:
    """Make the data sets of the card files in a folder known, in place of earlier ones.

    A card of a store, which has no folder of chips, does not replace one that has.
    """
    for path in cards_in(folder):
        _add(path.name.removesuffix(card_file.SUFFIX), path)


def _add(name: str, path: Path) -> None:
    if name in (*_cards("dataset"), *_cards("pool")):
        _added[name] = f"{path}: {name} is a data set of sarbench; rename the file"
        return
    try:
        found = card_file.card_from(path)
    except (card_file.CardError, OSError) as error:
        _added[name] = str(error)
        return
    if card_file.has_folder(found) or not isinstance(_added.get(name), Card):
        _added[name] = found


@cache
def _add_installed() -> None:
    """Add the data sets of installed packages."""
    for entry in entry_points(group=GROUP):
        try:
            path = Path(entry.load())
        except Exception as error:  # code of another package; the message must name it
            _added[entry.name] = f"the package of data set {entry.name!r} fails: {error}"
            continue
        _add(entry.name, path)


def added() -> dict[str, Card | str]:
    """Return the cards of users by name, or the reason why one cannot be used."""
    _add_installed()
    return dict(_added)


def is_dataset(name: str) -> bool:
    """Return whether a name is that of a data set: a known one, or `folder:PATH`."""
    if name.startswith("folder:"):
        return not name.endswith(":train")  # a training split is a pool
    return without_options(name).removesuffix(HELD_OUT) in dataset_names()


def is_pool(name: str) -> bool:
    """Return whether a name, without options, is that of a pool of the registry."""
    return without_options(name) in pool_names()


def without_options(name: str) -> str:
    """Return NAME of `NAME?key=value&...`, with its part: `NAME:held_out`."""
    return name if name.startswith("folder:") else OPTIONS.sub("", name)


def pool_unless_labelled(given: str, data_dir: Path) -> str:
    """Return a name as given, or `pool:folder:PATH` for a folder that does not hold a split.

    Raises:
        UnknownDatasetError: The name is malformed.
    """
    if not given.startswith("folder:") or given.endswith(HELD_OUT):
        return given
    try:
        return given if labelled_folder.is_labelled(given, data_dir) else f"pool:{given}"
    except labelled_folder.FolderNameError as error:
        raise UnknownDatasetError(str(error)) from None


def malformed(name: str) -> str:
    """Return the reason why a name with a path or options is not allowed; empty if it is."""
    try:
        if name.startswith("folder:") or "?" in name:
            card(name)
        return ""
    except UnknownDatasetError as error:
        return str(error)


def dataset_names() -> tuple[str, ...]:
    """Return the names of all data set variants; a bare name is the default variant."""
    mine = (name for name, one in added().items() if isinstance(one, Card))
    return (*_cards("dataset"), *mine)


def pool_names() -> tuple[str, ...]:
    """Return the names of all pools; `folder:PATH` is a pool too."""
    return tuple(_cards("pool"))


def card(name: str, *, pool: bool = False) -> Card:
    """Return the card of a data set or pool.

    Args:
        name: A name of `dataset_names()` or `pool_names()`, or `folder:PATH`, with options.
        pool: Choose the pool if a data set has the same name (`synthetic`, `folder:PATH`).

    Raises:
        UnknownDatasetError: No such name; the message has the nearest one.
    """
    if name.endswith(HELD_OUT):
        return _held_out(card(name.removesuffix(HELD_OUT), pool=pool))
    if name.startswith("folder:"):
        make = image_folders.folder_card if pool else labelled_folder.labelled_card
        try:
            return make(name)
        except labelled_folder.FolderNameError as error:
            raise UnknownDatasetError(str(error)) from None
    if "?" in name:
        return _with_options(name, pool=pool)
    datasets, all_pools = _cards("dataset"), _cards("pool")
    found = all_pools.get(name) if pool else datasets.get(name) or all_pools.get(name)
    if found is None and not pool:
        found = added().get(name)
    if isinstance(found, str):
        raise UnknownDatasetError(found)
    if found is not None:
        return found
    splits = [f"{dataset}:train" for dataset in dataset_names()]
    known = (*all_pools, *splits) if pool else (*dataset_names(), *all_pools)
    kind = "pool" if pool else "data set or pool"
    raise UnknownDatasetError(unknown(kind, name, [*known, "folder:PATH"]))


def _with_options(name: str, *, pool: bool) -> Card:
    """Return the card of `NAME?key=value&...`; each set of options has one name.

    Raises:
        UnknownDatasetError: No such name or option, or another name is the one to write.
    """
    plain, _, query = name.partition("?")
    pairs = [part.partition("=") for part in query.split("&")]
    base, options = card(plain, pool=pool), {key: value for key, _, value in pairs}
    try:
        if not all(key and value for key, _, value in pairs) or len(options) < len(pairs):
            raise OptionError("options are key=value, each once, joined by &; correct them")
        found = base.source.with_options(base, options)
    except OptionError as error:
        raise UnknownDatasetError(f"{name!r}: {error}") from None
    if found.name != name:
        raise UnknownDatasetError(f"{name!r} is written {found.name!r}; write it so")
    return found


def _held_out(base: Card) -> Card:
    if base.name.endswith(HELD_OUT):
        raise UnknownDatasetError(
            f"{base.name} is a part of a data set already; name the whole one, with one {HELD_OUT}"
        )
    if base.kind != "dataset":
        raise UnknownDatasetError(
            f"{base.name} is a pool, which has no training split to hold chips out of; name a data "
            "set"
        )
    return replace(
        base,
        name=base.name + HELD_OUT,
        near_train=None,
        instead="",
        title=f"{base.title}, held-out training chips",
        what=f"A quarter of the training chips of {base.name}, drawn by hash, as test chips.",
    )


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
        "rendering": card.rendering and f"{card.rendering.name}: {card.rendering.formula}",
        "options": source.name_options,
        "images": card.total,
        "chips": card.sides and "{} train, {} test".format(*card.sides),
        "copies": card.copies_text() or None,
        "extra_controls": source.extra_controls,
        "counts": card.counts,
    }
