"""Runs of one encoder on one data set: encoder and protocol -> predictions and records.

A protocol on features computes those of the frozen encoder once, for all shots and seeds, and
trains all its runs together. A protocol that trains the encoder does one run after the other.
"""

import io
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from itertools import groupby
from typing import Any
from zipfile import BadZipFile

import numpy as np
import torch
from torch import Tensor, nn

from ...methods import _registry
from ...methods._encoders import encoder_from_json
from ...protocols import PROTOCOLS
from ...protocols._support_sets import support_digest, support_set
from ...protocols._types import Features, LabelledImages, Predictions, read_out
from ...results.metrics import accuracy, balanced_accuracy, macro_f1
from ...results.record import RunRecord
from ..augmentation.resample import resize
from ..data.chips import Chips
from ..identity import Pretraining, Resources, Run, from_json
from ..seeding import torch_stream
from ..store.atomic import file_digest, npz, write_atomic, write_once
from ..store.provenance import Clock
from ..store.records import Store
from ..store.weights import CheckpointMismatchError, load_encoder

CHUNK = 256  # chips in one pass of the encoder; fixed, so that no number depends on memory


class StaleDataError(ValueError):
    """Prepared data other than those of the run."""

    failure_class = "data"


@dataclass(frozen=True)
class RunGroup:
    """Runs that are computed together and fail together."""

    protocol: str
    settings: dict[str, Any]
    runs: list[Run]


def group_runs(runs: list[Run]) -> list[RunGroup]:
    """Group runs by protocol and settings; a run that trains the encoder is a group of its own."""

    def kind(run: Run) -> tuple[str, str]:
        return run.protocol, json.dumps(run.settings, sort_keys=True)

    result = []
    for _, group in groupby(sorted(runs, key=kind), kind):
        members = list(group)
        together = PROTOCOLS[members[0].protocol].kind == "features"
        parts = [members] if together else [[run] for run in members]
        result += [RunGroup(part[0].protocol, part[0].settings, part) for part in parts]
    return result


class Evaluation:
    """One encoder on one data set; inputs and features are computed at first use."""

    def __init__(
        self,
        identity: Pretraining,
        chips: Chips,
        store: Store,
        resources: Resources,
        readouts: Iterable[str] = (),
    ) -> None:
        """Check that the stored encoder is that of its record.

        Args:
            identity: Of the encoder's pretraining.
            chips: The data set.
            store: Holds the encoder, and gets the records.
            resources: Device and threads.
            readouts: Readouts of all later runs, so that one pass of the encoder serves them all.

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
        self._images: LabelledImages | None = None
        self._readouts = set(readouts)
        self._features: dict[str, tuple[Tensor, Tensor]] = {}

    def make_encoder(self, drop_path: float = 0.0) -> nn.Module:
        """Return a fresh encoder with the pretrained weights."""
        size = encoder_from_json(self.identity.encoder) if self.identity.encoder else None
        config = from_json(self._method.Config, self.identity.config)
        encoder = self._method.build_encoder(config, size, drop_path=drop_path)
        load_encoder(self._weights, encoder, self.identity)
        return encoder.to(self.resources.device)

    def run(self, group: RunGroup) -> Iterator[RunRecord]:
        """Compute a group of runs, and yield each record after storing it."""
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
        episodes = [self._episode(run) for run in group.runs]
        rngs = [
            torch_stream(run.seed, "head", run.protocol, run.split_digest, str(run.shots))
            for run in group.runs
        ]
        work = protocol.load()
        if protocol.kind == "features":
            features = self._features_for(settings.readout)
            predicted = work.run(features, episodes, rngs, settings)
        else:
            images = self._labelled_images()
            predicted = [work.run(self.make_encoder, images, episodes[0], rngs[0], settings)]
        for run, episode, predictions in zip(group.runs, episodes, predicted, strict=True):
            yield self._store(run, episode, predictions, clock, 1 / len(group.runs))

    def _episode(self, run: Run) -> np.ndarray:
        ids, labels = self.chips.ids[self._train], self.chips.labels[self._train]
        return support_set(run.split_digest, run.seed, ids, labels, run.shots, self.chips.classes)

    def inputs(self, indices: np.ndarray) -> Iterator[Tensor]:
        """Yield the inputs of the method's encoder in chunks, on the device."""
        kind, px = self._method.evaluation_input, (self.identity.encoder or {}).get("input_px", 0)
        for start in range(0, len(indices), CHUNK):
            chunk = indices[start : start + CHUNK]
            if kind == "size":
                images = torch.from_numpy(self.chips.source_size[chunk].astype(np.float32))
                images = images[:, None, None]
            else:
                images = torch.from_numpy(self.chips.stack(chunk))
            images = images.to(self.resources.device)
            yield resize(images, px) if kind == "encoder" else images

    @torch.no_grad()
    def features(self, indices: np.ndarray, readouts: Iterable[str]) -> dict[str, Tensor]:
        """Return the feature of each chip under the frozen encoder, (M, D), for each readout."""
        encoder = self.make_encoder().eval()
        parts: dict[str, list[Tensor]] = {readout: [] for readout in readouts}
        for images in self.inputs(indices):
            tokens = encoder(images)
            for readout, found in parts.items():
                found.append(read_out(tokens, readout, bool(encoder.has_class_token)))
        return {readout: torch.cat(found) for readout, found in parts.items()}

    def _features_for(self, readout: str) -> Features:
        if readout not in self._features:
            wanted = {readout} | (self._readouts - self._features.keys())
            train, test = (self.features(part, wanted) for part in (self._train, self._test))
            self._features |= {name: (train[name], test[name]) for name in wanted}
        train, test = self._features[readout]
        return Features(train, self._train_labels(), test, len(self.chips.classes))

    def _labelled_images(self) -> LabelledImages:
        if self._images is None:
            train, test = (torch.cat([*self.inputs(part)]) for part in (self._train, self._test))
            self._images = LabelledImages(
                train, self._train_labels(), test, len(self.chips.classes)
            )
        return self._images

    def _train_labels(self) -> Tensor:
        labels = torch.from_numpy(self.chips.labels[self._train].astype(np.int64))
        return labels.to(self.resources.device)

    def _store(
        self, run: Run, episode: np.ndarray, predictions: Predictions, clock: Clock, share: float
    ) -> RunRecord:
        truth = self.chips.labels[self._test]
        classes, digest = self._write_predictions(run, predictions)
        record = RunRecord(
            key=run.key,
            identity=run.to_json(),
            provenance=clock.provenance(share),
            weights_digest=self.weights_digest,
            accuracy=accuracy(truth, classes),
            balanced_accuracy=balanced_accuracy(truth, classes),
            macro_f1=macro_f1(truth, classes),
            train_count=len(episode),
            test_count=len(truth),
            support_digest=support_digest(self.chips.ids[self._train][episode]),
            predictions_digest=digest,
        )
        self.store.write("evaluate", record)
        return record

    def _write_predictions(self, run: Run, predictions: Predictions) -> tuple[np.ndarray, str]:
        """Store predictions; return the stored classes and the digest of the file.

        If another process evaluates the same run, the first file counts for both.
        """
        path = self.store.folder("evaluate", run.key) / "predictions.npz"
        classes = predictions.classes.astype(np.int16)
        content = npz(classes=classes, scores=predictions.scores.astype(np.float32))
        stored = write_once(path, content)
        if stored != content:
            try:
                with np.load(io.BytesIO(stored), allow_pickle=False) as file:
                    found = file["classes"]
            except (ValueError, OSError, EOFError, KeyError, BadZipFile):
                found = None
            if found is not None and (found.shape, found.dtype) == (classes.shape, classes.dtype):
                return found, sha256(stored).hexdigest()
            write_atomic(path, content)  # the file of an older process is damaged
        return classes, sha256(content).hexdigest()
