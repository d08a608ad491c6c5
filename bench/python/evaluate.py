"""One encoder, or its features, under one protocol, without a grid."""

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor, nn

from ...protocols import PROTOCOLS
from ...results.class_metrics import class_scores
from ..augmentation.conditions import CLEAN
from ..data.chips import Chips
from ..data.find_set import prepare_set
from ..evaluation.encoded_chips import EncodedChips, Part
from ..grid.evaluate_problems import evaluate_problems
from ..grid.schema import GridError
from ..identity import Shots, fill, from_json, to_json
from ..suggest import RequestError
from .requests import PathLike, data_in, grid_of, store_in

FromArray = Float[np.ndarray, "N D"] | Float[Tensor, "N D"]
FromFile = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Evaluated:
    """The result of one run.

    Attributes:
        accuracy: Share of the test chips with the right class.
        balanced_accuracy: Mean recall of the classes that have test chips.
        macro_f1: Mean F1 of these classes.
        train_count: Number of labelled chips.
        predictions: One line for each test chip: `chip`, `truth`, `predicted`, `correct`.
        scores: One line for each test chip, one column for each class: log-probabilities, or of a
            protocol without probabilities (`knn`) numbers that are higher for a more likely class.
        settings: All settings of the protocol.
    """

    accuracy: float
    balanced_accuracy: float
    macro_f1: float
    train_count: int
    predictions: pd.DataFrame
    scores: pd.DataFrame
    settings: dict[str, Any]

    def __repr__(self) -> str:
        """Return the scores."""
        return (
            f"Evaluated(accuracy={self.accuracy:.4f}, "
            f"balanced_accuracy={self.balanced_accuracy:.4f}, macro_f1={self.macro_f1:.4f})"
        )


def evaluate(
    encoder: nn.Module | FromArray | FromFile,
    dataset: str,
    protocol: str = "logistic",
    shots: Shots = "all",
    seed: int = 0,
    *,
    settings: Mapping[str, Any] | None = None,
    condition: str = CLEAN,
    input_px: int | None = None,
    data: PathLike | None = None,
    runs: PathLike | None = None,
    device: str = "cpu",
) -> Evaluated:
    """Measure an encoder on a data set as a grid would: same split, labelled chips and head.

    Args:
        encoder: A module, which takes chips (B, 1, px, px) in [0, 1] and returns features (B, D)
            or tokens (B, N, D); `has_class_token = True` on it says that token 0 is one. Or the
            features of all chips of the data set (N, D) in the order of their ids. Or what
            `np.load` reads from a file of `sarbench features`.
        dataset: A data set by its name in grids.
        protocol: A protocol; those that train the encoder need a module.
        shots: Labelled chips per class, `all`, or a share such as `30%`.
        seed: Seed of the labelled chips and of the head.
        settings: Settings of the protocol that differ from its defaults.
        condition: Condition of the test chips, such as `shift:4`.
        input_px: Side to which chips are resized for the module. By default its attribute
            `input_px`, and without one chips are not resized.
        data: Folder of the data sets; by default that of SARBENCH_DATA, or `data`.
        runs: Folder of a store, for the prepared data set only; by default that of SARBENCH_RUNS,
            or `runs`.
        device: `cpu` or `cuda:<index>`.

    Raises:
        GridError: Data set, protocol, shots, settings or condition are not allowed; it lists them.
        RequestError: The encoder does not fit the protocol or the data set.
    """
    given = dict(settings or {})
    entry = {"shots": [shots], "settings": given}
    grid = grid_of(
        methods=["mae"],
        evaluate={
            "datasets": [dataset], "conditions": [condition], "seeds": [seed],
            "protocols": {protocol: entry},
        },
    )  # fmt: skip
    if problems := list(evaluate_problems(grid)):
        raise GridError("\n".join(problems))
    chips, _ = prepare_set(dataset, data_in(data), store_in(runs))
    encoded = _encoded(encoder, chips, device, input_px)
    known = PROTOCOLS[protocol]
    filled = fill(to_json(known.settings()), given)
    tested = None if condition == CLEAN else condition
    if isinstance(encoded, _Features) and (tested or "readout" in given):
        what = f"condition {condition}" if tested else "readout"
        raise RequestError(
            f"{what} needs the encoder, but features were given; give a torch module, or leave it "
            "out"
        )
    (found,) = encoded.predict(protocol, from_json(known.settings, filled), [(shots, seed)],
                               [tested])  # fmt: skip
    if isinstance(found.predictions, Exception):
        raise found.predictions
    (predictions,) = found.predictions
    return _evaluated(chips, predictions.classes, predictions.scores, len(found.episode), filled)


def _evaluated(
    chips: Chips,
    classes: np.ndarray,
    scores: np.ndarray,
    train_count: int,
    settings: dict[str, Any],
) -> Evaluated:
    truth, ids = chips.labels[chips.is_test], chips.ids[chips.is_test]
    names = np.array(chips.classes)
    return Evaluated(
        **class_scores(truth, classes, len(names)),
        train_count=train_count,
        predictions=pd.DataFrame(
            {
                "chip": ids,
                "truth": names[truth],
                "predicted": names[classes],
                "correct": truth == classes,
            }
        ),
        scores=pd.DataFrame(scores, index=pd.Index(ids, name="chip"), columns=pd.Index(names)),
        settings=settings,
    )


def _encoded(
    encoder: nn.Module | FromArray | FromFile,
    chips: Chips,
    device: str,
    input_px: int | None,
) -> "_Module | _Features":
    if isinstance(encoder, nn.Module):
        return _Module(encoder, chips, device, input_px)
    if isinstance(encoder, Mapping):
        if missing := {"ids", "features"} - set(encoder):
            raise RequestError(
                f"a file of features must have ids and features, it lacks {', '.join(missing)}; "
                "`sarbench features` writes one"
            )
        return _Features(_ordered(encoder["features"], encoder["ids"], chips), chips, device)
    return _Features(torch.as_tensor(encoder), chips, device)


def _ordered(features: np.ndarray, ids: np.ndarray, chips: Chips) -> Tensor:
    """Return the features of the chips of a data set in their order."""
    place = {str(name): number for number, name in enumerate(ids)}
    missing = [str(name) for name in chips.ids if str(name) not in place]
    if missing:
        raise RequestError(
            f"{len(missing)} of {len(chips)} chips of {chips.name} have no features, such as "
            f"{missing[0]}; write them with `sarbench features FILE_OR_KEY {chips.name}`"
        )
    return torch.from_numpy(features[[place[str(name)] for name in chips.ids]])


class _Module(EncodedChips):
    """A module of the caller, which stays as it is."""

    def __init__(self, encoder: nn.Module, chips: Chips, device: str, px: int | None) -> None:
        px = px or getattr(encoder, "input_px", None)
        super().__init__(chips, device, "encoder" if px else "chip", int(px or 0))
        first = next(self.inputs(np.arange(1)))
        whole = hasattr(encoder, "has_class_token") and hasattr(encoder, "width")
        self._encoder = encoder if whole else _Tokens(encoder, first)

    def make_encoder(self, drop_path: float = 0.0) -> nn.Module:
        """Return a copy; it has the drop path of the caller's module, not that of the protocol."""
        return deepcopy(self._encoder).requires_grad_().to(self.device)


class _Tokens(nn.Module):
    """A module whose output has the shape of tokens (B, N, D)."""

    def __init__(self, inner: nn.Module, first: Tensor) -> None:
        super().__init__()
        self.inner = inner
        self.has_class_token = bool(getattr(inner, "has_class_token", False))
        training = inner.training
        with torch.no_grad():
            found = inner.eval().to(first.device)(first)
        inner.train(training)
        shape = tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__
        if not isinstance(found, Tensor) or found.ndim not in (2, 3):
            raise RequestError(
                f"the encoder returns {shape} for a chip of shape {tuple(first.shape)}; it must "
                "return features (B, D) or tokens (B, N, D)"
            )
        self.width = found.shape[-1]

    def forward(self, images: Tensor) -> Tensor:
        """Return tokens; features are a single one."""
        found = self.inner(images)
        return found[:, None] if found.ndim == 2 else found


class _Features(EncodedChips):
    """Features of all chips, in their order."""

    def __init__(self, features: Tensor, chips: Chips, device: str) -> None:
        super().__init__(chips, device, "chip")
        if features.ndim != 2 or len(features) != len(chips):
            raise RequestError(
                f"features have shape {tuple(features.shape)}; {chips.name} has {len(chips)} "
                f"chips, so they must be ({len(chips)}, D), in the order of the ids"
            )
        self._of_chips = features.float().to(device)

    def make_encoder(self, drop_path: float = 0.0) -> nn.Module:
        """Refuse a protocol that trains the encoder."""
        raise RequestError(
            "this protocol trains the encoder, but features were given; give a torch module"
        )

    def _part_features(self, part: Part, readout: str) -> Tensor:
        return self._of_chips[torch.from_numpy(self._indices(part)).to(self.device)]
