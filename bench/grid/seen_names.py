"""Declared training data of given weights, as the names of sets here; other names are free text."""

from collections.abc import Iterator, Sequence
from difflib import get_close_matches

from ..data.names import TRAIN, PlacedName, card_of, place_of, set_of, split_source
from ..data.registry import UnknownDatasetError, dataset_names, pool_names
from .schema import Grid

FOLDER = "folder:"
ALIKE = 0.88  # of 1; one letter more or less in a name of 5 or more


def known_names(seen: Sequence[str], datasets: Sequence[str]) -> tuple[str, ...]:
    """Return the declared names that are sets here; `datasets` are those of the grid."""
    return tuple(name for name in seen if _is_known(name, datasets))


def own_folder(name: str, datasets: Sequence[str]) -> PlacedName | None:
    """Return the data set of the grid that is read from a declared folder.

    Its options do not count: they split the same chips, and change how they are read.
    """
    if not name.startswith(FOLDER) or name.endswith(TRAIN):
        return None
    for one in datasets:
        if one.startswith(FOLDER) and _plain(name) in (_plain(one), _plain(place_of(one))):
            found = PlacedName(one)
            found.place = place_of(one)
            return found
    return None


def seen_lines(grid: Grid) -> Iterator[str]:
    """Yield the sets that each declaration means, for people."""
    for _, entry in grid.weights():
        if entry.seen:
            meant = ", ".join(f"{one} ({_meaning(one, grid)})" for one in entry.seen)
            yield f"seen (as declared): {entry.name}: {meant}"


def seen_warnings(grid: Grid) -> Iterator[str]:
    """Yield a warning for each free name that looks like the name of a set."""
    whole = [*grid.evaluate.datasets, *dataset_names()]
    known = [*whole, *pool_names(), *(one + TRAIN for one in whole)]
    for _, entry in grid.weights():
        free = set(entry.seen or ()) - set(known_names(entry.seen or (), grid.evaluate.datasets))
        for name in sorted(free):
            if near := _similar(name, known):
                yield (
                    f"{entry.name}: seen has {name!r}, which is not the name of a set here, so it "
                    f"is not compared with the test sets. If it means {near!r}, write that; other "
                    "names may be any text"
                )


def _is_known(name: str, datasets: Sequence[str]) -> bool:
    if own_folder(name, datasets):
        return True
    try:
        card_of(set_of(name))
    except UnknownDatasetError:
        return False
    return True


def _meaning(name: str, grid: Grid) -> str:
    if own := own_folder(name, grid.evaluate.datasets):
        return f"all chips of {own}"
    if not _is_known(name, ()):
        return "not a set here"
    if split_source(name) is not None:
        return "its training chips"
    return "all chips"


def _plain(name: str) -> str:
    return name.partition("?")[0].rstrip("/")


def _similar(name: str, known: Sequence[str]) -> str | None:
    """Return the known name that differs in case or about a letter, or begins with this name."""
    words: dict[str, str] = {}
    for one in known:
        words.setdefault(_word(one), one)
    word = _word(name)
    if word in words:
        return words[word]
    stems = [one for one in words if one.startswith(word) and not one[len(word)].isalnum()]
    near = stems if word and stems else get_close_matches(word, words, n=1, cutoff=ALIKE)
    return words[near[0]] if near else None


def _word(name: str) -> str:
    """Return the last part of the path of a folder, or a name, in small letters."""
    plain = _plain(name)
    own = plain.rpartition("/")[2] if plain.startswith(FOLDER) else plain
    return own.removeprefix(FOLDER).removeprefix("pool:").casefold()
