"""Commands on grid files: ls, show, new."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Column, Table

from ..grid.new_grid import first_sentence, write_grid
from ..grid.schema import Grid, bundled_grids, grid_file, read_grid, seeds_of
from .app import COMMANDS, app, out, print_json
from .grid_arguments import GridName
from .options import Json
from .print_table import names_column, print_table

grids = typer.Typer(no_args_is_help=True, help=COMMANDS["grids"][1])
app.add_typer(grids, name="grids")


@grids.command("ls")
def list_grids(as_json: Json = False) -> None:
    """List the bundled grids, which every command takes by name."""
    found = {
        name: (read_grid(path), first_sentence(path)) for name, path in bundled_grids().items()
    }
    if as_json:
        print_json([_summary(grid) | {"about": about} for grid, about in found.values()])
        return
    table = Table(
        names_column(found), Column("methods", justify="right"), "seeds",
        Column("data sets", overflow="fold"), "protocols", Column("about", overflow="fold"),
        box=None, pad_edge=False,
    )  # fmt: skip
    for grid, about in found.values():
        row = _summary(grid)
        seeds = f"{row['pretrain_seeds']} x {row['seeds']}"
        sets, protocols = (" ".join(row[key]) for key in ("datasets", "protocols"))
        table.add_row(grid.name, str(len(row["methods"])), seeds, sets, protocols, about)
    print_table(table)
    out.print("seeds: of pretraining x of evaluation")
    out.print("sarbench grids show NAME prints one; sarbench grids new NAME writes your own")


def _summary(grid: Grid) -> dict[str, Any]:
    return {
        "name": grid.name,
        "methods": [entry.label or entry.name for entry in grid.methods],
        "pretrain_seeds": len(seeds_of(grid.pretrain.seeds)),
        "seeds": len(seeds_of(grid.evaluate.seeds)),
        "datasets": grid.evaluate.datasets,
        "protocols": list(grid.evaluate.protocols),
    }


@grids.command("show")
def show_grid(path: GridName, as_json: Json = False) -> None:
    """Print a grid file; with --json the grid with every default."""
    grid = read_grid(path)
    if as_json:
        print_json(_with_overrides(grid.model_dump(mode="json")))
        return
    out.file.write(grid_file(path).read_text("utf-8"))


def _with_overrides(value: Any) -> Any:
    """Return dumped sections with their recipe fields as in the file, next to their own keys."""
    if isinstance(value, list):
        return [_with_overrides(one) for one in value]
    if not isinstance(value, dict):
        return value
    rest = {key: _with_overrides(one) for key, one in value.items() if key != "overrides"}
    return rest | value.get("overrides", {})


@grids.command("new")
def new_grid(
    name: Annotated[str, typer.Argument(metavar="NAME", help="name of the new grid")],
) -> None:
    """Write a commented grid that runs as it is into the current folder; overwrite nothing."""
    path = write_grid(name, Path())
    out.print(f"written: {path}")
    out.print(f"next: sarbench plan {path}")
