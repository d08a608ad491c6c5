"""Problems of files of weights in a grid, and their declared training data."""

from collections.abc import Iterator, Sequence
from math import isfinite

from ..data.names import set_of
from ..data.registry import UnknownDatasetError, dataset_names, pool_names
from ..method_facts.method_info import MethodInfo
from .schema import Grid, init_of
from .value_problems import list_problems


def encoder_problems(grid: Grid, methods: dict[str, MethodInfo]) -> Iterator[str]:
    """Yield the problems that show without reading a file."""
    for one in grid.entries:
        if methods[one.name].control and one.init:
            yield f"{one.name} is a control and is not trained; remove its `init`"
    continued = (init_of(grid.pretrain, one, methods[one.name]) for one in grid.methods)
    if grid.pretrain.init and not any(continued):
        yield (
            "pretrain.init names weights, but no method continues from them; add one to `methods`, "
            "or remove it. A row of the weights as they are is an entry of `encoders`"
        )
    for place, entry in grid.weights():
        where = f"{place}: {entry.name}"
        if not entry.name.isprintable():
            where = f"{place}: {entry.name!a}"
        if not entry.name.strip():
            yield f"{where}: its label is empty; give a `label`"
        if odd := [one for one in (entry.name, *(entry.seen or ())) if not one.isprintable()]:
            yield f"{where}: {odd[0]!a} is not printable text; give another label or name"
        for name in ("mean", "std"):
            value = getattr(entry, name)
            if not all(map(isfinite, value if isinstance(value, list) else [value or 0.0])):
                yield f"{where}: {name} is {value}; it must be finite: correct it, or leave it out"
        if entry.seen:
            yield from list_problems(f"{where}: seen", entry.seen, "name")
        yield from _part_problems(where, entry.seen or ())


def _part_problems(where: str, seen: Sequence[str]) -> Iterator[str]:
    """Refuse a part of a set that is not its training split; free text may have a colon."""
    ours = {*dataset_names(), *pool_names()}
    for name in seen:
        if name.rpartition(":")[0] in ours:
            try:
                set_of(name)
            except UnknownDatasetError as error:
                yield f"{where}: seen: {error}; the name alone means all chips"
