"""Accuracy by a fact about the test chips: azimuth, depression, serial number, size."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from jaxtyping import Bool, Int

from ...results.leaderboard import Leaderboard
from ...results.page.html_page import Breakdown
from ...results.scores import Column, LeaderboardError, Score
from ...results.tables.part_scores import PartScores, PartWords, part_sheets
from ..data.facts import Facts
from ..data.splits import Split
from ..suggest import RequestError
from .chip_predictions import ChipPredictions
from .class_recalls import part_scores

SECTORS_DEG = (30, 45)  # widths of an azimuth sector; the last is the default
BY = ("azimuth", *(f"azimuth:{width}" for width in SECTORS_DEG), "depression", "serial", "size")
IN_REPORT = ("azimuth", "depression", "serial", "size")
MOST_PARTS = 24  # of a data set in a report
UNKNOWN = "unknown"
SOURCES = {
    "azimuth": "the headers of Phoenix files, or metadata.csv in the folder of the set",
    "depression": "the release of MSTAR, or metadata.csv in the folder of the set",
    "serial": "the release of MSTAR, Phoenix files, or metadata.csv in the folder of the set",
    "size": "the images",
}

Parts = tuple[list[str], Int[np.ndarray, " M"]]  # names, and the part of each test chip


def words_of(by: str) -> PartWords:
    """Return the words for a breakdown.

    Raises:
        RequestError: No such breakdown.
    """
    if by not in BY:
        raise RequestError(f"--by {by} is not a breakdown; allowed: {', '.join(BY)}")
    kind, _, width = by.partition(":")
    each = f"by {kind}"
    if kind == "azimuth":
        each = f"by azimuth sector of {width or SECTORS_DEG[-1]} degrees"
    return PartWords("accuracy", kind, each)


def breakdown(
    scores: Sequence[Score], predictions: ChipPredictions, by: str
) -> tuple[dict[Column, PartScores], list[str]]:
    """Return the accuracy on each part in each column, and the data sets without the fact.

    Raises:
        RequestError: No such breakdown.
        LeaderboardError: The store has the fact for no data set with finished runs.
    """
    words_of(by)
    known = _known_parts(scores, predictions, by)
    parts = {dataset: found for dataset, found in known.items() if found is not None}
    without = [dataset for dataset, found in known.items() if found is None]
    if not parts:
        kind = by.partition(":")[0]
        raise LeaderboardError(
            f"the store has no {kind} of the test chips of {', '.join(without)}; it is known from "
            f"{SOURCES[kind]}: run `sarbench data prepare NAME` where those files are"
        )

    return _accuracies(scores, predictions, parts), without


def report_breakdowns(
    board: Leaderboard, scores: Sequence[Score], predictions: ChipPredictions
) -> list[Breakdown]:
    """Return the breakdowns for a report, of the columns of clean test chips.

    Left out are facts that divide no data set, or only into its classes or into many parts. Notes
    are those of the leaderboards on the page.
    """
    clean = [score for score in scores if not score.condition]
    found = []
    for by in IN_REPORT:
        known = _known_parts(clean, predictions, by).items()
        parts = {
            dataset: one for dataset, one in known if one and _divides(one, dataset, predictions)
        }
        words = words_of(by)
        sheets = part_sheets(
            replace(board, notes=[]), _accuracies(clean, predictions, parts), words
        )
        if sheets:
            found.append(Breakdown(f"{words.score.capitalize()} {words.each}", sheets))
    return found


def _divides(parts: Parts, dataset: str, predictions: ChipPredictions) -> bool:
    """Return whether parts are several, but neither many nor the classes of the chips."""
    part, classes = parts[1], predictions.classes(dataset)
    count = len(np.unique(part))
    if classes is None or not 1 < count <= MOST_PARTS:
        return False
    pairs = len(np.unique(np.stack([part, classes]), axis=1)[0])
    return not pairs == count == len(np.unique(classes))


def _known_parts(
    scores: Sequence[Score], predictions: ChipPredictions, by: str
) -> dict[str, Parts | None]:
    """Return the parts of the test chips of each data set; None if the fact is not known."""
    found: dict[str, Parts | None] = {}
    for dataset in dict.fromkeys(score.dataset for score in scores):
        split, facts = predictions.split(dataset), predictions.facts(dataset)
        found[dataset] = None if split is None or facts is None else _parts(split, facts, by)
    return found


def _accuracies(
    scores: Sequence[Score], predictions: ChipPredictions, parts: Mapping[str, Parts]
) -> dict[Column, PartScores]:
    """Return the accuracy on each part of the data sets that have parts."""

    def right(labels: np.ndarray, predicted: np.ndarray, dataset: str) -> np.ndarray:
        names, part = parts[dataset]
        count = np.bincount(part, minlength=len(names))
        hits = np.bincount(part, predicted == labels, minlength=len(names))
        return np.where(count > 0, hits / np.maximum(count, 1), np.nan)

    kept = [score for score in scores if score.dataset in parts]
    return part_scores(kept, predictions, lambda dataset: parts[dataset], right)


def _parts(split: Split, facts: Facts, by: str) -> Parts | None:
    """Return the parts of the test chips; None if the fact is known of none."""
    kind, _, width = by.partition(":")
    tested = facts.take(split.is_test)
    if kind == "azimuth":
        sector = int(width or SECTORS_DEG[-1])
        return _numbered(
            np.floor(tested.azimuth_deg / sector),
            lambda k: f"{k * sector:.0f}-{(k + 1) * sector:.0f} deg",
        )
    if kind == "depression":
        return _numbered(tested.depression_deg, lambda value: f"{value:g} deg")
    if kind == "serial":
        classes = [split.classes[label] for label in split.test_labels]
        named = [
            f"{name} {serial or UNKNOWN}"
            for name, serial in zip(classes, tested.serial.tolist(), strict=True)
        ]
        return _named(named, np.array([one != "" for one in tested.serial.tolist()], dtype=bool))
    shown = [f"{rows} x {columns} px" for rows, columns in tested.size.tolist()]
    return _named(shown, np.array([rows > 0 for rows, _ in tested.size.tolist()]), _pixels)


def _numbered(values: np.ndarray, name: Callable[[float], str]) -> Parts | None:
    """Return a part for each value, in their order; NaN is the last, `unknown`."""
    known = ~np.isnan(values)
    if not known.any():
        return None
    found, part = np.unique(values, return_inverse=True, equal_nan=True)
    names = [UNKNOWN if np.isnan(value) else name(value) for value in found.tolist()]
    return names, part.reshape(-1)


def _named(
    values: list[str],
    known: Bool[np.ndarray, " M"],
    order: Callable[[str], Any] = str,
) -> Parts | None:
    """Return a part for each text, in order."""
    if not known.any():
        return None
    names = sorted(set(values), key=order)
    index = {name: number for number, name in enumerate(names)}
    return names, np.array([index[value] for value in values], np.int64)


def _pixels(size: str) -> tuple[int, ...]:
    return tuple(map(int, re.findall(r"\d+", size)))
