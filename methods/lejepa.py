"""LeJEPA: crops of a chip get the vector of its large crops; vectors are normally distributed.

Hidden: nothing; small crops show 5% to 30% of a chip.
Predicted: from each of 2 large and 6 small crops, the mean vector of the large crops (mean squared
distance). A test of normality, SIGReg, keeps the vectors of a batch near the standard normal
distribution: along random directions, the Epps-Pulley statistic. So features do not collapse,
without a moving average, a stopped gradient or a predictor.

Paper: Balestriero and LeCun, LeJEPA: Provable and Scalable Self-Supervised Learning Without the
Heuristics, 2025, arXiv 2511.08544.
Source: rbalestr-lab/lejepa at eddffdd: MINIMAL.md for the loss, README.md for the crops. MINIMAL.md
has 4 large crops and no small ones (`large = 4`, `small = 0`); that the others predict the mean of
the large ones is in issue 11 of the repository.
Differs from the source:
- one channel, so no colour jitter, no grey and no inverted amplitude ("solarization"); no Gaussian
  blur, which would remove speckle;
- contrast, flip and large crops are those of the recipe, or the fields of `Config`;
- small crops have 98 / 224 of the input's side, rounded to whole patches;
- the projector is 4 times as wide as a token, as the source's 2,048 are of 512, and is directly on
  the token of a chip, in MINIMAL.md on a linear layer of 512 values that is evaluated there;
- no drop path; the loss is computed in full precision, in the source in bfloat16;
- the large crops are the targets for every network; the paper takes all crops for others than ViTs;
- the recipes `paper` and `quick` replace that of the source (`source_recipe`, that of MINIMAL.md):
  rate 2e-3 to 1e-3 at batch 256, 800 epochs with one of warm-up, betas 0.9 and 0.999, crops from
  8% of the area on.
It is bundled as the JEPA without a moving average, rather than VICReg on features of hidden blocks,
because its definition is public; `vicreg` is a method of its own.
Weakness: the statistic grows with the batch, so `weight` has another meaning in a batch of 16 than
in the source's 256. Few vehicles of few types are no normal distribution. Small crops as for
`dino`; those of 5% to 30% leave out more of a vehicle.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from ._encoders import AnyEncoder
from ._joint import SmallCrops, check_sides, full_precision, projector
from ._masking import host_of, on_device
from ._method import Batch, Loss, Method, MethodConfigError, View, summary_token
from ._registry import register
from ._vit import initialise

WIDTH = 4  # of the projector, in tokens


@dataclass(frozen=True)
class Config(SmallCrops):
    """Defaults of the source: README.md for crops, MINIMAL.md for the rest."""

    small: int = 6
    small_scale: tuple[float, float] = (0.05, 0.3)
    small_px: int = 98
    weight: float = 0.02  # of the test of normality, the distance has 1 - weight
    projection: int = 16  # length of the compared vectors
    directions: int = 256  # of each step
    knots: int = 17  # of the integral from 0 to `reach`
    reach: float = 3.0  # end of the integral of the test of normality

    def __post_init__(self) -> None:
        """Refuse values outside their ranges."""
        super().__post_init__()
        if not 0 <= self.weight <= 1:
            raise MethodConfigError(f"weight is {self.weight}; it must be a number from 0 to 1")
        if min(self.projection, self.directions) < 1 or self.knots < 2 or self.reach <= 0:
            raise MethodConfigError(
                f"projection, directions, knots and reach are {self.projection}, "
                f"{self.directions}, {self.knots} and {self.reach:g}; the first two must be 1 or "
                "more, knots 2 or more and reach above 0"
            )


def normality(
    rows: Float[Tensor, "V B P"], directions: Float[Tensor, "P S"], knots: int, reach: float
) -> Float[Tensor, ""]:
    """Return the mean Epps-Pulley statistic of B rows over views and directions.

    With the empirical characteristic function f(t) and g(t) = exp(-t^2 / 2) it is B times the
    integral of |f - g|^2 g from -reach to reach, by the trapezoidal rule.

    Args:
        rows: Vectors of B chips in each of V views.
        directions: Columns of length 1.
        knots: Number of values of t from 0 to reach; the integrand is symmetric.
        reach: Largest t.
    """
    t = torch.linspace(0, reach, knots, dtype=rows.dtype, device=rows.device)
    normal = torch.exp(-t.square() / 2)
    width = torch.full_like(t, 2 * reach / (knots - 1))
    width[0] = width[-1] = reach / (knots - 1)
    angle = (rows @ directions)[..., None] * t  # V B S T
    error = (angle.cos().mean(dim=1) - normal).square() + angle.sin().mean(dim=1).square()
    return rows.shape[1] * (error @ (width * normal)).mean()


def random_directions(length: int, count: int, rng: torch.Generator) -> Float[Tensor, "P S"]:
    """Return random columns of length 1, the same in all processes."""
    host = host_of(rng)
    drawn = torch.randn(length, count, generator=host, device=host.device)
    return functional.normalize(on_device(drawn, rng.device), dim=0)


@register(label="LeJEPA", paper="arXiv:2511.08544", family="joint embedding")
class LeJEPA(Method):
    """Equal vectors of all crops, normally distributed over a batch."""

    source_recipe: ClassVar = {  # MINIMAL.md; its cosine ends at half of the peak
        "epochs": 800, "batch": 256, "base_lr": 2e-3, "warmup_epochs": 1.0,
        "lr_start_share": 0.01, "lr_end_share": 0.5, "weight_decay": 0.05, "beta1": 0.9,
        "beta2": 0.999, "crop_scale_min": 0.08, "crop_scale_max": 1.0, "flip": 0.5,
        "contrast": 0.8,
    }  # fmt: skip

    def __init__(self, config: Config, encoder: AnyEncoder, rng: torch.Generator) -> None:
        """Build encoder and projector."""
        super().__init__(config, encoder, rng)
        check_sides(self.encoder, self.sized_views(), encoder.name)
        width = self.encoder.width
        self.projector = projector(width, WIDTH * width, config.projection)
        initialise(self, rng)

    @classmethod
    def views(cls, config: Config) -> tuple[View, ...]:
        """Return the crops, large ones first."""
        return config.views()

    def loss(self, batch: Batch, rng: torch.Generator) -> Loss:
        """Return the distance to the mean of large crops, and the test over all processes."""
        config = self.config
        parts = batch.views[: config.large], batch.views[config.large :]
        tokens = [
            summary_token(self.encoder(torch.cat(part)), self.encoder) for part in parts if part
        ]
        rows = full_precision(self.projector(torch.cat(tokens)))
        rows = rows.unflatten(0, (len(batch.views), -1))
        with torch.autocast(rows.device.type, enabled=False):
            distance = (rows[: config.large].mean(dim=0) - rows).square().mean()
            everyone = batch.gather(rows.transpose(0, 1)).transpose(0, 1)
            directions = random_directions(config.projection, config.directions, rng)
            test = normality(everyone, directions.to(rows.dtype), config.knots, config.reach)
            return (1 - config.weight) * distance + config.weight * test, None
