"""The command that looks for duplicates in data sets and pools."""

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..data.find_set import store_at
from ..data.names import place_of
from ..data.registry import pool_unless_labelled
from ..store.atomic import write_atomic
from ..suggest import RequestError
from .app import out, print_json
from .completion import complete_grid, complete_set
from .options import DATA, RUNS, DataDir, Json, RunsDir, new_file, new_folder
from .progress import Bar, Progress, progress

if TYPE_CHECKING:  # `--help` needs no NumPy
    from ..audit.report import Audit
    from ..data.chips import Chips

DOUBTED = 20  # chips that the terminal lists
SHOWN = 5  # label conflicts that the terminal lists
Name = Annotated[
    str, typer.Argument(metavar="NAME", help="data set or pool", autocompletion=complete_set)
]
Second = Annotated[
    str | None,
    typer.Argument(metavar="[NAME2]", help="compare with it", autocompletion=complete_set),
]
Folder = Annotated[
    Path | None,
    typer.Option(
        "--out", callback=lambda path: path and new_folder(path),
        help="folder for report.json, pairs.png and the groups of each set",
    ),
]  # fmt: skip
Groups = Annotated[
    Path | None,
    typer.Option(
        "--groups", callback=new_file, help="CSV file of NAME's groups, as split.csv of a folder"
    ),
]
Labels = Annotated[
    Path | None,
    typer.Option(
        "--labels", metavar="GRID", autocompletion=complete_grid,
        help="list test chips that the best encoders of a grid or archive call another class",
    ),
]  # fmt: skip


def audit_data(
    name: Name,
    second: Second = None,
    runs: RunsDir = RUNS,
    folder: DataDir = DATA,
    as_json: Json = False,
    target: Folder = None,
    groups: Groups = None,
    labels: Labels = None,
) -> None:
    """Find exact and near duplicates within a set or between two, and groups of several classes.

    Near duplicates are flips, rotations by 90 degrees, shifts, crops, other renderings and
    re-encodings.
    """
    from ..audit.report import audit
    from .data import prepare_all

    if labels is not None:
        if second or groups:
            raise RequestError(
                "--labels compares the labels of one data set; leave out NAME2 and --groups"
            )
        _audit_labels(name, labels, runs, folder, as_json, target)
        return
    names = [pool_unless_labelled(one, folder) for one in (name, second) if one]
    prepared = prepare_all(names, folder, store_at(runs))
    # all pools of images are called `folder` in a store
    sets = [
        replace(one, name=given.removeprefix("pool:")) if given.startswith("pool:") else one
        for one, given in zip(prepared, names, strict=True)
    ]
    with progress() as shown:
        result = audit(sets, _Stages(shown).report)
    if groups is not None:
        _write_groups(result, 0, names[0], folder, groups)
    if target is not None:
        _write_folder(result, names, folder, target)
    if as_json:
        print_json(result.to_json())
        return
    for line in _lines(result):
        out.print(line)
    for path in filter(None, (groups, target)):
        out.print(f"written: {path}")


def _audit_labels(
    dataset: str, grid: Path, runs: Path, data_dir: Path, as_json: bool, target: Path | None
) -> None:
    """List the test chips whose label the best encoders of a grid doubt."""
    from ..reporting.label_audit import label_audit
    from ..reporting.leaderboard import predictions_of
    from .data import prepare_all
    from .grid_arguments import Request, opened

    with opened(Request(grid, runs, data_dir)) as request:
        plan = request.results()
        found = label_audit(plan, predictions_of(plan, request.store), dataset)
    report = asdict(found)
    if target is not None:
        from ..audit.label_pictures import draw_doubted

        target.mkdir(parents=True, exist_ok=True)
        write_atomic(target / "labels.json", json.dumps(report, indent=1))
        if found.chips:
            (chips,) = prepare_all([dataset], data_dir, store_at(runs))
            chosen = [(one.chip_id, one.label, one.called) for one in found.chips]
            draw_doubted(chips, chosen, target / "labels.png")
    if as_json:
        print_json(report)
        return
    encoders = ", ".join(f"{row} ({100 * score:.1f}%)" for row, score in found.encoders)
    out.print(
        f"{dataset}: {len(found.chips)} of {found.of:,} test chips are called one other class in "
        f"all {found.runs} runs ({found.column}) of the best encoders: {encoders}"
    )
    for one in found.chips[:DOUBTED]:
        out.print(
            f"  {one.chip_id}: {one.label}, called {one.called}; so do {one.agreeing:.0%} of the "
            "runs of all ranked rows"
        )
    if len(found.chips) > DOUBTED:
        out.print(f"  and {len(found.chips) - DOUBTED} more: --json lists them")
    if target is not None:
        out.print(f"written: {target}")


class _Stages:
    """A bar for each stage of an audit."""

    def __init__(self, shown: Progress) -> None:
        self._shown, self._bar = shown, None

    def report(self, stage: str, done: int, total: int) -> None:
        if self._bar is None or self._bar.text != stage:
            if self._bar is not None:
                self._shown.remove(self._bar)
            self._bar = Bar(stage, total, stage.split()[-1])
            self._shown.add(self._bar)
        self._bar.done = done
        self._shown.update(self._bar)


def _write_folder(result: "Audit", names: list[str], data_dir: Path, target: Path) -> None:
    from ..audit.pictures import draw_pairs

    target.mkdir(parents=True, exist_ok=True)
    write_atomic(target / "report.json", json.dumps(result.to_json(), indent=1))
    if result.exact or result.near:
        draw_pairs(result, target / "pairs.png")
    for place, given in enumerate(names):
        file = target / f"groups{'' if len(names) == 1 else place + 1}.csv"
        _write_groups(result, place, given, data_dir, file)


def _write_groups(result: "Audit", place: int, given: str, data_dir: Path, file: Path) -> None:
    from ..audit.groups_file import files_of, groups_text

    write_atomic(file, groups_text(result, place, files_of(place_of(given), data_dir)))


def _lines(result: "Audit") -> list[str]:
    counts = result.counts
    sets = result.duplicates.collection.sets
    lines = [
        f"{' and '.join(map(_described, sets))}: {counts['chips']:,} chips",
        f"  exact pairs: {counts['exact_pairs']:,}",
        f"  near pairs: {counts['near_pairs']:,}",
    ]
    kinds = result.kinds()
    lines += [f"    {kind}: {count:,}" for kind, count in kinds.items()]
    lines.append(
        f"  groups of duplicates: {counts['groups']:,}, with {counts['chips_in_groups']:,} chips"
    )
    conflicts = result.label_conflicts
    pairs = sum(one.exact_pairs for one in conflicts)
    chips = sum(sum(one.classes.values()) for one in conflicts)
    if conflicts:
        lines.append(
            f"  groups with several classes: {len(conflicts):,}, with {chips:,} chips; exact pairs "
            f"with two classes: {pairs:,}"
        )
        for one in sorted(conflicts, key=lambda one: -sum(one.classes.values()))[:SHOWN]:
            listed = ", ".join(f"{name} {count}" for name, count in one.classes.items())
            lines.append(f"    group {one.group}: {listed}")
        if len(conflicts) > SHOWN:
            lines.append(f"    and {len(conflicts) - SHOWN} more: --json lists them")
    elif any(one.classes for one in sets):
        lines.append("  groups with several classes: 0")
    if (shared := result.shared) is not None:
        lines.append(
            f"  of {shared.of:,} chips of {shared.sides[1]}, {shared.exact:,} equal a chip of "
            f"{shared.sides[0]}, {shared.near:,} more are near duplicates of one"
        )
    if counts["not_compared"]:
        lines.append(
            f"  not compared for near duplicates, blank or below 16 px: {counts['not_compared']:,}"
        )
    return lines


def _described(chips: "Chips") -> str:
    return f"{chips.name}{f' ({chips.rendering})' if chips.rendering else ''}"
