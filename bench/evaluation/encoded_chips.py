"""A data set as the inputs and features of one encoder, and predictions of a protocol on them."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cosine_similarity

from ...protocols import PROTOCOLS
from ...protocols._support_sets import support_set
from ...protocols._types import CHUNK, Features, LabelledImages, OnDemand, Predictions, read_out
from ..augmentation.conditions import in_condition
from ..augmentation.resample import resize
from ..data.chips import Chips
from ..identity import Shots
from ..seeding import stream, torch_stream

KEPT_BYTES = 2**30  # of features that are pixels, which are computed again where they are not kept
Head = tuple[Shots, int]  # shots and seed, which choose the labelled chips and the random numbers


class Part(NamedTuple):
    """The training chips of a data set, or its test chips in one condition."""

    is_test: bool
    condition: str | None = None


class OfHead(NamedTuple):
    """The outcome of one head.

    Attributes:
        episode: Indices of its labelled chips among the training chips.
        predictions: For each condition of the test chips; or the error by which this head failed.
    """

    episode: np.ndarray
    predictions: list[Predictions] | Exception


def _parts(conditions: Iterable[str | None]) -> list[Part]:
    return [Part(is_test=False), *(Part(is_test=True, condition=one) for one in conditions)]


class EncodedChips(ABC):
    """One encoder on one data set; inputs and features are computed at first use.

    A subclass has the encoder.
    """

    def __init__(
        self,
        chips: Chips,
        device: str,
        input_kind: str = "encoder",
        input_px: int = 0,
        readouts: Iterable[str] = (),
        *,
        shuffles_labels: bool = False,
    ) -> None:
        """Keep the data set and what the encoder gets.

        Args:
            chips: The data set.
            device: `cpu` or `cuda:<index>`.
            input_kind: As `evaluation_input` of a method.
            input_px: Side of the encoder's input.
            readouts: Readouts of all later runs, so that one pass of the encoder serves them all.
            shuffles_labels: As in a method.
        """
        self.chips, self.device, self._shuffles_labels = chips, device, shuffles_labels
        self._input_kind, self._input_px = input_kind, input_px
        self._train = np.flatnonzero(~chips.is_test)
        self._test = np.flatnonzero(chips.is_test)
        self._readouts = set(readouts)
        # by part: the training chips, or the test chips in one condition
        self._images: dict[Part, Tensor] = {}
        self._features: dict[Part, dict[str, Tensor]] = {}
        self._drift: dict[tuple[str, str], float] = {}  # by readout and condition

    @abstractmethod
    def make_encoder(self, drop_path: float = 0.0) -> nn.Module:
        """Return a fresh copy of the encoder on the device."""

    def predict(
        self,
        protocol: str,
        settings: Any,
        heads: Sequence[Head],
        conditions: Sequence[str | None] = (None,),
    ) -> list[OfHead]:
        """Return the predictions of a protocol for each head.

        Args:
            protocol: Its name.
            settings: Its settings.
            heads: Shots and seeds; of several, a protocol that trains encoders must take them
                together.
            conditions: Conditions of the test chips; None for chips as they are.
        """
        episodes = [self._episode(*head) for head in heads]
        rngs = [
            torch_stream(seed, "head", protocol, self.chips.split_digest, str(shots))
            for shots, seed in heads
        ]
        known = PROTOCOLS[protocol]
        work = known.load()
        if known.kind == "features":
            features = self._features_for(settings.readout, conditions)
            if self._shuffles_labels:
                predicted = [
                    work.run(self._shuffled(features, episode, seed), [episode], [rng], settings)[0]
                    for (_, seed), episode, rng in zip(heads, episodes, rngs, strict=True)
                ]
            else:
                predicted = work.run(features, episodes, rngs, settings)
        else:
            images = self._labelled_images(conditions)
            if len(heads) > 1:
                predicted = work.run_together(self.make_encoder, images, episodes, rngs, settings)
            else:
                predicted = [work.run(self.make_encoder, images, episodes[0], rngs[0], settings)]
        return [OfHead(*one) for one in zip(episodes, predicted, strict=True)]

    def _episode(self, shots: Shots, seed: int) -> np.ndarray:
        ids, labels = self.chips.ids[self._train], self.chips.labels[self._train]
        split = self.chips.split_digest
        return support_set(split, seed, ids, labels, shots, self.chips.classes)

    def _shuffled(self, features: Features, episode: np.ndarray, seed: int) -> Features:
        """Return features with the labels of an episode permuted among its chips."""
        rng = stream(seed, "label shuffle", self.chips.split_digest, len(episode))
        labels, device = features.train_labels.clone(), self.device
        moved = torch.from_numpy(episode[rng.permutation(len(episode))]).to(device)
        labels[torch.from_numpy(episode).to(device)] = features.train_labels[moved]
        return replace(features, train_labels=labels)

    def drift(self, readout: str, condition: str | None) -> float | None:
        """Return 1 minus the mean cosine of clean and changed features over the test chips.

        None for clean chips, and if the features have not been computed. A feature of length 0 has
        the cosine 0.
        """
        return self._drift.get((readout, condition)) if condition else None

    def inputs(self, indices: np.ndarray, condition: str | None = None) -> Iterator[Tensor]:
        """Yield the inputs of the encoder in chunks, on the device.

        Chips are changed by a condition as prepared, before they are resized. Their source size,
        the only input of `chip_size`, stays.
        """
        for start in range(0, len(indices), CHUNK):
            chunk = indices[start : start + CHUNK]
            if self._input_kind == "size":
                images = torch.from_numpy(self.chips.source_size[chunk].astype(np.float32))
                images = images[:, None, None]
            else:
                pixels = self.chips.stack(chunk)
                if condition:
                    pixels = in_condition(pixels, self.chips.ids[chunk], condition)
                images = torch.from_numpy(pixels)
            images = images.to(self.device)
            yield resize(images, self._input_px) if self._input_kind == "encoder" else images

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
        train, *tests = _parts(conditions)
        known = self._part_features(train, readout)
        on_demand = OnDemand(len(tests), lambda number: self._part_features(tests[number], readout))
        return Features(known, self._train_labels(), on_demand, len(self.chips.classes))

    def _part_features(self, part: Part, readout: str) -> Tensor:
        known = self._features.get(part, {})
        if readout in known:
            return known[readout]
        wanted = {readout}
        if self._input_kind == "encoder":  # one pass for all; pixels are read again
            wanted |= self._readouts - known.keys()
        found = self.features(self._indices(part), wanted, part.condition)
        if part.condition:
            clean = Part(is_test=True)
            for name, changed in found.items():
                if (name, part.condition) not in self._drift:
                    self._drift[name, part.condition] = _drift(
                        self._part_features(clean, name), changed
                    )
        if self._input_kind == "encoder" or not part.condition or self._has_room(found):
            self._features[part] = known | found
        return found[readout]

    def _has_room(self, features: dict[str, Tensor]) -> bool:
        """Return whether these features may be kept too."""
        every = (*self._features.values(), features)
        return sum(one.nbytes for of_part in every for one in of_part.values()) <= KEPT_BYTES

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
        return labels.to(self.device)


def _drift(clean: Tensor, changed: Tensor) -> float:
    """Return 1 minus the mean cosine of the rows of two matrices, in double precision."""
    cosines = [
        cosine_similarity(one.double(), other.double(), dim=1)
        for one, other in zip(clean.split(CHUNK), changed.split(CHUNK), strict=True)
    ]
    return max(0.0, 1 - float(torch.cat(cosines).mean()))
