"""Names that a shell completes: grids, methods, data sets, protocols, encoder sizes.

Nothing here imports torch or reads more than one grid, because a shell asks at each press of Tab.
"""

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from ..grid.schema import Grid

GRID_FILES = (".toml", ".zip")


def complete_grid(incomplete: str) -> list[str]:
    """Return bundled grids, and the grid files, archives and folders that a path may mean."""
    from ..grid.schema import bundled_grids

    return [*_matching(bundled_grids(), incomplete), *_paths(incomplete)]


def _paths(incomplete: str) -> list[str]:
    head, slash, start = incomplete.rpartition("/")
    folder = Path(head + slash).expanduser()
    with suppress(OSError):
        found = sorted(path for path in folder.iterdir() if path.name.startswith(start))
        shown = [one for one in found if start.startswith(".") or not one.name.startswith(".")]
        files = [one.name for one in shown if one.suffix in GRID_FILES and one.is_file()]
        return [head + slash + name for name in files + [f"{p.name}/" for p in shown if p.is_dir()]]
    return []


def complete_method(ctx: typer.Context, incomplete: str) -> list[str]:
    """Return the methods of the grid before this option; without one, all methods."""
    from ...methods import names

    grid = _grid(ctx)
    return _matching(grid.method_names() if grid else names(), incomplete)


def complete_dataset(ctx: typer.Context, incomplete: str) -> list[str]:
    """Return the data sets of the grid before this option; without one, all data sets."""
    from ..data.registry import dataset_names

    grid = _grid(ctx)
    return _matching(grid.evaluate.datasets if grid else dataset_names(), incomplete)


def complete_set(incomplete: str) -> list[str]:
    """Return all data sets and pools."""
    from ..data.registry import dataset_names, pool_names

    return _matching([*dataset_names(), *pool_names()], incomplete)


def complete_protocol(ctx: typer.Context, incomplete: str) -> list[str]:
    """Return the protocols of the grid before this option; without one, all protocols."""
    from ...protocols import PROTOCOLS

    grid = _grid(ctx)
    return _matching(grid.evaluate.protocols if grid else PROTOCOLS, incomplete)


def complete_encoder(incomplete: str) -> list[str]:
    """Return the named sizes of encoders."""
    from ...methods import SIZES

    return _matching(SIZES, incomplete)


def _matching(names: Iterable[str], incomplete: str) -> list[str]:
    return [name for name in names if name.startswith(incomplete)]


def _grid(ctx: typer.Context) -> "Grid | None":
    """Return the grid of the command line so far, None without one that can be read."""
    from ..grid.schema import read_grid

    # An option without its value stops the parser, which leaves arguments before it in `args`.
    given = ctx.params.get("grid") or next(iter(ctx.args), None)
    with suppress(Exception):  # a broken grid completes as no grid
        return read_grid(Path(given)) if given else None
    return None
