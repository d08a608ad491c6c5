"""The published training loop of HPM, run with our inputs."""

import contextlib
import importlib
import io
import math
from argparse import Namespace
from typing import Any
from unittest import mock

import numpy as np
import torch
from timm.optim import param_groups_weight_decay
from timm.utils import ModelEma
from torch import Tensor, nn

from parity.checkouts import code_of, importable
from parity.inputs import chips, fill, sample
from parity.our_methods import IMAGES, MOMENTUM, RATE, STEPS, Draw, Outcome
from parity.reference_methods import block_without_scale, patches_of, sizes

# A step is an epoch of one batch. The share of hard patches follows the number of the next epoch,
# ours the steps that are done, so epochs are counted from -1.
OPTIONS = Namespace(
    accum_iter=1, learning_loss=True, relative=True, learn_feature_loss="none", mask_ratio=0.75,
    lr=RATE, min_lr=RATE, warmup_epochs=-2, epochs=STEPS,
)  # fmt: skip


class ConstantEma(ModelEma):
    """The teacher of the loop, whose schedule of momentum is replaced by a constant."""

    decay = property(lambda _: MOMENTUM, lambda *_: None)  # pyright: ignore[reportAssignmentType]


class Parallel(nn.Module):
    """A network as the loop expects it: in a wrapper."""

    def __init__(self, module: nn.Module) -> None:
        """Wrap a network."""
        super().__init__()
        self.module = module

    def forward(self, *values: Any, **named: Any) -> Any:
        """Call the network."""
        return self.module(*values, **named)


class Watched:
    """Masks of each step, and tokens, predictions and targets of the first."""

    def __init__(self, network: Any, teacher: Any) -> None:
        """Watch the student, and the masks of the teacher."""
        self.draws: list[Draw] = []
        self.first: dict[str, Tensor] = {}
        self.masking, self.loss = teacher.generate_mask, network.forward_loss
        teacher.generate_mask = self.mask
        network.forward_loss = self.loss_and_target
        network.norm.register_forward_hook(lambda _, __, tokens: self.keep("tokens", tokens))
        network.decoder_pred.register_forward_hook(lambda _, __, made: self.predictions(made))

    def keep(self, name: str, values: Tensor) -> None:
        """Keep values of the first step."""
        self.first.setdefault(name, values.detach())

    def mask(self, expected: Tensor, **named: Any) -> Tensor:
        """Record an order: the hard patches, the visible ones, the other hidden ones.

        A method that hides other hard patches than the reference would show one of them.
        """
        made = self.masking(expected, **named)
        hidden = made.bool()
        share = 0.5 * (named["epoch"] + 1) / named["total_epoch"]
        number = int(int(hidden[0].sum()) * share)
        place = 1.0 + hidden.int()
        hard = expected.argsort(dim=1)[:, expected.shape[1] - number :]
        order = place.scatter(1, hard, 0.0).argsort(dim=1, stable=True)
        self.draws.append({"order": np.uint8(order)})
        return made

    def predictions(self, made: Tensor) -> None:
        """Record the predictions of the first step, which hides no hard patches, in our order."""
        if "predictions" not in self.first:
            order = torch.from_numpy(self.draws[0]["order"].astype(np.int64))
            order = order[..., None].expand(-1, -1, made.shape[2])
            self.first["predictions"] = torch.zeros(order.shape).scatter(
                1, order, made[:, 1:].detach()
            )

    def loss_and_target(self, images: Tensor, predicted: Tensor, mask: Tensor) -> Any:
        """Record the targets t of the first step.

        The gradient of the loss of a prediction of 0 with all n patches of P values hidden is
        -2 t / (n P).
        """
        nothing = torch.zeros(*mask.shape, predicted.shape[2], requires_grad=True)
        loss = self.loss(images, nothing, torch.ones_like(mask))["mean"]
        (gradient,) = torch.autograd.grad(loss, nothing)
        self.keep("targets", gradient * (-nothing.numel() / 2))
        return self.loss(images, predicted, mask)


def hpm_outcome() -> tuple[list[Draw], Outcome]:
    """Return masks and results of ten steps of HPM's own training loop."""
    stubs = {"einops": {"rearrange": None}, "torch._six": {"inf": math.inf}}
    with (
        importable(code_of("hpm"), **stubs),
        mock.patch.object(torch.cuda, "synchronize"),
        mock.patch.object(np.random, "shuffle", np.random.default_rng(0).shuffle),
        contextlib.redirect_stdout(io.StringIO()),
    ):
        engine = importlib.import_module("engine_pretrain")
        module = importlib.import_module("models_mae_learn_loss")
        module.Block = block_without_scale
        network = module.MaskedAutoencoderViT(**sizes())
        network.patchify = patches_of
        weights = {n: value for n, value in network.named_parameters() if value.requires_grad}
        fill(weights)
        teacher = ConstantEma(network)
        watched = Watched(network, teacher.ema)
        optimizer = torch.optim.AdamW(
            param_groups_weight_decay(network, 0.05), lr=RATE, betas=(0.9, 0.95)
        )
        losses: list[float] = []

        def step(loss: Tensor, optimizer: Any, **_: Any) -> None:
            losses.append(loss.item())
            loss.backward()
            optimizer.step()

        for epoch in range(-1, STEPS - 1):
            torch.default_generator.manual_seed(epoch + 1)
            batch = (chips(IMAGES), torch.zeros(IMAGES, 196)), torch.zeros(IMAGES)
            engine.train_one_epoch(
                Parallel(network), [batch], optimizer, torch.device("cpu"), epoch, step,
                args=OPTIONS, model_ema=teacher,
            )  # fmt: skip
    averaged = dict(teacher.ema.named_parameters())
    ranks = ("patch_embed", "cls_token", "blocks", "norm.", "decoder_embed")
    kept = {n: one for n, one in averaged.items() if n.startswith(ranks) or "losspred" in n}
    return watched.draws, {
        **{n: {n: sample(values)} for n, values in watched.first.items()},
        "losses": {"losses": np.float32(losses)},
        "weights": {n: sample(value) for n, value in weights.items()}
        | {f"target_{n}": sample(value) for n, value in kept.items()},
    }
