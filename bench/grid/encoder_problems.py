"""Problems of files of weights in a grid, and their declared training data."""

from collections.abc import Iterator, Sequence

from ..data.names import card_of, set_of
from ..data.registry import UnknownDatasetError, dataset_names, pool_names
from ..method_facts.method_info import MethodInfo
from .encoder_entries import EncoderEntry
from .schema import Grid, init_of
from .value_problems import list_problems


def encoder_problems(grid: Grid, methods: dict[str, MethodInfo]) -> Iterator[str]:
    """Yield the problems that show without reading a file."""
    for one in (*grid.methods, *grid.controls):
        if methods[one.name].control and one.init not in (None, grid.pretrain.init):
            yield f"{one.name} is a control and is not trained; remove its `init`"
    if grid.pretrain.init and not any(init_of(one, methods[one.name]) for one in grid.methods):
        yield (
            "pretrain.init names weights, but no method continues from them; add one to `methods`, "
            "or remove it. A row of the weights as they are is an entry of `encoders`"
        )
    for where, entry in places(grid):
        if not entry.name.strip():
            yield f"{where}: its label is empty; give a `label`"
        if entry.seen:
            yield from list_problems(f"{where}: seen", entry.seen, "name")
        yield from _part_problems(where, entry.seen)


def places(grid: Grid) -> list[tuple[str, EncoderEntry]]:
    """Return each entry of weights with its place in messages."""
    count = len(grid.encoders)
    return [
        (f"{'encoders' if at < count else 'init'}: {entry.name}", entry)
        for at, entry in enumerate(grid.weights())
    ]


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
