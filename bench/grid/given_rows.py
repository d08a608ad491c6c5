"""Rows of given weights, and an untrained control for each of their architectures."""

from collections.abc import Sequence
from typing import Any

from ...results.record import digest_json
from ..identity import GIVEN, INPUT, Pretraining, fill
from ..method_facts.method_info import MethodInfo
from .encoder_entries import GivenEncoder
from .expand import UNTRAINED, PlannedPretraining, version_of
from .schema import Grid, GridError, label_of, seeds_of


def given_rows(
    grid: Grid, given: Sequence[GivenEncoder], methods: dict[str, MethodInfo]
) -> list[PlannedPretraining]:
    """Return a row for each given encoder, then the untrained controls of their architectures.

    `given` are those of `Grid.weights`. Encoders that methods continue from have controls only.

    Raises:
        GridError: Two entries are the same encoder.
    """
    rows: dict[str, PlannedPretraining] = {}
    for one in given[: len(grid.encoders)]:
        if (same := rows.get(one.identity.key)) is not None:
            raise GridError(
                f"encoders: {same.label} and {one.entry.name} have the same weights and settings; "
                "leave one of them out"
            )
        rows[one.identity.key] = PlannedPretraining(
            label=one.entry.name,
            method=GIVEN,
            axes={},
            seed=0,
            identity=one.identity,
            config=one.identity.config,
            encoder=one.identity.encoder,
            given=one.row,
        )
    return [*rows.values(), *_untrained(grid, given, methods)]


def _untrained(
    grid: Grid, given: Sequence[GivenEncoder], methods: dict[str, MethodInfo]
) -> list[PlannedPretraining]:
    """Return an untrained control for each architecture and input, with each seed of the grid."""
    entries = [one for one in grid.controls if one.name == UNTRAINED and "like" not in one.config]
    found: dict[str, str] = {}  # architecture -> label
    rows: list[PlannedPretraining] = []
    for one in given if entries else ():
        info = methods[UNTRAINED]
        config = fill(info.defaults, {"like": GIVEN} | input_of(one.identity.config))
        size = one.identity.encoder or {}
        architecture = digest_json([config, size])
        if architecture in found:
            continue
        label = f"{label_of(entries[0], methods)} ({size['name']})"
        label = f"{label[:-1]}, as {one.entry.name})" if label in found.values() else label
        found[architecture] = label
        for seed in seeds_of(grid.pretrain.seeds):
            identity = Pretraining(
                method=UNTRAINED,
                method_version=version_of(info, config, methods),
                config=config,
                encoder=size,
                precision="fp32",
                pool=[],
                pool_cap=None,
                pool_fraction=1.0,
                recipe=None,
                seed=seed,
            )
            rows.append(
                PlannedPretraining(
                    label, UNTRAINED, {}, seed, identity, config=config, encoder=size
                )
            )
    return rows


def input_of(config: dict[str, Any]) -> dict[str, Any]:
    """Return the input that given weights expect: channels and normalisation."""
    return {name: config[name] for name in INPUT if name in config}
