"""Runs of one encoder on one data set: encoder and protocol -> predictions and records.

A protocol on features computes those of the frozen encoder once, for all shots and seeds, and
trains all its runs together. A protocol that trains the encoder does one run after the other. Runs
that differ only in the condition of their test chips share one head. If some of them are stored
already, the head is trained again for the others, to the same weights up to rounding.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from ...methods import _registry
from ...methods._encoders import encoder_from_json
from ...protocols import PROTOCOLS
from ...protocols._support_sets import support_set
from ...protocols._types import CHUNK, Features, LabelledImages, read_out
from ...results.record import RunRecord
from ..augmentation.conditions import in_condition
from ..augmentation.resample import resize
from ..data.chips import Chips
from ..identity import Pretraining, Resources, Run, Shots, from_json
from ..seeding import torch_stream
from ..store.atomic import file_digest
from ..store.provenance import Clock
from ..store.records import Store
from ..store.weights import CheckpointMismatchError, load_encoder
from .run_writer import RunWriter

Head = tuple[Shots, int]  # shots and seed, which choose the labelled chips and the random numbers


class StaleDataError(ValueError):
    """Prepared data other than those of the run."""

    failure_class = "data"


class Part(NamedTuple):
    """The training chips of a data set, or its test chips in one condition."""

    is_test: bool
    condition: str | None = None


def _parts(conditions: Iterable[str | None]) -> list[Part]:
    return [Part(is_test=False), *(Part(is_test=True, condition=one) for one in conditions)]


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


class Evaluation:
    """One encoder on one data set; inputs and features are computed at first use."""

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
        record = store.read("pretrain", identity.key)
        if record is None:
            raise CheckpointMismatchError(
                f"pretraining {identity.key[:12]} has no record; run the pretraining first"
            )
        self.identity, self.chips, self.store, self.resources = identity, chips, store, resources
        self.weights_digest = record.weights_digest
        self._weights = store.encoder(identity.key)
        if file_digest(self._weights) != self.weights_digest:
            raise CheckpointMismatchError(
                f"{self._weights} is not the file that its record describes; "
                "rerun the pretraining with `sarbench run --force`"
            )
        self._method = _registry.get(identity.method)
        self._train = np.flatnonzero(~chips.is_test)
        self._test = np.flatnonzero(chips.is_test)
        self._readouts = set(readouts)
        self._writer = RunWriter(chips, store, self.weights_digest, warn)
        # by part: the training chips, or the test chips in one condition
        self._images: dict[Part, Tensor] = {}
        self._features: dict[Part, dict[str, Tensor]] = {}

    def make_encoder(self, drop_path: float = 0.0) -> nn.Module:
        """Return a fresh encoder with the pretrained weights."""
        size = encoder_from_json(self.identity.encoder) if self.identity.encoder else None
        config = from_json(self._method.Config, self.identity.config)
        encoder = self._method.build_encoder(config, size, drop_path=drop_path)
        load_encoder(self._weights, encoder, self.identity)
        return encoder.to(self.resources.device)

    def run(self, group: RunGroup) -> Iterator[RunRecord]:
        """Compute a group of runs, and yield each record after storing it.

        If one of several heads fails, the others are stored before its error is raised.
        """
        clock = Clock(self.resources)
        protocol = PROTOCOLS[group.protocol]
        settings = from_json(protocol.settings, group.settings)
        for run in group.runs:
            if (run.data_digest, run.split_digest) != (
                self.chips.data_digest, self.chips.split_digest,
            ):  # fmt: skip
                raise StaleDataError(
                    f"{run.dataset} as prepared has data digest {self.chips.data_digest[:12]}, but "
                    f"the run was planned on {run.data_digest[:12]}; rerun `sarbench plan`"
                )
        heads = by_head(group.runs)
        conditions = list(dict.fromkeys(run.condition for run in group.runs))
        episodes = [self._episode(runs[0]) for runs in heads.values()]
        rngs = [
            torch_stream(run.seed, "head", run.protocol, run.split_digest, str(run.shots))
            for run, *_ in heads.values()
        ]
        work = protocol.load()
        if protocol.kind == "features":
            features = self._features_for(settings.readout, conditions)
            predicted = work.run(features, episodes, rngs, settings)
        else:
            images = self._labelled_images(conditions)
            if len(heads) > 1:
                predicted = work.run_together(self.make_encoder, images, episodes, rngs, settings)
            else:
                predicted = [work.run(self.make_encoder, images, episodes[0], rngs[0], settings)]
        errors: list[Exception] = []
        for runs, episode, of_conditions in zip(heads.values(), episodes, predicted, strict=True):
            if isinstance(of_conditions, Exception):
                errors.append(of_conditions)
                continue
            for run in runs:
                predictions = of_conditions[conditions.index(run.condition)]
                provenance = clock.provenance(1 / len(group.runs))
                yield self._writer.write(run, episode, predictions, provenance)
        if errors:
            raise errors[0]

    def _episode(self, run: Run) -> np.ndarray:
        ids, labels = self.chips.ids[self._train], self.chips.labels[self._train]
        return support_set(run.split_digest, run.seed, ids, labels, run.shots, self.chips.classes)

    def inputs(self, indices: np.ndarray, condition: str | None = None) -> Iterator[Tensor]:
        """Yield the inputs of the method's encoder in chunks, on the device.

        Chips are changed by a condition as prepared, before they are resized. Their source size,
        the only input of `chip_size`, stays.
        """
        kind, px = self._method.evaluation_input, (self.identity.encoder or {}).get("input_px", 0)
        for start in range(0, len(indices), CHUNK):
            chunk = indices[start : start + CHUNK]
            if kind == "size":
                images = torch.from_numpy(self.chips.source_size[chunk].astype(np.float32))
                images = images[:, None, None]
            else:
                pixels = self.chips.stack(chunk)
                if condition:
                    pixels = in_condition(pixels, self.chips.ids[chunk], condition)
                images = torch.from_numpy(pixels)
            images = images.to(self.resources.device)
            yield resize(images, px) if kind == "encoder" else images

    @torch.no_grad()
    def features(
        self, indices: np.ndarray, readouts: Iterable[str], condition: str | None = None
    ) -> dict[str, Tensor]:
        """Return the feature of each chip under the frozen encoder, (M, D), for each readout."""
        encoder = self.make_encoder().eval()
        parts: dict[str, list[Tensor]] = {readout: [] for readout in readouts}
        for images in self.inputs(indices, condition):
            tokens = encoder(images)
            for readout, found in parts.items():
                found.append(read_out(tokens, readout, bool(encoder.has_class_token)))
        return {readout: torch.cat(found) for readout, found in parts.items()}

    def _features_for(self, readout: str, conditions: Sequence[str | None]) -> Features:
        train, *tests = (self._part_features(part, readout) for part in _parts(conditions))
        return Features(train, self._train_labels(), tests, len(self.chips.classes))

    def _part_features(self, part: Part, readout: str) -> Tensor:
        known = self._features.setdefault(part, {})
        if readout not in known:
            wanted = {readout} | (self._readouts - known.keys())
            known.update(self.features(self._indices(part), wanted, part.condition))
        return known[readout]

    def _labelled_images(self, conditions: Sequence[str | None]) -> LabelledImages:
        parts = _parts(conditions)
        for part in parts:
            if part not in self._images:
                self._images[part] = torch.cat([*self.inputs(self._indices(part), part.condition)])
        train, *tests = (self._images[part] for part in parts)
        return LabelledImages(train, self._train_labels(), tests, len(self.chips.classes))

    def _indices(self, part: Part) -> np.ndarray:
        return self._test if part.is_test else self._train

    def _train_labels(self) -> Tensor:
        labels = torch.from_numpy(self.chips.labels[self._train].astype(np.int64))
        return labels.to(self.resources.device)
