"""The arguments of a call as a grid, so that they are checked as in a grid."""

import os
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ..data.find_set import open_store
from ..data.registry import add_cards
from ..grid.schema import Grid, GridError
from ..store.records import Store

PathLike = str | Path


def store_in(runs: PathLike | None) -> Store:
    """Return the store in a folder, by default that of `SARBENCH_RUNS`, or `runs`."""
    return open_store(Path(runs or os.environ.get("SARBENCH_RUNS", "runs")))


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
    try:
        return Grid.model_validate({"name": "python", "controls": [], **sections})
    except ValidationError as error:
        problem = error.errors()[0]
        where = ".".join(map(str, problem["loc"]))
        raise GridError(f"{where}: {problem['msg']}; got {problem['input']!r}") from None
