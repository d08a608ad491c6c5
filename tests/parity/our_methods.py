"""Our methods with the weights and the masks of the reference."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any
from unittest import mock

import numpy as np
import torch
from torch import Tensor

from parity.inputs import chips, sample, speckled, weight
from sarbench.bench.identity import Recipe
from sarbench.bench.pretraining.optimisation import make_optimizer
from sarbench.bench.pretraining.step import train_step
from sarbench.methods import get, hpm, i_jepa, lomar, mae, maskfeat, simmim, speckle_mae
from sarbench.methods._encoders import EncoderConfig
from sarbench.methods._method import Batch, Method

ENCODER = EncoderConfig("48 wide, 2 deep", 224, 16, 48, 2, 4)
PREDICTOR = (32, 2, 4)  # width, blocks, heads
STEPS = 10
IMAGES = 3  # the number at which LoMaR's code pairs each image with each of its 4 windows
RATE = 1e-3
MOMENTUM = 0.9  # of moving averages; with 0.996 they would hardly move in ten steps
HEAD, TEMPERATURES = (40, 24, 64), (0.04, 0.07)  # of DINO: head; temperatures of targets

Draw = dict[str, np.ndarray]  # the masks of a step
Outcome = dict[str, dict[str, np.ndarray]]  # quantity -> arrays by name


@dataclass(frozen=True)
class Case:
    """A method as the reference has it.

    Attributes:
        names: Beginnings of our names of weights, and what the reference has instead.
        config: What is switched to the reference.
        recipe: The groups of the optimiser.
    """

    names: dict[str, str]
    config: dict[str, Any] = field(default_factory=dict)
    recipe: Recipe = field(default_factory=Recipe)


ENCODER_NAMES = {"encoder.": ""}
DECODER_NAMES = {
    "embed.": "decoder_embed.", "blocks.": "decoder_blocks.", "norm.": "decoder_norm.",
    "predict.": "decoder_pred.",
}  # fmt: skip
MAE_NAMES = {f"decoder.{ours}": theirs for ours, theirs in DECODER_NAMES.items()}
MAE_NAMES |= {"decoder.mask_token": "mask_token"} | ENCODER_NAMES
RANKER_NAMES = {
    f"{ours}.": f"decoder_{ours.replace('predict', 'pred')}_losspred."
    for ours in ("blocks", "norm", "predict")
}
TEACHER_NAMES = {"teacher.0.": "target_", "teacher.1.": "target_decoder_embed."}
TEACHER_NAMES |= {f"teacher.2.{ours}": f"target_{one}" for ours, one in RANKER_NAMES.items()}
LOCAL_NAMES = {f"predictor.{ours}": theirs for ours, theirs in DECODER_NAMES.items()}
JEPA_NAMES = {
    "predictor.mask_token": "predictor.mask_token",
    "predictor.predict.": "predictor.predictor_proj.",
    "predictor.": "predictor.predictor_",
}
# The input is not standardised; the momentum is not lowered, as the length is not set.
JEPA_CONFIG = {"mean": 0.0, "deviation": 1.0, "momentum": MOMENTUM, "predictor_depth": 2}
HEAD_NAMES = {
    f"{each}aggregation.blocks.{block}.{part}.": f"{each}head.cls_blocks.{block}.attn.{part}."
    for each in ("", "target_")
    for block in range(2)
    for part in ("q", "k", "v", "proj")
}
for each in ("", "target_"):
    HEAD_NAMES |= {
        f"{each}aggregation.blocks.": f"{each}head.cls_blocks.",
        f"{each}aggregation.": f"{each}head.",
    }
CASES = {
    "mae": Case(MAE_NAMES, {"predictor": PREDICTOR}),
    "fg_mae": Case(MAE_NAMES, {"predictor": PREDICTOR}),
    "lomar": Case({"predictor.": "encoder_pred."} | ENCODER_NAMES),
    "sar_jepa": Case(
        LOCAL_NAMES | {"predictor.embed.": "encoder_pred."} | ENCODER_NAMES,
        {"predictor": PREDICTOR},
    ),
    "i_jepa": Case(JEPA_NAMES, JEPA_CONFIG, Recipe(beta2=0.999, weight_decay=0.04)),
    "dmt_jepa": Case(JEPA_NAMES | HEAD_NAMES, JEPA_CONFIG, Recipe(beta2=0.999, weight_decay=0.04)),
    "hpm": Case(
        MAE_NAMES | {f"ranker.{ours}": one for ours, one in RANKER_NAMES.items()} | TEACHER_NAMES,
        {"predictor": PREDICTOR, "momentum": (MOMENTUM, MOMENTUM)},
    ),
    "simmim": Case(
        {"predictor.": "decoder.0.", "mask_token": "encoder.mask_token"},
        recipe=Recipe(beta2=0.999),
    ),
    "speckle_mae": Case(MAE_NAMES, {"predictor": PREDICTOR, "share": 1.0}),
    "multi_scale_structure": Case(
        MAE_NAMES | {"scales": "structure.hogs.simple_weights"}, {"predictor": PREDICTOR}
    ),
    "maskfeat": Case(
        {"predictor.": "pred_head.projections.0."} | ENCODER_NAMES, recipe=Recipe(beta2=0.999)
    ),
    "vicreg": Case(
        {
            "encoder.": "backbone.", "expander.1.": "projector.norm1.",
            "expander.4.": "projector.norm4.", "expander.": "projector.",
        },
        recipe=Recipe(optimizer="sgd", momentum=0.9, weight_decay=1e-6),
    ),
    "dino": Case(
        {},
        {  # of five steps, the last layer is fixed in one, and temperatures rise to the third
            "small": 2, "head": HEAD, "momentum": MOMENTUM, "fixed_last_layer": 0.2,
            "target_warmup": 0.4, "target_temperature_start": TEMPERATURES[0],
            "target_temperature": TEMPERATURES[1],
        },
        Recipe(beta2=0.999, weight_decay=0.04),
    ),
    "lejepa": Case(
        {
            "encoder.": "backbone.", "projector.1.": "proj.norm1.",
            "projector.4.": "proj.norm4.", "projector.": "proj.",
        },
        {"large": 4, "small": 0},
        Recipe(optimizer="sgd", momentum=0.9),
    ),
}  # fmt: skip


def reference_name(case: Case, name: str) -> str:
    """Return the reference's name of one of our weights."""
    for ours, theirs in case.names.items():
        if name.startswith(ours):
            name = theirs + name.removeprefix(ours)
            break
    return name.replace("attn.relative", "attn.rpe_k.lookup_table_weight")


def weights_of(name: str, method: Method) -> dict[str, Tensor]:
    """Return the weights of a method by the reference's names."""
    return {reference_name(CASES[name], n): value for n, value in method.named_parameters()}


def build(name: str) -> tuple[Method, dict[str, Tensor]]:
    """Return a method with the first weights of the reference, and its weights by their names."""
    case, kind = CASES[name], get(name)
    method = kind(kind.Config(**case.config), ENCODER, torch.Generator()).train()
    weights = weights_of(name, method)
    with torch.no_grad():
        for theirs, value in weights.items():
            value.copy_(weight(theirs.removeprefix("target_"), tuple(value.shape)))
    return method, weights


@contextmanager
def masks_of(draw: Draw) -> Iterator[None]:
    """Let a method draw these masks."""
    found = {name: torch.from_numpy(values.astype(np.int64)) for name, values in draw.items()}
    mask = found["mask"].bool() if "mask" in found else None
    drawn = {
        (mae, "random_order"): found.get("order"),
        (hpm, "random_order"): found.get("order"),
        (lomar, "random_order"): found.get("order"),
        (lomar, "windows"): found.get("windows"),
        (i_jepa, "context_and_targets"): (found.get("context"), found.get("targets")),
        (simmim, "unit_masks"): mask,
        (maskfeat, "block_masks"): mask,
        (speckle_mae, "add_speckle"): speckled(chips(IMAGES)),
    }
    with ExitStack() as stack:
        for (module, function), value in drawn.items():
            stack.enter_context(mock.patch.object(module, function, return_value=value))
        yield


def outcome(name: str, draws: Sequence[Draw]) -> Outcome:
    """Return tokens, predictions and targets of the first step, losses and weights of ten."""
    case, images, rng = CASES[name], chips(IMAGES), torch.Generator()
    method, weights = build(name)
    tokens: list[Tensor] = []
    hook = method.encoder.norm.register_forward_hook(lambda *call: tokens.append(call[2]))
    with masks_of(draws[0]), torch.no_grad():
        prediction = method.predict(images, rng)
    hook.remove()
    optimizer = make_optimizer(method, case.recipe)
    for group in optimizer.param_groups:
        group["lr"] = RATE
    losses = []
    for step, draw in enumerate(draws):
        batch = Batch((images,), torch.arange(IMAGES), progress=step / len(draws))
        with masks_of(draw):
            losses.append(train_step(method, optimizer, batch, rng))
    first = {
        "tokens": tokens[0],
        "predictions": prediction.predicted,
        "targets": prediction.target,
        "losses": torch.tensor(losses),
    }
    return {
        **{quantity: {quantity: sample(values)} for quantity, values in first.items()},
        "weights": {theirs: sample(value) for theirs, value in weights.items()},
    }
