"""The settings of each protocol; imports no torch, so that a grid is checked quickly.

Every change of a value here, or of a protocol's computation, needs a new `version` of that
protocol; `tests/protocols/test_versions.py` holds a digest of each.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from math import cos, inf, pi
from typing import ClassVar, Literal, get_args

Readout = Literal[
    "default", "class", "patch_mean", "patch_max", "patch_mean_std", "patch_grid_2", "patch_grid_4"
]
TRAINABLE = ("default", "class", "patch_mean")  # readouts under which an encoder is trained
Precision = Literal["fp32", "bf16"]
Layers = Literal["all", "attention", "mlp", "qkv", "proj", "fc1", "fc2"]
LAYER_GROUPS: dict[str, tuple[str, ...]] = {  # any other name is that of one kind
    "all": ("qkv", "proj", "fc1", "fc2"),
    "attention": ("qkv", "proj"),
    "mlp": ("fc1", "fc2"),
}
CHOICES: dict[str, tuple[str, ...]] = {  # settings that are names
    "readout": get_args(Readout), "precision": get_args(Precision), "layers": get_args(Layers)
}  # fmt: skip


def kinds_in(layers: str) -> tuple[str, ...]:
    """Return the kinds of linear layers in a group, or the one kind of that name."""
    return LAYER_GROUPS.get(layers, (layers,))


def grid_cells(readout: str) -> int:
    """Return the cells along a side of a `patch_grid_` readout, 0 for another one."""
    return int(readout.removeprefix("patch_grid_")) if readout.startswith("patch_grid_") else 0


def steps_per_epoch(chips: int, batch: int) -> int:
    """Return the steps of one epoch: the full batches, or one batch of fewer chips."""
    return max(1, chips // batch)


def missing_layers(layers: str, found: list[str]) -> str | None:
    """Return the reason why an encoder with these kinds of linear layers cannot be updated, if any.

    Some layers of a group are enough.
    """
    wanted = kinds_in(layers)
    if set(wanted) & set(found):
        return None
    if not found:
        return (
            "lora updates the linear layers qkv, proj, fc1 and fc2 of transformer blocks, and the "
            "encoder has none of them; use few_shot or finetune"
        )
    return (
        f"the encoder has no linear layers {' and '.join(wanted)} in its blocks, but "
        f"{', '.join(found)}; set layers = 'all', or to one of those"
    )


class BadSettingsError(ValueError):
    """A setting outside its range."""


class _Settings:
    """Settings that are checked when they are made, so in `plan`."""

    on_features: ClassVar[bool] = True  # of a frozen encoder

    def __post_init__(self) -> None:
        """Refuse values that would fail, or do nothing, hours later."""
        allowed = CHOICES if self.on_features else CHOICES | {"readout": TRAINABLE}
        for name, value in vars(self).items():
            if value not in allowed.get(name, (value,)):
                raise BadSettingsError(f"{name} is {value!r}; allowed: {', '.join(allowed[name])}")
            if name in ("epochs", "batch", "eval_batch", "neighbours", "rank") and value < 1:
                raise BadSettingsError(f"{name} is {value}; it must be 1 or more")
            if name == "betas" and not (len(value) == 2 and 0 <= min(value) <= max(value) < 1):
                raise BadSettingsError(f"betas is {list(value)}; it must be two numbers in [0, 1)")
            if name in ("drop_path", "norm_momentum", "layer_decay") and not 0 <= value <= 1:
                raise BadSettingsError(f"{name} is {value}; it must be in [0, 1]")
            # Without a penalty there may be no minimum; with alpha = 0 nothing is updated.
            if name in ("penalty", "alpha") and not value > 0:
                raise BadSettingsError(f"{name} is {value}; it must be above 0")
            if name == "whiten" and value is not None and type(value) is not bool:
                raise BadSettingsError(f"whiten is {value!r}; it must be true or false")
            if name == "steps" and value is not None and (type(value) is not int or value < 1):
                raise BadSettingsError(
                    f"steps is {value!r}; it must be a whole number of 1 or more"
                )
            if isinstance(value, int | float) and not 0 <= value < inf:
                raise BadSettingsError(f"{name} is {value}; it must be finite, 0 or more")
        epochs, warmup = (getattr(self, name, 0) for name in ("epochs", "warmup_epochs"))
        if warmup > epochs:
            raise BadSettingsError(
                f"warmup_epochs is {warmup}, more than the {epochs} epochs, so the training would "
                "end before the full learning rate; set warmup_epochs to at most epochs (0 = none)"
            )


@dataclass(frozen=True)
class HeadTraining(_Settings):
    """The SAR-JEPA paper's training of a classifier, the same in few_shot and linear.

    The values are from few_shot_classification/finetune in waterdisappear/SAR-JEPA at 1f17f90.
    N labelled chips take epochs x max(1, N // batch) steps.
    """

    epochs: int = 40  # passes over the labelled chips
    batch: int = 50  # shuffled; with 50 chips or more the last, incomplete batch is skipped
    lr: float = 1e-3  # AdamW
    warmup_epochs: int = 2  # at the constant warmup_lr
    warmup_lr: float = 1e-5  # of the warm-up epochs
    betas: tuple[float, float] = (0.9, 0.999)  # of AdamW
    weight_decay: float = 5e-4  # on every weight, biases and norms too
    readout: Readout = "default"  # of the tokens; default = class token, else patch_mean
    steps: int | None = None  # length in steps for any number of chips; None = that of `epochs`

    def __post_init__(self) -> None:
        """Refuse impossible values, and two lengths."""
        super().__post_init__()
        if self.steps is not None and self.epochs != HeadTraining.epochs:
            raise BadSettingsError(
                f"steps is {self.steps} and epochs is {self.epochs}, but both give the length of "
                "the training; set one of them"
            )

    def step_count(self, chips: int) -> int:
        """Return the number of steps on so many labelled chips."""
        return self.steps or self.epochs * steps_per_epoch(chips, self.batch)

    def rates(self, chips: int) -> Iterator[list[float]]:
        """Yield the learning rates of the steps of each pass over the labelled chips.

        With `steps`, the schedule of all `epochs` is stretched or shortened to them, warm-up
        included, and the last pass may be incomplete.
        """
        each, total = steps_per_epoch(chips, self.batch), self.step_count(chips)
        for first in range(0, total, each):
            last = min(first + each, total)
            yield [self.lr_at(self.epochs * step / total) for step in range(first, last)]

    def lr_at(self, epoch: float | int) -> float:
        """Return the learning rate of an epoch, the same for all its steps.

        As in the source, the cosine has the length of all `epochs`, including warm-up. So the last
        epoch has 1.4% of `lr`.
        """
        if epoch < self.warmup_epochs:
            return self.warmup_lr
        return 0.5 * self.lr * (1 + cos(pi * (int(epoch) - self.warmup_epochs) / self.epochs))


@dataclass(frozen=True)
class FewShot(HeadTraining):
    """Train everything on k labelled chips per class (the paper's "fine-tuning").

    The length is epochs x max(1, N // batch) steps for N labelled chips: 80 steps for ten shots of
    ten classes. `steps` sets another length.
    """

    on_features: ClassVar[bool] = False
    version: ClassVar[int] = 1
    head_std: float = 2e-5  # normal, cut at +-2
    precision: Precision = "fp32"  # of the training
    eval_batch: int = 256  # fixed, because it changes the last digits of a score


@dataclass(frozen=True)
class Linear(HeadTraining):
    """Train BatchNorm (no affine) and a linear head on frozen features ("linear probing")."""

    version: ClassVar[int] = 1
    head_std: float = 0.01  # normal, cut at +-2
    norm_eps: float = 1e-6  # of BatchNorm
    norm_momentum: float = 0.1  # of BatchNorm


@dataclass(frozen=True)
class EncoderTraining(_Settings):
    """Today's recipe for training an encoder, the same in finetune and lora: AdamW, a cosine."""

    on_features: ClassVar[bool] = False
    epochs: int = 50  # passes over the labelled chips
    batch: int = 64  # shuffled; an incomplete batch as in HeadTraining
    lr: float = 5e-4  # AdamW, at the end of the warm-up
    warmup_epochs: int = 5  # in which the rate rises from 0
    betas: tuple[float, float] = (0.9, 0.999)  # of AdamW
    weight_decay: float = 0.05  # none on one-dimensional weights
    head_std: float = 2e-5  # normal, cut at +-2
    readout: Readout = "patch_mean"  # of the tokens
    precision: Precision = "fp32"  # of the training
    eval_batch: int = 256  # fixed, because it changes the last digits of a score

    def lr_at(self, epoch: float | int) -> float:
        """Return the head's learning rate at a fractional epoch: warm-up, then cosine to 0."""
        if epoch < self.warmup_epochs:
            return self.lr * epoch / self.warmup_epochs
        done = (epoch - self.warmup_epochs) / (self.epochs - self.warmup_epochs)
        return 0.5 * self.lr * (1 + cos(pi * done))

    def step_count(self, chips: int) -> int:
        """Return the number of steps on so many labelled chips."""
        return self.epochs * steps_per_epoch(chips, self.batch)

    def rates(self, chips: int) -> Iterator[list[float]]:
        """Yield the head's learning rates of the steps of each epoch."""
        each = steps_per_epoch(chips, self.batch)
        for epoch in range(self.epochs):
            yield [self.lr_at(epoch + step / each) for step in range(each)]


@dataclass(frozen=True)
class Finetune(EncoderTraining):
    """Train everything on all labels with today's recipe (ours)."""

    version: ClassVar[int] = 1
    layer_decay: float = 0.65  # of the rate, from the head's downwards
    drop_path: float = 0.1  # highest probability that a block is skipped, in the last one


@dataclass(frozen=True)
class Lora(EncoderTraining):
    """Train low-rank updates of linear layers, and a head; the encoder's weights stay (LoRA).

    The update of a weight W is (alpha / rank) B A, where A has `rank` rows (Hu et al., arXiv
    2106.09685). The length and the rates are those of today's recipe, without a decay by layer.
    """

    version: ClassVar[int] = 1
    lr: float = 1e-3  # of the updates and the head
    rank: int = 8  # of an update
    alpha: float = 8.0  # factor of an update, divided by the rank
    layers: Layers = "all"  # that are updated, in every block


@dataclass(frozen=True)
class KNN(_Settings):
    """Let the nearest labelled chips vote, by cosine similarity; nothing is trained.

    `whiten` makes the features uncorrelated with variance 1 (PCA). It is fitted once for a data
    set, on all its training chips without labels. So with k shots it uses unlabelled chips too.
    """

    version: ClassVar[int] = 2
    neighbours: int = 1  # labelled chips that vote
    readout: Readout = "patch_mean"  # of the tokens
    whiten: bool | None = None  # None = false, so that no key has it


@dataclass(frozen=True)
class Logistic(_Settings):
    """Solve a logistic regression on standardised, frozen features (ours)."""

    version: ClassVar[int] = 1
    penalty: float = 1.0  # times half the squared norm of the weight, next to a sum over chips
    readout: Readout = "patch_mean"  # of the tokens


Settings = FewShot | Linear | Logistic | Finetune | Lora | KNN
