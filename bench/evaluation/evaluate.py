"""Runs of one encoder on one data set: encoder and protocol -> predictions and records.

A protocol on features computes those of the frozen encoder once, for all shots and seeds, and
trains all its runs together. A protocol that trains the encoder does one run after the other. Runs
that differ only in the condition of their test chips share one head. If some of them are stored
already, the head is trained again for the others, to the same weights up to rounding.
"""

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from torch import nn

from ...methods import _registry
from ...methods._encoders import encoder_from_json
from ...protocols import PROTOCOLS
from ...results.record import RunRecord
from ..data.chips import Chips
from ..identity import Pretraining, Resources, Run, from_json
from ..store.provenance import Clock
from ..store.records import Store
from ..store.weights import check_weights, load_encoder
from .encoded_chips import EncodedChips, Head
from .run_writer import RunWriter


class StaleDataError(ValueError):
    """Prepared data other than those of the run."""

    failure_class = "data"


@dataclass(frozen=True)
class RunGroup:
    """Runs that are computed together and fail together."""

    protocol: str
    settings: dict[str, Any]
    runs: list[Run]


def group_runs(runs: list[Run], device: str = "cpu") -> list[RunGroup]:
    """Group runs by protocol and settings.

    If the protocol trains the encoder, a group has the runs that differ only in their condition. On
    a GPU it also has all seeds of the same shots, if the protocol can train them together; on a CPU
    that takes longer.
    """

    def kind(run: Run) -> tuple[str, str]:
        return run.protocol, json.dumps(run.settings, sort_keys=True)

    result = []
    for _, group in groupby(sorted(runs, key=kind), kind):
        members = list(group)
        parts = [members]
        protocol = PROTOCOLS[members[0].protocol]
        if protocol.together and device.startswith("cuda"):
            members.sort(key=lambda run: str(run.shots))
            parts = [list(part) for _, part in groupby(members, lambda run: run.shots)]
        elif protocol.kind == "encoder":
            parts = list(by_head(members).values())
        result += [RunGroup(part[0].protocol, part[0].settings, part) for part in parts]
    return result


def by_head(runs: Iterable[Run]) -> dict[Head, list[Run]]:
    """Return the runs of one protocol and settings by their head; they differ in the condition."""
    found: dict[Head, list[Run]] = {}
    for run in runs:
        found.setdefault((run.shots, run.seed), []).append(run)
    return found


class Evaluation(EncodedChips):
    """A stored encoder on one data set."""

    def __init__(
        self,
        identity: Pretraining,
        chips: Chips,
        store: Store,
        resources: Resources,
        readouts: Iterable[str] = (),
        warn: Callable[[str], None] = lambda message: None,
    ) -> None:
        """Check that the stored encoder is that of its record.

        Args:
            identity: Of the encoder's pretraining.
            chips: The data set.
            store: Holds the encoder, and gets the records.
            resources: Device and threads.
            readouts: Readouts of all later runs, so that one pass of the encoder serves them all.
            warn: Called once with each reason why a record lacks a metric of another package.

        Raises:
            CheckpointMismatchError: The encoder is missing, or is not that of the record.
        """
        record = check_weights(store, identity)
        method = _registry.get(identity.method)
        px = (identity.encoder or {}).get("input_px", 0)
        kind, shuffles = method.evaluation_input, method.shuffles_labels
        super().__init__(chips, resources.device, kind, px, readouts, shuffles_labels=shuffles)
        self.identity, self.resources = identity, resources
        self.weights_digest = record.weights_digest
        self._method, self._store = method, store
        self._writer = RunWriter(chips, store, self.weights_digest, warn)

    def make_encoder(self, drop_path: float = 0.0) -> nn.Module:
        """Return a fresh encoder with the pretrained weights, on the device."""
        size = encoder_from_json(self.identity.encoder) if self.identity.encoder else None
        config = from_json(self._method.Config, self.identity.config)
        encoder = self._method.build_encoder(config, size, drop_path=drop_path)
        load_encoder(self._store, encoder, self.identity)
        return encoder.to(self.device)

    def run(self, group: RunGroup) -> Iterator[RunRecord]:
        """Compute a group of runs, and yield each record after storing it.

        If one of several heads fails, the others are stored before its error is raised.
        """
        clock = Clock(self.resources)
        settings = from_json(PROTOCOLS[group.protocol].settings, group.settings)
        for run in group.runs:
            if (run.data_digest, run.split_digest) != (
                self.chips.data_digest, self.chips.split_digest,
            ):  # fmt: skip
                raise StaleDataError(
                    f"{run.dataset} as prepared has data digest {self.chips.data_digest[:12]}, but "
                    f"the run was planned on {run.data_digest[:12]}; rerun `sarbench plan`"
                )
        heads, frozen = by_head(group.runs), PROTOCOLS[group.protocol].kind == "features"
        conditions = list(dict.fromkeys(run.condition for run in group.runs))
        found = self.predict(group.protocol, settings, list(heads), conditions)
        errors: list[Exception] = []
        for runs, one in zip(heads.values(), found, strict=True):
            if isinstance(one.predictions, Exception):
                errors.append(one.predictions)
                continue
            for run in runs:
                predictions = one.predictions[conditions.index(run.condition)]
                provenance = clock.provenance(1 / len(group.runs))
                drift = self.drift(group.settings["readout"], run.condition) if frozen else None
                yield self._writer.write(run, one.episode, predictions, provenance, drift)
        if errors:
            raise errors[0]
