"""Commands on data sets and pools; a pool that shares a data set's name is written `pool:NAME`."""

import re
import shlex
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Column, Table

from ..data.chips import Chips
from ..data.find_set import describe_set, prepare_set, store_at
from ..data.inventory import known_sets, phoenix_folder, unknown_folders, unusable_cards
from ..data.names import card_of, place_of, split_name, stored_name
from ..data.packed import Summary
from ..data.prepare import facts_note, is_current
from ..data.registry import describe, pool_unless_labelled
from ..machine import cores
from ..store.records import Store
from ..store.step_times import write_step_time
from ..suggest import RequestError
from .app import COMMANDS, app, out, print_error, print_json, print_status
from .audit import Name, audit_data
from .completion import complete_set
from .options import DATA, RUNS, DataDir, Json, PngFile, RunsDir
from .progress import Bar, progress

if TYPE_CHECKING:  # `data ls` needs no plan
    from ..grid.expand import PlannedPretraining
    from ..plan.plan import Plan
    from .grid_arguments import Request

data = typer.Typer(no_args_is_help=True, help=COMMANDS["data"][1])
app.add_typer(data, name="data")
data.command("audit")(audit_data)

Names = Annotated[
    list[str],
    typer.Argument(
        metavar="NAME...", help="data sets and pools; `data ls` lists them",
        autocompletion=complete_set,
    ),
]  # fmt: skip


def prepare_all(names: Iterable[str], folder: Path, store: Store) -> list[Chips]:
    """Prepare every set that is not prepared yet, with progress; return them all."""
    result = []
    with progress() as shown:
        for given in dict.fromkeys(pool_unless_labelled(name, folder) for name in names):
            bar = Bar(f"preparing {given}", None, "chips")
            chips, regrouped = prepare_set(given, folder, store, shown.follow(bar), cores())
            result.append(chips)
            shown.remove(bar)
            if bar.done:
                shown.line(f"prepared {given}: {len(chips)} chips")
                if note := facts_note(card_of(given), folder, chips):
                    shown.line(f"{given}: {note}")
            if regrouped:
                shown.line(f"{given}: {regrouped}")
    return result


def prepare_missing(request: "Request", plan: "Plan") -> "Plan":
    """Prepare the data of the missing work; return the plan made afterwards."""
    from ..plan.pool_copies import audit_pools

    before, changed = plan.data, changed_sets(plan, request, (False, None))
    if names := [*plan.to_prepare(), *map(place_of, plan.uncompared), *changed]:
        prepare_all(names, request.data, request.store)
        plan = request.plan()
    for name, known in plan.data.items():
        if (had := before.get(name)) and had != known and name not in plan.uncompared:
            print_status(
                f"{name}: its files have changed since they were packed ({_version(had)}); it is "
                f"now another version ({_version(known)}), and results of the one before stay in "
                "the store"
            )
    for name, known in plan.data.items():
        describe_set(name, known, request.store.root)
    if plan.untimed:
        _time_steps(plan.untimed, request.store)
        plan = request.plan()
    audit_pools(
        plan, request.store, lambda pool: print_status(f"seeking copies of test chips in {pool}")
    )
    return plan


def _version(known: Summary) -> str:
    split = f", split {known.split_digest[:12]}" if known.split_digest else ""
    return f"{known.count} chips, pixels {known.data_digest[:12]}{split}"


def changed_sets(
    plan: "Plan", request: "Request", answers: tuple[bool | None, ...] = (False,)
) -> list[str]:
    """Return the packed sets of a plan, with their paths, for which `is_current` answers so."""
    found = []
    for needed in plan.needs():
        given = place_of(needed)
        name, pool = split_name(given)
        current = is_current(name, request.data, request.store.prepared, pool=pool)
        if current in answers and stored_name(needed) not in request.versions:
            found.append(given)
    return found


def _time_steps(planned: Sequence["PlannedPretraining"], store: Store) -> None:
    """Measure a training step of each method that has no stored time, for budgets."""
    from ..pretraining.step_time import measure_step

    for one in planned:
        if one.identity is None:
            continue
        try:
            measured = measure_step(one.identity, one.pool, store)
        except Exception as error:  # a method may raise anything
            raise RequestError(
                f"a training step of {one.label} cannot be timed: {type(error).__name__}: {error}; "
                'repair it, or set budget = "flops" under [pretrain]'
            ) from error
        write_step_time(store, one.identity, measured)
        print_status(
            f"timed {one.label}: {1000 * measured.seconds:.3g} ms per chip in a training step on "
            "one core"
        )


@data.command("ls")
def list_data(runs: RunsDir = RUNS, folder: DataDir = DATA, as_json: Json = False) -> None:
    """List data sets and pools: prepared in the store, found below --data, or absent."""
    known = known_sets(folder, store_at(runs).root)
    if as_json:
        print_json([
            {
                "name": one.name, "title": one.title, "state": one.state,
                "found": one.found, "part": one.part,
                "place": None if one.place is None else str(one.place),
                "prepared": None if one.summary is None else asdict(one.summary),
            }
            for one in known
        ])  # fmt: skip
        return
    table = Table(Column("name", overflow="fold"), "state", Column("chips", justify="right"),
                  "content", box=None, pad_edge=False)  # fmt: skip
    for one in known:
        count = str(one.summary.count) if one.summary else ""
        if one.part:
            count = f"{one.part[0]:,} of {one.part[1]:,}"
        table.add_row(one.name, one.state, count, one.title)
    out.print(table)
    states = Counter(one.state for one in known)
    out.print(
        f"\n{', '.join(f'{states[name]} {name}' for name in ('prepared', 'found', 'absent'))}"
    )
    where = "searched below" if folder.is_dir() else "no files were searched, because there is no"
    out.print(f"{where} folder {folder} (--data, SARBENCH_DATA)")
    if raw := phoenix_folder(folder):
        out.print(f"  {raw.name}: Phoenix files of MSTAR, read as mstar_soc?rendering=raw/log")
    for name, use in unknown_folders(folder, known):
        what = "Phoenix files" if "?" in name else "images"
        out.print(f"  {name}: {what} of no set above, usable as a {use}")
    out.print("found: `sarbench data prepare NAME`, or `sarbench run`, packs it into the store")
    if any(one.part for one in known):
        out.print("N of M: so many files are there, and the set needs M chips")
    out.print("absent: `sarbench data info NAME` says where to get it")
    out.print("a folder of your labelled chips is a data set, any folder of images a pool")
    out.print("(folder:PATH); NAME:train is the training split of a data set as a pool")
    for name, reason in unusable_cards().items():
        print_error(f"the card of {name} cannot be used: {reason}")


@data.command("info")
def show_info(
    name: Name,
    folder: DataDir = DATA,
    as_json: Json = False,
) -> None:
    """Print description, address, licence, citation, layouts and counts of a data set or pool."""
    found = card_of(pool_unless_labelled(name, folder))
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
            table.add_row(key.replace("_", " "), str(listed))
    for class_name in about["counts"].get("train", {}):
        sides = (f"{about['counts'][side].get(class_name, 0)} {side}" for side in about["counts"])
        table.add_row(class_name, ", ".join(sides))
    out.print(table)


@data.command("prepare")
def prepare_data(names: Names, runs: RunsDir = RUNS, folder: DataDir = DATA) -> None:
    """Pack data sets and pools into the store, each once, and print their digests."""
    for chips in prepare_all(names, folder, store_at(runs)):
        rendering = f", {chips.rendering}" if chips.rendering else ""
        out.print(f"{chips.name}: {len(chips)} chips, pixels {chips.data_digest[:12]}{rendering}")


@data.command("verify")
def verify_data(
    names: Names,
    folder: DataDir = DATA,
    files: Annotated[bool, typer.Option("--files", help="list every file that differs")] = False,
) -> None:
    """Compare data sets and pools with their expected classes and counts."""
    from ..data.verify import verify

    bad = False
    for given in (pool_unless_labelled(name, folder) for name in names):
        name, pool = split_name(given)
        with progress() as shown:
            moves = shown.follow(Bar(f"reading {given}", None, "chips"))
            report = verify(name, folder, pool=pool, progress=moves, processes=cores())
        bad |= not report.ok
        out.print(f"{given} at {report.source}: {'ok' if report.ok else 'DIFFERS'}")
        if report.rendering:
            out.print(f"  rendering: {report.rendering}")
        for count in report.counts:
            if files or count.expected != count.found:
                out.print(
                    f"  {count.part} {count.class_name or 'chips'}: expected {count.expected}, "
                    f"found {count.found}"
                )
        for kind in ("missing", "unexpected", "unreadable", "problems"):
            items = getattr(report, kind)
            if items:
                out.print(f"  {kind}: {len(items)}")
                for item in items if files else items[:5]:
                    out.print(f"    {item}")
    if bad:
        print_error("some data differ from what is expected; --files lists every file")
        raise typer.Exit(1)


@data.command("show")
def show_data(
    name: Name,
    path: PngFile = None,
    runs: RunsDir = RUNS,
    folder: DataDir = DATA,
) -> None:
    """Draw chips of each class into a PNG file, and print the range of the pixel values."""
    from ..data.show import draw_chips
    from ..data.value_range import value_range

    path = path or Path(f"{re.sub('[/:?&=]', '_', name)}.png")
    chips = prepare_all([name], folder, store_at(runs))[0]
    draw_chips(chips, path)
    rendering = card_of(pool_unless_labelled(name, folder)).rendering
    for line in value_range(chips).lines(rendering):
        out.print(line)
    out.print(f"written: {path}")


@data.command("new")
def new_data(
    path: Annotated[Path, typer.Argument(metavar="PATH", help="folder of labelled chips")],
    name: Annotated[
        str | None, typer.Option(help="name in grids; default: the name of the folder")
    ] = None,
    test: Annotated[
        float | None, typer.Option(help="share of test chips, drawn where the files say no side")
    ] = None,
    by_group: Annotated[
        bool, typer.Option("--by-group", help="draw whole groups of near duplicates")
    ] = False,
    seed: Annotated[int, typer.Option(help="another number gives another draw")] = 0,
    folder: DataDir = DATA,
) -> None:
    """Look at a folder of labelled chips, and write a card that makes it a data set with a name."""
    from ..data.new_card import look, write_card
    from ..data.sources.card_file import CardError, CardFile, check_name
    from ..data.sources.labelled_folder import NoSideError
    from ..toml_file import parse

    chips = (folder / path.expanduser()).resolve() if not path.is_absolute() else path.resolve()
    if "?" in path.name and not chips.exists():
        raise RequestError(
            f"{str(path)!r} has the options of a name in a grid; here they are --test SHARE, "
            f"--by-group and --seed N: sarbench data new '{str(path).partition('?')[0]}' --test 0.3"
        )
    name = name or chips.name
    check_name(name)
    given = {"title": name, "folder": ".", "test": test, "seed": seed}
    given |= {"by": "group"} if by_group else {}
    content = parse(given, CardFile, CardError, "sarbench data new")
    try:
        found = look(chips, content)
    except NoSideError as error:
        words = ["sarbench", "data", "new", str(path)]
        words += ["--name", name] if name != chips.name else []
        raise RequestError(
            f"{str(error).partition('; expected')[0]}. Move the images to train/<class>/ and "
            f"test/<class>/, or draw a share of test chips: {shlex.join(words)} --test 0.3 "
            "(with --by-group: whole groups)"
        ) from error
    for class_name in found.counts["train"]:
        sides = (f"{found.counts[side].get(class_name, 0)} {side}" for side in found.counts)
        out.print(f"{class_name}: {', '.join(sides)}")
    kept = "whole images" if found.crop_px is None else f"central {found.crop_px} px"
    out.print(
        f"{len(found.counts['train'])} classes; height {_range(found.heights)}, width "
        f"{_range(found.widths)} px: {kept}; {found.groups} groups of near duplicates; "
        f"{found.unused} images not used"
    )
    written = write_card(chips, folder, name, content.model_copy(update={"counts": found.counts}))
    out.print(f"written: {written}")
    out.print("add title, where, licence and citation to it, so that tables can state them")
    out.print(
        f'next: sarbench data prepare {shlex.quote(name)}, or datasets = ["{name}"] in a grid'
    )


def _range(values: tuple[int, int]) -> str:
    low, high = values
    return str(low) if low == high else f"{low} to {high}"
