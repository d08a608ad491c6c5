"""Our protocols of the paper with the heads and the orders of its trainers."""

from collections.abc import Iterator
from itertools import islice
from typing import Any
from unittest import mock

import numpy as np
import torch
from torch import Tensor, nn

from parity.inputs import labelled_chips, weight
from parity.our_methods import CASES, ENCODER, reference_name
from parity.reference_protocols import CLASSES, SIZES
from sarbench.methods._vit import Encoder
from sarbench.protocols import _training, few_shot, linear
from sarbench.protocols._settings import FewShot, Linear
from sarbench.protocols._types import Features, LabelledImages, Predictions

Found = dict[str, np.ndarray]


def outcome(name: str, theirs: Found) -> tuple[Found, Predictions]:
    """Return our rates, losses or weights, and predictions, from the draws of the paper's code."""
    support, _, epochs = SIZES[name]
    order = torch.from_numpy(theirs["order"].astype(np.int64))
    draws = {
        "head_weight": {"return_value": torch.from_numpy(theirs["first head"])},
        "batches": {"side_effect": [list(one) for one in order.unflatten(0, (epochs, -1))]},
    }
    module, run = (linear, of_linear) if name == "linear" else (_training, of_few_shot)
    with mock.patch.multiple(module, **{n: mock.Mock(**how) for n, how in draws.items()}):
        return run(theirs, support)


def of_linear(theirs: Found, support: int) -> tuple[Found, Predictions]:
    """Train a head on the features of the paper's encoder."""
    _, labels = labelled_chips(support, CLASSES)
    features = torch.from_numpy(theirs["features"])
    data = Features(features[:support], labels, [features[support:]], CLASSES)
    settings, rng = Linear(), torch.Generator()
    heads = linear._train(data, torch.arange(support)[None], [rng], settings)
    found = {
        "head": heads.weight[0],
        "bias": heads.bias[0, :, 0],
        "mean": heads.mean[0],
        "variance": heads.variance[0],
    }
    (predictions,) = linear._predict(data.tests[0], heads, settings)
    found = {n: values.numpy() for n, values in found.items()}
    return found | {"rates": rates_of(settings, support)}, predictions


def rates_of(settings: Linear | FewShot, support: int) -> np.ndarray:
    """Return the learning rate of each step."""
    return np.array([lr for rates in settings.rates(support) for lr in rates])


class FirstEpochs(FewShot):
    """The first ten epochs of the schedule of 40."""

    def rates(self, chips: int) -> Iterator[list[float]]:
        """Yield the rates of the steps of each epoch."""
        yield from islice(super().rates(chips), SIZES["few_shot"][2])


def encoder(drop_path: float) -> nn.Module:
    """Return our encoder with the weights of the paper's."""
    network = Encoder(ENCODER, "relative", drop_path=drop_path)
    with torch.no_grad():
        for ours, value in network.named_parameters():
            theirs = reference_name(CASES["lomar"], f"encoder.{ours}")
            value.copy_(weight(theirs, tuple(value.shape)))
    return network


def of_few_shot(theirs: Found, support: int) -> tuple[Found, Predictions]:
    """Train encoder and head on chips for the first ten epochs."""
    chips, labels = labelled_chips(support + SIZES["few_shot"][1], CLASSES)
    data = LabelledImages(chips[:support], labels[:support], [chips[support:]], CLASSES)
    losses: list[float] = []

    def watched(*values: Any) -> Tensor:
        loss = nn.functional.cross_entropy(*values)
        losses.append(loss.item())
        return loss

    settings, rng = FirstEpochs(), torch.Generator()
    with mock.patch.object(_training, "cross_entropy", watched):
        (predictions,) = few_shot.run(encoder, data, np.arange(support), rng, settings)
    return {"losses": np.array(losses), "rates": rates_of(settings, support)}, predictions
