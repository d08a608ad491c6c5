"""The training of a classifier by gradient descent, shared by four protocols."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from ._settings import EncoderTraining, FewShot
from ._types import LabelledImages, NotConvergedError, Predictions, read_out


def head_weight(shape: tuple[int, int], std: float, rng: torch.Generator) -> Float[Tensor, "C D"]:
    """Draw a head's initial weight: normal, cut at +-2 as in the source (so almost never cut).

    `nn.init.trunc_normal_` is not used, because its draws differ between releases of torch.
    """
    return (torch.randn(shape, generator=rng) * std).clamp_(-2, 2)


def batches(size: int, batch: int, rng: torch.Generator) -> list[Int[Tensor, " B"]]:
    """Return the positions of each batch of one shuffled epoch.

    The last, incomplete batch is skipped. If there are fewer chips than a batch, all make one.
    """
    order = torch.randperm(size, generator=rng)
    if size < batch:
        return [order]
    return list(order[: size - size % batch].split(batch))


class Classifier(nn.Module):
    """An encoder and a linear head, all trainable."""

    def __init__(
        self,
        encoder: nn.Module,
        classes: int,
        settings: FewShot | EncoderTraining,
        rng: torch.Generator,
    ) -> None:
        """Add to `encoder` a new head whose weight is drawn from `rng`."""
        super().__init__()
        self.encoder = encoder.requires_grad_(True)
        self.readout = settings.readout
        width: int = encoder.width  # pyright: ignore[reportAssignmentType]
        self.head = nn.Linear(width, classes)
        with torch.no_grad():
            self.head.weight.copy_(head_weight((classes, width), settings.head_std, rng))
            self.head.bias.zero_()

    def forward(self, images: Float[Tensor, "B 1 H W"]) -> Float[Tensor, "B C"]:
        """Return the logits."""
        tokens = self.encoder(images)
        return self.head(read_out(tokens, self.readout, bool(self.encoder.has_class_token)))


def train_and_predict(
    make_encoder: Callable[[float], nn.Module],
    drop_path: float,
    parameter_groups: Callable[[Classifier], list[dict]],
    images: LabelledImages,
    episode: Int[np.ndarray, " S"],
    rng: torch.Generator,
    settings: FewShot | EncoderTraining,
) -> list[Predictions]:
    """Train encoder and head on an episode; predict each set of test chips after the last epoch.

    Args:
        make_encoder: Returns a new encoder with pretrained weights for a drop path rate.
        drop_path: The drop path rate.
        parameter_groups: Splits the weights into optimiser groups, each with its `lr_scale`. It
            may freeze weights and add others first.
        images: The data set.
        episode: Indices of the labelled training chips.
        rng: CPU generator; draws the head, the order of each epoch, and the draws of the encoder
            itself, for which torch's global state is set and restored.
        settings: The protocol.

    Raises:
        NotConvergedError: The loss, or a score, is not finite.
    """
    device = images.train.device
    support = torch.from_numpy(episode)
    with _global_draws_from(rng, device):
        classifier = Classifier(make_encoder(drop_path), images.classes, settings, rng)
        classifier = classifier.to(device).train()
        optimizer = torch.optim.AdamW(
            parameter_groups(classifier), betas=settings.betas, weight_decay=settings.weight_decay
        )
        schedule = list(settings.rates(len(support)))
        for epoch, rates in enumerate(schedule):
            order = batches(len(support), settings.batch, rng)
            losses = []
            for lr, positions in zip(rates, order, strict=False):  # the last may be incomplete
                for group in optimizer.param_groups:
                    group["lr"] = lr * group["lr_scale"]
                rows = support[positions].to(device)
                with precision_of(device, settings):
                    logits = classifier(images.train[rows])
                loss = cross_entropy(logits.float(), images.train_labels[rows].long())
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                losses.append(loss.detach())
            if not torch.stack(losses).isfinite().all():  # once an epoch, because it waits
                raise NotConvergedError(
                    f"the loss is not finite in epoch {epoch} of {len(schedule)}; check the "
                    f"encoder's weights, or set a learning rate below {settings.lr:g}"
                )
        classifier.eval()
        with torch.no_grad(), precision_of(device, settings):
            logits = [
                torch.cat([classifier(part).float() for part in test.split(settings.eval_batch)])
                for test in images.tests
            ]
    return [Predictions.of_logits(one) for one in logits]


def precision_of(device: torch.device, settings: FewShot | EncoderTraining) -> torch.autocast:
    """Return the context of the forward pass in the precision of the settings."""
    return torch.autocast(device.type, torch.bfloat16, enabled=settings.precision == "bf16")


@contextmanager
def _global_draws_from(rng: torch.Generator, device: torch.device) -> Iterator[None]:
    """Let layers that draw from torch's global state, such as drop path, draw from `rng`.

    The global state is restored at the end.
    """
    seed = int(torch.randint(2**63 - 1, (), generator=rng))
    gpus = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=gpus, device_type="cuda"):
        torch.set_rng_state(torch.Generator().manual_seed(seed).get_state())
        for gpu in gpus:
            torch.cuda.set_rng_state(torch.Generator(gpu).manual_seed(seed).get_state(), gpu)
        yield
