"""The arguments of a call as a grid, so that they are checked as in a grid."""

import os
from pathlib import Path
from typing import Any

from ..data.find_set import store_at
from ..data.registry import add_cards
from ..grid.schema import Grid, GridError
from ..store.records import Store
from ..toml_file import parse

PathLike = str | Path


def store_in(runs: PathLike | None) -> Store:
    """Return the store in a folder, by default that of `SARBENCH_RUNS`, or `runs`."""
    return store_at(Path(runs or os.environ.get("SARBENCH_RUNS", "runs")))


def data_in(data: PathLike | None) -> Path:
    """Return the folder of the data sets, by default that of `SARBENCH_DATA`, or `data`."""
    folder = Path(data or os.environ.get("SARBENCH_DATA", "data")).expanduser()
    add_cards(folder)
    return folder


def grid_of(**sections: Any) -> Grid:
    """Return a grid without a file.

    Raises:
        GridError: A value has the wrong type.
    """
    return parse({"name": "python", "controls": [], **sections}, Grid, GridError, "arguments")
