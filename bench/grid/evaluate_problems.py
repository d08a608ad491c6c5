"""Problems in the section `[evaluate]` of a grid."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from ...protocols import PROTOCOLS, Protocol
from ...protocols._settings import CHOICES
from ...protocols._support_sets import ALLOWED_SHOTS, are_shots, labelled_chips
from ..augmentation.conditions import CLEAN, BadConditionError, check_side, parse
from ..data.packed import Summary
from ..data.registry import card, dataset_names, is_dataset, malformed
from ..identity import fill, from_json, to_json
from ..suggest import unknown
from .schema import Grid, ProtocolEntry, as_list
from .sweeps import sweep_settings, swept_values
from .value_problems import kind_of, list_problems, same_kind, seed_problems


def evaluate_problems(grid: Grid) -> Iterator[str]:
    """Yield the problems of data sets, conditions, seeds and protocols."""
    evaluate = grid.evaluate
    yield from list_problems("evaluate.datasets", evaluate.datasets, "data set")
    for name in evaluate.datasets:
        if not is_dataset(name):
            known = unknown("data set", name, [*dataset_names(), "folder:PATH"])
            yield f"evaluate.datasets: {known}"
        elif problem := malformed(name):
            yield f"evaluate.datasets: {problem}"
    yield from list_problems("evaluate.conditions", evaluate.conditions, "condition")
    yield from _condition_problems(grid)
    yield from seed_problems("evaluate.seeds", evaluate.seeds)
    yield from list_problems("evaluate.protocols", list(evaluate.protocols), "protocol")
    for name, entry in evaluate.protocols.items():
        where = f"evaluate.protocols.{name}"
        if name not in PROTOCOLS:
            yield "evaluate.protocols: " + unknown("protocol", name, PROTOCOLS)
            continue
        protocol = PROTOCOLS[name]
        yield from _settings_problems(where, entry, protocol)
        if entry.seeds is not None:
            yield from seed_problems(f"{where}.seeds", entry.seeds)
        for dataset in entry.datasets or []:
            if dataset not in evaluate.datasets:
                known = unknown("data set of this grid", dataset, evaluate.datasets)
                yield f"{where}.datasets: {known}"
        yield from list_problems(f"{where}.shots", entry.shots, "value")
        for shots in entry.shots:
            if not are_shots(shots):
                yield f"{where}: shots must be {ALLOWED_SHOTS}; got {shots!r}"
            elif not protocol.allows(shots):
                allowed = "a number" if shots == "all" else '"all"'
                yield f'{where}: shots must be {allowed} or a share such as "30%", got {shots!r}'


def _condition_problems(grid: Grid) -> Iterator[str]:
    evaluate, given = grid.evaluate, grid.evaluate.condition_datasets
    if given is not None:
        yield from list_problems("evaluate.condition_datasets", given, "data set")
    for name in given or []:
        if name not in evaluate.datasets:
            known = unknown("data set of this grid", name, evaluate.datasets)
            yield f"evaluate.condition_datasets: {known}"
    for condition in evaluate.conditions:
        if condition == CLEAN:
            continue
        try:
            parse(condition)
            for name in given or evaluate.datasets:
                known = is_dataset(name) and not malformed(name)
                if known and (side := card(name).side_px):
                    check_side(condition, side)
        except BadConditionError as error:
            yield f"evaluate.conditions: {error}"


def _settings_problems(where: str, entry: ProtocolEntry, protocol: Protocol) -> Iterator[str]:
    """Yield the problems of each setting, else those of each point of the sweep."""
    defaults = to_json(protocol.settings())
    problems = [
        problem
        for key, value in entry.settings.items()
        for problem in _setting_problems(where, key, value, defaults)
    ]
    yield from problems
    for _, given in [] if problems else sweep_settings(entry.settings, defaults):
        try:
            from_json(protocol.settings, fill(defaults, given))
        except ValueError as error:
            yield f"{where}: {error}"


def _setting_problems(
    where: str, key: str, given: Any, defaults: Mapping[str, Any]
) -> Iterator[str]:
    if key not in defaults:
        yield f"{where}: " + unknown("setting", key, defaults)
        return
    swept = swept_values(given, defaults[key])
    values = [given] if swept is None else swept
    yield from list_problems(f"{where}.{key}", values, "value")
    for value in values:
        if not same_kind(value, defaults[key]):
            yield f"{where}.{key} must be {kind_of(defaults[key])}, got {value!r}"
        elif key in CHOICES and value not in CHOICES[key]:
            yield f"{where}: " + unknown(key, value, CHOICES[key])


def shots_problems(grid: Grid, data: Mapping[str, Summary]) -> Iterator[str]:
    """Yield the protocols that need more training chips than a known data set has."""
    for protocol, entry in grid.evaluate.protocols.items():
        for name in entry.datasets or grid.evaluate.datasets:
            known = data[name].counts if name in data else card(name).counts
            counts = known.get("train", {})
            neighbours = max(as_list(entry.settings.get("neighbours", 1)))
            for shots in entry.shots:
                number = shots if isinstance(shots, int) else 1
                short = [f"{c} has {n}" for c, n in counts.items() if n < number]
                if short:
                    yield (
                        f"evaluate.protocols.{protocol}: {name} has too few training chips for "
                        f"{shots} shots ({', '.join(short)}); give at most "
                        f"{min(counts.values())} shots, or 'all' if the protocol allows it"
                    )
                numbers = np.array(list(counts.values()), np.int64)
                labelled = int(labelled_chips(shots, numbers).sum())
                if counts and neighbours > labelled:
                    yield (
                        f"evaluate.protocols.{protocol}: neighbours must be at most {labelled}, "
                        f"the number of labelled chips of {name}, got {neighbours}"
                    )
