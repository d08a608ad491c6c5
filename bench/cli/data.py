"""Commands about data sets and pools; a pool that is a data set too is written `pool:NAME`."""

from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from ..data.chips import Chips
from ..data.lookup import remember_set
from ..data.names import card_of, split_name
from ..data.prepare import prepare, source_exists, summary
from ..data.registry import card, dataset_names, describe, pool_names
from ..store.records import Store
from .app import (
    DATA,
    RUNS,
    DataDir,
    Json,
    Picture,
    RunsDir,
    app,
    bar,
    complain,
    open_store,
    out,
    print_json,
)

data = typer.Typer(no_args_is_help=True, help="Data sets and pools: list, verify, prepare, show.")
app.add_typer(data, name="data")

Names = Annotated[list[str], typer.Argument(metavar="NAME...")]


def prepare_all(names: Iterable[str], folder: Path, store: Store) -> list[Chips]:
    """Prepare every set that is not prepared yet, with progress; return them all."""
    result = []
    with bar("chips") as progress:
        for given in dict.fromkeys(names):
            name, pool = split_name(given)
            task = progress.add_task(f"preparing {given}", total=None)

            def tell(done: int, total: int, task=task) -> None:
                progress.update(task, completed=done, total=total)

            result.append(prepare(name, folder, store.prepared, pool=pool, progress=tell))
            if known := summary(name, folder, store.prepared, pool=pool):
                remember_set(given, known, store.root)
            progress.remove_task(task)
    return result


@data.command("ls")
def list_data(runs: RunsDir = RUNS, folder: DataDir = DATA, as_json: Json = False) -> None:
    """List every data set and pool, and which of them are prepared or lie below --data."""
    store, rows = open_store(runs), []
    for given in [*dataset_names(), *(f"pool:{name}" for name in pool_names())]:
        name, pool = split_name(given)
        known, described = summary(name, folder, store.prepared, pool=pool), card(name, pool=pool)
        rows.append({
            "name": given, "title": described.title,
            "found": source_exists(described, folder),
            "prepared": None if known is None else asdict(known),
        })  # fmt: skip
    if as_json:
        print_json(rows)
        return
    table = Table("name", "chips", "what", box=None, pad_edge=False)
    for row in rows:
        found = "found, not prepared" if row["found"] else "not found"
        count = str(row["prepared"]["count"]) if row["prepared"] else found
        table.add_row(row["name"], count, row["title"])
    out.print(table)
    out.print(
        f"looked for below {folder} (--data); `sarbench data verify NAME` checks what is there"
    )
    out.print("pools may also be any folder of images: folder:PATH")
    out.print("or the training split of a data set, with its labels: NAME:train")


@data.command("info")
def show_info(
    name: Annotated[str, typer.Argument(metavar="NAME")],
    folder: DataDir = DATA,
    as_json: Json = False,
) -> None:
    """Print description, address, licence, citation, layouts and counts of a data set or pool."""
    found = card_of(name)
    about = describe(found, folder)
    if as_json:
        print_json(about)
        return
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column()
    table.add_column(overflow="fold")
    for key, value in about.items():
        if key == "counts":
            continue
        listed = "\n".join(map(str, value)) if isinstance(value, tuple) else value
        if listed not in (None, ""):
            table.add_row(key.replace("_", " "), escape(str(listed)))
    for class_name in about["counts"].get("train", {}):
        sides = (f"{about['counts'][side].get(class_name, 0)} {side}" for side in about["counts"])
        table.add_row(class_name, ", ".join(sides))
    out.print(table)


@data.command("prepare")
def prepare_data(
    names: Names,
    runs: RunsDir = RUNS,
    folder: DataDir = DATA,
) -> None:
    """Pack data sets into memory-mapped files with their digests; done once."""
    for chips in prepare_all(names, folder, open_store(runs)):
        rendering = f", {chips.rendering}" if chips.rendering else ""
        out.print(f"{chips.name}: {len(chips)} chips, pixels {chips.data_digest[:12]}{rendering}")


@data.command("verify")
def verify_data(
    names: Names,
    folder: DataDir = DATA,
    files: Annotated[bool, typer.Option("--files", help="list every file that differs")] = False,
) -> None:
    """Compare data with what they must hold, class by class, and file by file on request."""
    from ..data.verify import verify

    bad = False
    for given in names:
        name, pool = split_name(given)
        report = verify(name, folder, pool=pool)
        bad |= not report.ok
        out.print(f"{given} at {report.source}: {'ok' if report.ok else 'DIFFERS'}", markup=False)
        if report.rendering:
            out.print(f"  rendering: {report.rendering}")
        for count in report.counts:
            if files or count.expected != count.found:
                out.print(
                    f"  {count.part} {count.class_name}: expected {count.expected}, "
                    f"found {count.found}",
                    markup=False,
                )
        for what in ("missing", "unexpected", "unreadable"):
            items = getattr(report, what)
            if items:
                out.print(f"  {what}: {len(items)}")
                for item in items if files else items[:5]:
                    out.print(f"    {item}", markup=False)
    if bad:
        complain("some data differ from what they must be; --files lists every file")
        raise typer.Exit(1)


@data.command("show")
def show_data(
    name: Annotated[str, typer.Argument(metavar="NAME")],
    path: Picture = None,
    runs: RunsDir = RUNS,
    folder: DataDir = DATA,
) -> None:
    """Write a picture of chips of each class."""
    from ..data.show import draw_chips

    path = path or Path(f"{name.replace('/', '_').replace(':', '_')}.png")
    draw_chips(prepare_all([name], folder, open_store(runs))[0], path)
    out.print(f"written: {path}")
