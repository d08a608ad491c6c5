"""The arguments of a call as a grid, so that they are checked as in a grid."""

import os
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ..data.chips import Chips
from ..data.names import full_name, split_name
from ..data.prepare import prepare
from ..data.registry import add_cards
from ..data.set_descriptions import FOLDER, write_description
from ..grid.schema import Grid, GridError
from ..store.records import Store

PathLike = str | Path


def store_in(runs: PathLike | None) -> Store:
    """Return the store in a folder, by default that of `SARBENCH_RUNS`, or `runs`."""
    store = Store(Path(runs or os.environ.get("SARBENCH_RUNS", "runs")).expanduser().resolve())
    add_cards(store.root / FOLDER)
    return store


def data_in(data: PathLike | None) -> Path:
    """Return the folder of the data sets, by default that of `SARBENCH_DATA`, or `data`."""
    folder = Path(data or os.environ.get("SARBENCH_DATA", "data")).expanduser()
    add_cards(folder)
    return folder


def open_prepared(name: str, data: Path, store: Store) -> Chips:
    """Return a data set or pool, named as in a grid, packed in the store."""
    own, pool = split_name(name)
    chips, summary = prepare(own, data, store.prepared, pool=pool)
    write_description(store.root, full_name(name), chips, summary)
    return chips


def grid_of(**sections: Any) -> Grid:
    """Return a grid without a file.

    Raises:
        GridError: A value has the wrong type.
    """
    try:
        return Grid.model_validate({"name": "python", "controls": [], **sections})
    except ValidationError as error:
        problem = error.errors()[0]
        where = ".".join(map(str, problem["loc"]))
        raise GridError(f"{where}: {problem['msg']}; got {problem['input']!r}") from None
