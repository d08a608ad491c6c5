"""What each protocol fixes, in one place; imports no torch, so that a grid is checked quickly.

A change of any value here, or of what a protocol computes, is a new `version` of that protocol;
`tests/test_protocol_versions.py` holds a digest of each.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal


@dataclass(frozen=True)
class HeadTraining:
    """How the paper trains a classifier, few_shot and linear alike (paper_facts 4.1)."""

    epochs: int = 40
    batch: int = 50  # shuffled; the last incomplete batch is dropped where there are >= 50 chips
    lr: float = 1e-3  # AdamW; after warm-up cosine per epoch, never 0
    warmup_epochs: int = 2  # epochs 0 and 1 run at the constant warmup_lr
    warmup_lr: float = 1e-5
    betas: tuple[float, float] = (0.9, 0.999)
    weight_decay: float = 5e-4  # on every weight, biases and norms too
    readout: str = "default"


@dataclass(frozen=True)
class FewShot(HeadTraining):
    """Train everything on k labelled chips per class (the paper's "fine-tuning")."""

    version: ClassVar[int] = 1
    head_std: float = 2e-5  # truncated normal
    precision: Literal["fp32", "bf16"] = "fp32"


@dataclass(frozen=True)
class Linear(HeadTraining):
    """Train BatchNorm (no affine) and a linear head on frozen features ("linear probing")."""

    version: ClassVar[int] = 1
    head_std: float = 0.01  # truncated normal
    norm_eps: float = 1e-6
    norm_momentum: float = 0.1


@dataclass(frozen=True)
class Finetune:
    """Train everything on all labels with today's recipe (ours; DESIGN section 6)."""

    version: ClassVar[int] = 1
    epochs: int = 50
    batch: int = 64
    lr: float = 5e-4
    warmup_epochs: int = 5
    layer_decay: float = 0.65
    drop_path: float = 0.1
    betas: tuple[float, float] = (0.9, 0.999)
    weight_decay: float = 0.05  # none on one-dimensional weights
    head_std: float = 2e-5
    readout: str = "patch_mean"
    precision: Literal["fp32", "bf16"] = "fp32"


@dataclass(frozen=True)
class KNN:
    """Vote of the nearest labelled chips by cosine similarity; nothing is trained."""

    version: ClassVar[int] = 1
    neighbours: int = 1
    readout: str = "patch_mean"


SETTINGS = {"few_shot": FewShot, "linear": Linear, "finetune": Finetune, "knn": KNN}
