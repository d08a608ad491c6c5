"""Problems of single values in a grid: lists, seeds, and types of settings."""

from collections.abc import Iterator
from typing import Any

from .schema import Seeds, seeds_of

MOST_SEEDS = 1_000


def list_problems(where: str, values: list[Any], thing: str) -> Iterator[str]:
    """Refuse an empty list, and a value that is in it twice."""
    if not values:
        yield f"{where} has no {thing}; give at least one"
    for number, value in enumerate(values):
        if value in values[:number]:
            yield f"{where} has {value!r} more than once; give it once"


def seed_problems(where: str, seeds: Seeds) -> Iterator[str]:
    """Refuse too many seeds, repeated ones and negative ones."""
    if isinstance(seeds, int) and seeds > MOST_SEEDS:
        yield f"{where} = {seeds} is more than {MOST_SEEDS} seeds; give fewer"
        return
    yield from list_problems(where, seeds_of(seeds), "seed")
    for seed in seeds_of(seeds):
        if seed < 0:
            yield f"{where} must be 0 or more, got {seed}"


def same_kind(value: Any, default: Any) -> bool:
    """Return whether a value has the type of the default; a whole number is a number too."""
    if isinstance(default, float):
        return isinstance(value, int | float) and not isinstance(value, bool)
    if isinstance(default, list | tuple) and isinstance(value, list):
        return not default or all(same_kind(item, default[0]) for item in value)
    return default is None or type(value) is type(default)


def kind_of(default: Any) -> str:
    """Return the type of a default in words."""
    if isinstance(default, list | tuple):
        return f"a list like {list(default)}"
    names = {bool: "true or false", int: "a whole number", float: "a number", str: "a text"}
    return names.get(type(default), f"a {type(default).__name__}")
