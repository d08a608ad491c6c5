"""Problems of entries under `encoders`, and their declared training data."""

from collections.abc import Iterator, Sequence

from ..data.names import card_of, set_of
from ..data.registry import UnknownDatasetError, dataset_names, pool_names
from .schema import Grid
from .value_problems import list_problems


def encoder_problems(grid: Grid) -> Iterator[str]:
    """Yield the problems that show without reading a file."""
    for entry in grid.encoders:
        if not entry.name.strip():
            yield f"{entry.where}: its label is empty; give a `label`"
        if entry.seen:
            yield from list_problems(f"{entry.where}: seen", entry.seen, "name")
        yield from _part_problems(entry.where, entry.seen)


def _part_problems(where: str, seen: Sequence[str]) -> Iterator[str]:
    """Refuse a part of a set that is not its training split; free text may have a colon."""
    ours = {*dataset_names(), *pool_names()}
    for name in seen:
        if name.rpartition(":")[0] in ours:
            try:
                set_of(name)
            except UnknownDatasetError as error:
                yield f"{where}: seen: {error}; the name alone means all chips"


def known_names(seen: Sequence[str]) -> tuple[str, ...]:
    """Return the declared names that are data sets or pools here; all others are free text."""
    return tuple(name for name in seen if _is_known(name))


def _is_known(name: str) -> bool:
    try:
        card_of(set_of(name))
    except UnknownDatasetError:
        return False
    return True
