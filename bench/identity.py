"""Identities of pretrainings and runs, and their keys.

`Pretraining` and `Run` hold everything that changes a result. Their key is the SHA-256 of their
canonical JSON. `Resources` holds device, threads and checkpoint interval, which change a number by
rounding at most and are not part of a key.
"""

import json
from collections.abc import Collection, Iterable
from dataclasses import asdict, dataclass, fields, replace
from functools import cached_property
from math import isfinite
from typing import Any, Literal, TypeVar

from ..results.record import digest_json
from .given_file import GivenFile

T = TypeVar("T")
Shots = int | str  # labelled chips per class, `all`, or a share of them such as `30%`
Kind = Literal["pretrain", "evaluate"]  # of work and of a job: a pretraining, or runs
KINDS: tuple[Kind, ...] = ("pretrain", "evaluate")
GIVEN = "given"  # the method of given weights
OPTIONAL = ("init", "at", "condition")  # fields that an identity lacks while they are None


# Fields of a recipe that are names. The first one is the default and stored as None.
CHOICES = {"optimizer": ("adamw", "sgd", "lars"), "schedule": ("cosine", "step")}


@dataclass(frozen=True)
class Recipe:
    """Optimiser, schedule and augmentation of a pretraining.

    The defaults are those of the SAR-JEPA paper (arXiv 2311.15153) and of `main_pretrain.py` in
    waterdisappear/SAR-JEPA. The peak learning rate is `base_lr * batch / 256`; the rate rises
    linearly and then falls on a cosine, step by step. One-dimensional weights have no weight decay,
    and LARS does not adapt their rate. A field that is None is left out of the identity, so that a
    new field changes no key.
    """

    epochs: int | float = 200  # passes over the pool; 4 and 4.0 have one key
    batch: int = 300  # chips of a step
    base_lr: float = 1e-3  # peak rate for 256 chips; that of a batch is base_lr * batch / 256
    warmup_epochs: float = 20.0  # in which the rate rises
    weight_decay: float = 0.05  # none on one-dimensional weights
    beta1: float = 0.9  # of AdamW
    beta2: float = 0.95  # of AdamW
    crop_scale_min: float = 0.2  # RandomResizedCrop: share of the chip's area
    crop_scale_max: float = 1.0  # the largest share
    flip: float = 0.5  # probability
    contrast: float = 0.5  # factor drawn from 1 +- contrast
    lr_start_share: float | None = None  # of the peak rate, at the first step; None = 0
    lr_end_share: float | None = None  # of the peak rate, at the end; None = 0
    weight_decay_end: float | None = None  # reached on a cosine; None = constant
    optimizer: Literal["sgd", "lars"] | None = None  # None = AdamW
    momentum: float | None = None  # of SGD and LARS; None = 0.9
    schedule: Literal["step"] | None = None  # a tenth after each third of the epochs; None = cosine

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            ValueError: The recipe cannot be trained.
        """
        for name, (_, *others) in CHOICES.items():
            if getattr(self, name) not in (None, *others):
                raise ValueError(
                    f"{name} must be None or one of {others}, got {getattr(self, name)!r}"
                )
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, int | float) and not isfinite(value):
                raise ValueError(f"{field.name} must be finite, got {value}")
        if not (0 <= self.beta1 < 1 and 0 <= self.beta2 < 1):
            raise ValueError(f"betas must be in [0, 1), got {self.beta1}, {self.beta2}")
        if self.epochs < 1 or self.batch < 2:
            raise ValueError(f"epochs must be >= 1 and batch >= 2, got {self.epochs}, {self.batch}")
        if not 0 < self.crop_scale_min <= self.crop_scale_max <= 1:
            raise ValueError(
                "crop_scale_min and crop_scale_max must be in (0, 1], the smaller first, got "
                f"{self.crop_scale_min}, {self.crop_scale_max}"
            )
        if self.base_lr <= 0 or self.warmup_epochs < 0 or self.weight_decay < 0:
            raise ValueError(
                "base_lr must be > 0, warmup_epochs and weight_decay >= 0, got "
                f"{self.base_lr}, {self.warmup_epochs}, {self.weight_decay}"
            )
        if self.warmup_epochs > self.epochs:
            raise ValueError(
                f"warmup_epochs = {self.warmup_epochs:g} of {self.epochs} epochs: the training "
                "would end before the full learning rate is reached; set warmup_epochs to at most "
                f"epochs (for example warmup_epochs = {self.epochs / 10:g})"
            )
        if not (0 <= self.flip <= 1 and 0 <= self.contrast <= 1):
            raise ValueError(
                f"flip and contrast must be in [0, 1], got {self.flip}, {self.contrast}"
            )
        shares = (self.lr_start_share or 0, self.lr_end_share or 0)
        if not 0 <= min(shares) <= max(shares) <= 1:
            raise ValueError(f"lr_start_share and lr_end_share must be in [0, 1], got {shares}")
        if not 0 <= (self.momentum or 0) < 1:
            raise ValueError(f"momentum must be in [0, 1), got {self.momentum}")
        if self.momentum is not None and self.optimizer is None:
            raise ValueError("momentum is that of SGD or LARS; set optimizer too, or leave it out")
        if self.schedule == "step" and self.lr_end_share is not None:
            raise ValueError(
                "lr_end_share ends a cosine, but schedule is 'step'; leave one of them out"
            )
        if not isfinite(2 * self.base_lr * self.batch / 256):
            raise ValueError(f"base_lr is {self.base_lr:g}; it must give a finite learning rate")
        if (self.weight_decay_end or 0) < 0:
            raise ValueError(f"weight_decay_end must be >= 0, got {self.weight_decay_end}")


SOURCE = "source"  # names the recipe of a method's own paper, which is in the method's file
RECIPES = {
    "paper": Recipe(),
    # For `vit_nano` and a few thousand chips. With 5e-4 instead of 2e-3 at the peak, and half as
    # many steps, MAE's pixel loss stayed at the level of the mean brightness for 10 epochs.
    "quick": Recipe(epochs=10, batch=32, base_lr=1.6e-2, warmup_epochs=1.0),
}


@dataclass(frozen=True)
class Identity:
    """A set of JSON values with a key."""

    def to_json(self) -> dict[str, Any]:
        """Return the fields as plain JSON values, without those that are None by default."""
        every = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return {n: one for n, one in every.items() if one is not None or n not in OPTIONAL}

    @cached_property
    def key(self) -> str:
        """The SHA-256 of the canonical JSON, in hexadecimal."""
        return digest_json(self.to_json())


def pool_count(total: int, cap: int | None, fraction: float) -> int:
    """Return the number of chips drawn from a pool of `total`, after cap and fraction."""
    return round(fraction * min(total, total if cap is None else cap))


@dataclass(frozen=True)
class Pretraining(Identity):
    """The identity of one pretrained encoder.

    A control that learns nothing has no pool and no recipe, and `raw_pixels` has no encoder, so all
    grids share them. `init` names the given weights that the training continues from, and None
    stands for drawn ones (`bench/given_identity.py`). `at` is the share of the steps after which
    the training ends, with the schedule of all steps; None stands for all.
    """

    method: str
    method_version: int
    config: dict[str, Any]
    encoder: dict[str, Any] | None
    precision: str
    pool: list[dict[str, Any]]  # name, digest and count of each member (`data.pools`)
    pool_cap: int | None
    pool_fraction: float
    recipe: dict[str, Any] | None
    seed: int
    init: dict[str, Any] | None = None
    at: float | None = None

    @property
    def pool_count(self) -> int:
        """The number of training chips; 0 without a pool."""
        total = sum(member["count"] for member in self.pool)
        return pool_count(total, self.pool_cap, self.pool_fraction)


@dataclass(frozen=True)
class Run(Identity):
    """The identity of one run.

    `start` is the key of its pretraining. `condition` is that of the test chips, such as `shift:4`,
    and None for chips as they are. Runs that differ only in it have the same head.
    """

    start: str
    method: str
    dataset: str
    data_digest: str
    split_digest: str
    protocol: str
    protocol_version: int
    settings: dict[str, Any]
    shots: Shots
    seed: int
    condition: str | None = None


@dataclass(frozen=True)
class Resources:
    """Resources of a process; part of the provenance of a record, not of a key.

    Attributes:
        device: `cpu` or `cuda:<index>`.
        threads: Threads of one process. They change the order of sums, so the number of allocated
            cores does not set them.
        checkpoint_s: Seconds between two checkpoints of a pretraining.
    """

    device: str = "cpu"
    threads: int = 1
    checkpoint_s: float = 120.0

    def to_json(self) -> dict[str, Any]:
        """Return the fields as plain JSON values."""
        return asdict(self)


@dataclass(frozen=True)
class Watched:
    """A data set whose training chips are classified while a pretraining runs; not in any key."""

    dataset: str
    data_digest: str
    split_digest: str


@dataclass(frozen=True)
class Job:
    """A pretraining and its runs, as a list of work.

    `earlier` are states of the same training after fewer steps, the longest first.
    """

    label: str
    pretraining: Pretraining
    pool: list[str]  # names in the grid
    runs: list[Run]
    given: GivenFile | None = None  # of the weights, or of those that the training continues from
    watched: Watched | None = None
    earlier: tuple[Pretraining, ...] = ()

    @property
    def pretrainings(self) -> tuple[Pretraining, ...]:
        """The pretraining and the earlier states, the longest first."""
        return (self.pretraining, *self.earlier)

    @property
    def keys(self) -> list[str]:
        """The keys of its runs, or of its pretrainings if it has no runs."""
        return [run.key for run in self.runs] or [one.key for one in self.pretrainings]

    def only(self, keys: Collection[str]) -> "Job | None":
        """Return the part with the pretrainings of these keys and their runs; None without one."""
        kept = [one for one in self.pretrainings if one.key in keys]
        if not kept:
            return None
        runs = [run for run in self.runs if run.start in keys]
        return replace(self, pretraining=kept[0], earlier=tuple(kept[1:]), runs=runs)


def labels_of(work: Iterable[Job]) -> str:
    """Return the names of some work, each once."""
    return ", ".join(dict.fromkeys(job.label for job in work))


def to_json(value: Any) -> dict[str, Any]:
    """Return a dataclass as plain JSON values: tuples become lists."""
    return json.loads(json.dumps(asdict(value)))


def from_json(kind: type[T], value: dict[str, Any]) -> T:
    """Rebuild a frozen dataclass from its JSON: lists become tuples again."""
    return kind(**{key: tuple(v) if isinstance(v, list) else v for key, v in value.items()})


def fill(defaults: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    """Return the defaults, updated by the values of a grid, for an identity.

    An integer becomes a float where the default is a float, so that 1 and 1.0 give one key. A field
    that is None is left out, and so is one that is false where the default is None.
    """
    filled = defaults | {name: _fitted(value, defaults[name]) for name, value in given.items()}
    return {name: value for name, value in filled.items() if value is not None}


def _fitted(value: Any, like: Any) -> Any:
    if isinstance(like, float) and type(value) is int:
        return float(value)
    if like is None and value is False:
        return None
    if isinstance(like, list) and like and isinstance(value, list):
        return [_fitted(one, like[0]) for one in value]
    return value
