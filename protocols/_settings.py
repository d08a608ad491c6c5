"""What each protocol fixes, in one place; imports no torch, so that a grid is checked quickly.

A change of any value here, or of what a protocol computes, is a new `version` of that protocol;
`tests/protocols/test_versions.py` holds a digest of each.
"""

from dataclasses import dataclass
from math import cos, inf, pi
from typing import ClassVar, Literal, get_args

Readout = Literal["default", "class", "patch_mean"]
Precision = Literal["fp32", "bf16"]


class BadSettingsError(ValueError):
    """A setting that no training can be done with."""


class _Settings:
    """What all settings have in common: they are checked when made, so by `plan`."""

    def __post_init__(self) -> None:
        """Refuse what would fail, or silently do nothing, hours later."""
        allowed = {"readout": get_args(Readout), "precision": get_args(Precision)}
        for name, value in vars(self).items():
            if value not in allowed.get(name, (value,)):
                raise BadSettingsError(
                    f"{name} = {value!r} is unknown; allowed: {', '.join(allowed[name])}"
                )
            if name in ("epochs", "batch", "eval_batch", "neighbours") and value < 1:
                raise BadSettingsError(f"{name} must be 1 or more, not {value}")
            if name == "betas" and not (len(value) == 2 and 0 <= min(value) <= max(value) < 1):
                raise BadSettingsError(f"betas must be two numbers in [0, 1), not {list(value)}")
            if name in ("drop_path", "norm_momentum", "layer_decay") and not 0 <= value <= 1:
                raise BadSettingsError(f"{name} must be in [0, 1], not {value}")
            if isinstance(value, int | float) and not 0 <= value < inf:
                raise BadSettingsError(f"{name} must be finite and not negative, not {value}")
        epochs, warmup = (getattr(self, name, 0) for name in ("epochs", "warmup_epochs"))
        if warmup > epochs:
            raise BadSettingsError(
                f"warmup_epochs = {warmup} of {epochs} epochs: the training would end before the "
                "full learning rate is reached; set warmup_epochs to at most epochs (0 = none)"
            )


@dataclass(frozen=True)
class HeadTraining(_Settings):
    """How the paper trains a classifier, few_shot and linear alike (paper_facts 4.1)."""

    epochs: int = 40
    batch: int = 50  # shuffled; the last incomplete batch is dropped where there are >= 50 chips
    lr: float = 1e-3  # AdamW
    warmup_epochs: int = 2  # these run at the constant warmup_lr
    warmup_lr: float = 1e-5
    betas: tuple[float, float] = (0.9, 0.999)
    weight_decay: float = 5e-4  # on every weight, biases and norms too
    readout: Readout = "default"

    def lr_at(self, epoch: float | int) -> float:
        """Return the rate of an epoch, the same for all its steps.

        The cosine is stretched over `epochs`, not over what warm-up leaves of them, so the last
        epoch still runs at 1.4% of `lr` (as in the source).
        """
        if epoch < self.warmup_epochs:
            return self.warmup_lr
        return 0.5 * self.lr * (1 + cos(pi * (int(epoch) - self.warmup_epochs) / self.epochs))


@dataclass(frozen=True)
class FewShot(HeadTraining):
    """Train everything on k labelled chips per class (the paper's "fine-tuning")."""

    version: ClassVar[int] = 1
    head_std: float = 2e-5  # normal, cut at +-2
    precision: Precision = "fp32"
    eval_batch: int = 256  # fixed, since it moves the last digits of a score


@dataclass(frozen=True)
class Linear(HeadTraining):
    """Train BatchNorm (no affine) and a linear head on frozen features ("linear probing")."""

    version: ClassVar[int] = 1
    head_std: float = 0.01  # normal, cut at +-2
    norm_eps: float = 1e-6
    norm_momentum: float = 0.1


@dataclass(frozen=True)
class Finetune(_Settings):
    """Train everything on all labels with today's recipe (ours; DESIGN section 6)."""

    version: ClassVar[int] = 1
    epochs: int = 50
    batch: int = 64  # shuffled; last incomplete batch as in HeadTraining
    lr: float = 5e-4  # AdamW; of the head, lower layers by layer_decay
    warmup_epochs: int = 5
    layer_decay: float = 0.65
    drop_path: float = 0.1
    betas: tuple[float, float] = (0.9, 0.999)
    weight_decay: float = 0.05  # none on one-dimensional weights
    head_std: float = 2e-5
    readout: Readout = "patch_mean"
    precision: Precision = "fp32"
    eval_batch: int = 256

    def lr_at(self, epoch: float | int) -> float:
        """Return the head's rate at a fractional epoch: linear warm-up, then cosine to 0."""
        if epoch < self.warmup_epochs:
            return self.lr * epoch / self.warmup_epochs
        done = (epoch - self.warmup_epochs) / (self.epochs - self.warmup_epochs)
        return 0.5 * self.lr * (1 + cos(pi * done))


@dataclass(frozen=True)
class KNN(_Settings):
    """Vote of the nearest labelled chips by cosine similarity; nothing is trained."""

    version: ClassVar[int] = 2
    neighbours: int = 1
    readout: Readout = "patch_mean"


Settings = FewShot | Linear | Finetune | KNN
