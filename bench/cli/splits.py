"""The command that writes splits for other tools."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from ..data.find_set import store_at
from ..suggest import RequestError, shortened
from .app import out, warn
from .completion import complete_dataset
from .options import DATA, RUNS, DataDir, RunsDir, new_folder
from .progress import Bar, progress

if TYPE_CHECKING:  # `--help` needs no NumPy
    from ...protocols._support_sets import Shots
    from ..dassl.splits import SupportSet
    from ..data.chips import Chips

NAMED = 3  # paths of one kind in the terminal


def export_splits(
    dataset: Annotated[
        str,
        typer.Argument(
            metavar="DATASET", help="`data ls` lists them", autocompletion=complete_dataset
        ),
    ],
    folder: Annotated[
        Path, typer.Option("--out", callback=new_folder, help="folder to write, one per data set")
    ],
    shots: Annotated[
        str | None, typer.Option(help="labelled chips per class: 10,20,40 or all; default: 10")
    ] = None,
    seeds: Annotated[
        int | None, typer.Option(min=1, help="number of seeds, from 0; default: 5")
    ] = None,
    form: Annotated[
        Literal["dassl", "csv"],
        typer.Option("--format", help="files that Dassl's users know, or CSV"),
    ] = "dassl",
    pickled: Annotated[
        Path | None,
        typer.Option("--from", help="convert this shot_K-seed_S.pkl of Dassl's split_fewshot"),
    ] = None,
    images: Annotated[
        bool, typer.Option("--chips/--no-chips", help="write the prepared chips as images too")
    ] = True,
    runs: RunsDir = RUNS,
    data: DataDir = DATA,
) -> None:
    """Write the split of a data set and the support sets of our runs, without pickles."""
    from ..dassl.splits import draw_support, split_files, split_of, write_files
    from ..data.names import split_name, split_source
    from ..data.registry import pool_unless_labelled
    from .data import prepare_all

    if pickled is not None and (shots, seeds) != (None, None):
        raise RequestError(
            f"the name of {pickled} gives shots and seed; leave --shots and --seeds out"
        )
    wanted = _shots(shots or "10")
    full = pool_unless_labelled(dataset, data)
    if split_name(full)[1] or split_source(full) is not None:
        raise RequestError(
            f"{dataset} is a pool, which has no test chips; name a data set of `sarbench data ls`, "
            "or a labelled folder, with a rule if its files say no side: 'folder:PATH?test=0.3'"
        )
    chips = prepare_all([dataset], data, store_at(runs))[0]
    if pickled is not None:
        supports = [_converted(pickled, chips)]
    else:
        range_of_seeds = range(seeds or 5)
        supports = [draw_support(chips, one, seed) for one in wanted for seed in range_of_seeds]
    split = split_of(chips)
    write_files(folder, split_files(split, supports, form))
    if images:
        _write_chips(folder, chips)
    out.print(
        f"written: {folder} ({chips.name}: {len(split.train)} training and {len(split.test)} test "
        f"chips, support sets: {len(supports)}, images: {len(chips) if images else 0})"
    )


def _shots(given: str) -> "list[Shots]":
    """Return the shots of `10,20,all`.

    Raises:
        RequestError: One of them is not allowed.
    """
    from ...protocols._support_sets import ALLOWED_SHOTS
    from ..dassl.splits import to_shots

    found: list[Shots] = []
    for word in map(str.strip, given.split(",")):
        shots = to_shots(word)
        if shots is None:
            raise RequestError(
                f"--shots has {word!r}; a value must be {ALLOWED_SHOTS}; write several with "
                "commas: --shots 10,20,30%"
            )
        found.append(shots)
    return list(dict.fromkeys(found))


def _converted(path: Path, chips: "Chips") -> "SupportSet":
    from ..dassl.pickles import convert, in_words

    found = convert(path, chips)
    counts = in_words(found.support, len(chips.classes))
    out.print(f"{path}: training chips of {chips.name}: {counts}")
    for paths, what in (
        (found.unknown, "are unknown here and left out"),
        (found.tested, "are test chips of our split and left out"),
        (found.repeated, "are listed before and counted once"),
        (found.other_class, "have another class in our split, which is written"),
    ):
        if paths:
            warn(f"{len(paths)} chips {what}: {shortened(paths, NAMED, ', ')}")
    return found.support


def _write_chips(folder: Path, chips: "Chips") -> None:
    from ..dassl.splits import write_chips

    with progress() as shown:
        bar = Bar("writing chips", len(chips), "chips")
        shown.add(bar)
        for done in write_chips(folder, chips):
            bar.done = done
            if done % 100 == 0:
                shown.update(bar)
