"""Rows of given weights, and an untrained control for each of their architectures."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ...results.record import digest_json
from ..identity import Pretraining, fill
from ..method_facts.method_info import MethodInfo
from .encoder_entries import GIVEN, EncoderEntry, GivenRow
from .expand import UNTRAINED, PlannedPretraining, version_of
from .schema import Grid, GridError, label_of, seeds_of

INPUT = ("channels", "channel", "mean", "std")  # fields of `Given` that a control shares


@dataclass(frozen=True)
class GivenEncoder:
    """The encoder of an entry, as read from its file or remembered by the store."""

    entry: EncoderEntry
    identity: Pretraining
    row: GivenRow


def given_rows(
    grid: Grid, found: Sequence[GivenEncoder], methods: dict[str, MethodInfo]
) -> list[PlannedPretraining]:
    """Return a row for each given encoder, then the untrained controls of their architectures.

    Raises:
        GridError: Two entries are the same encoder.
    """
    rows: dict[str, PlannedPretraining] = {}
    for one in found:
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
    return [*rows.values(), *_untrained(grid, list(rows.values()), methods)]


def _untrained(
    grid: Grid, rows: list[PlannedPretraining], methods: dict[str, MethodInfo]
) -> list[PlannedPretraining]:
    """Return an untrained control for each architecture and input of the rows."""
    entries = [one for one in grid.controls if one.name == UNTRAINED and "like" not in one.config]
    found: dict[str, PlannedPretraining] = {}
    labels = set[str]()
    for start in rows if entries else ():
        info = methods[UNTRAINED]
        config = fill(info.defaults, {"like": GIVEN} | input_of(start.config))
        size = start.encoder or {}
        architecture = digest_json([config, size])
        if architecture in found:
            continue
        label = f"{label_of(entries[0], methods)} ({size['name']})"
        label = f"{label[:-1]}, as {start.label})" if label in labels else label
        labels.add(label)
        seed = seeds_of(grid.pretrain.seeds)[0]
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
        found[architecture] = PlannedPretraining(
            label, UNTRAINED, {}, seed, identity, config=config, encoder=size
        )
    return list(found.values())


def input_of(config: dict[str, Any]) -> dict[str, Any]:
    """Return the input that given weights expect: channels and normalisation."""
    return {name: config[name] for name in INPUT if name in config}
