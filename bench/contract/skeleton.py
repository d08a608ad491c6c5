"""The file that `sarbench methods new` writes: a small method that runs and passes every check."""

import keyword
from pathlib import Path

from ...methods import _registry, names

METHODS_FOLDER = Path(_registry.__file__).parent

IN_THIS_REPOSITORY = """from ._encoders import EncoderConfig, predictor_shape
from ._masked import MaskedPrediction, Prediction
from ._masking import hidden_except, random_order
from ._registry import register
from ._vit import Encoder, Predictor, initialise, patchify
"""
IN_ANOTHER_PACKAGE = """from sarbench.methods import (
    Encoder,
    EncoderConfig,
    MaskedPrediction,
    Prediction,
    Predictor,
    hidden_except,
    initialise,
    patchify,
    predictor_shape,
    random_order,
    register,
)
"""
TEXT = '''"""{label}: hide half of the patches, predict their mean and deviation.

Hidden: a random half of the patches of each chip, replaced by a learned token before the encoder.
Predicted: mean and standard deviation of the pixels of each hidden patch, by a small predictor.

Paper: none yet.
Source: none.
Differs from the source: nothing.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

{imports}

@dataclass(frozen=True)
class Config:
    """What may be set in a grid; every field has a default and changes a run's key."""

    mask_ratio: float = 0.5


@register(label="{label}", paper="none yet")
class {class_name}(MaskedPrediction):
    """Regression of patch statistics."""

    def __init__(self, config: Config, encoder: EncoderConfig, rng: torch.Generator) -> None:
        """Build the networks; `initialise` draws every weight from `rng`."""
        super().__init__(config, encoder, rng)
        self.mask_token = nn.Parameter(torch.empty(1, 1, encoder.width))
        self.predictor = Predictor(encoder.width, 2, predictor_shape(encoder), "relative")
        initialise(self, rng)

    @classmethod
    def build_encoder(
        cls, config: Config, encoder: EncoderConfig, drop_path: float = 0.0
    ) -> Encoder:
        """Return what is kept: a ViT with class token and relative positions."""
        return Encoder(encoder, "relative", drop_path=drop_path)

    def target(self, images: Float[Tensor, "B 1 H W"]) -> Float[Tensor, "B N P"]:
        """Return mean and standard deviation of each patch."""
        pixels = patchify(images, self.encoder_config.patch_px)
        return torch.stack([pixels.mean(-1), pixels.std(-1)], dim=-1)

    def predict(self, images: Float[Tensor, "B 1 H W"], rng: torch.Generator) -> Prediction:
        """Hide, encode, predict; `loss` is the squared error over what `mask` calls hidden."""
        tokens = self.encoder.embed(images)
        batch, count, _ = tokens.shape
        hidden = int(count * self.config.mask_ratio)
        mask = hidden_except(random_order(batch, count, rng)[:, hidden:], count)
        tokens = torch.where(mask[..., None], self.mask_token.to(tokens.dtype), tokens)
        return Prediction(
            predicted=self.predictor(self.encoder.encode(tokens))[:, 1:],
            target=self.target(images),
            mask=mask,
            patches=torch.arange(count, device=images.device).expand(batch, -1),
            images=torch.arange(batch, device=images.device),
        )
'''


ENTRY_POINT = """declare it by an entry point in the pyproject.toml of your package:

[project.entry-points."sarbench.methods"]
{name} = "your_package.{name}"

then install the package: pip install -e ."""


class MethodNameError(ValueError):
    """A new method cannot have this name."""


def in_checkout() -> bool:
    """Return whether the methods are those of a checkout, which its user may add to."""
    return (METHODS_FOLDER.parent / "pyproject.toml").is_file()


def is_bundled(folder: Path) -> bool:
    """Return whether a folder is that of the bundled methods."""
    return folder.resolve() == METHODS_FOLDER.resolve()


def check_name(name: str) -> None:
    """Refuse a name that is no file name of a method, or is taken.

    Raises:
        MethodNameError: The name is not lower-case letters, digits and _, or is taken.
    """
    plain = name.isascii() and name.isidentifier() and name == name.lower()
    if not plain or name.startswith("_") or keyword.iskeyword(name):
        raise MethodNameError(
            f"a method's name is its file name: lower-case letters, digits and _, beginning with a "
            f"letter (my_method), got {name!r}"
        )
    if name in names():
        raise MethodNameError(f"there is a method {name!r} already; choose another name")


def skeleton(name: str, in_this_repository: bool = True) -> str:
    """Return the text of `<name>.py`, for `methods/` here or for another package.

    Raises:
        MethodNameError: See `check_name`.
    """
    check_name(name)
    words = name.split("_")
    return TEXT.format(
        label=" ".join(words).capitalize(),
        class_name="".join(word.capitalize() for word in words),
        imports=IN_THIS_REPOSITORY if in_this_repository else IN_ANOTHER_PACKAGE,
    )


def write_skeleton(name: str, folder: Path | None = None) -> Path:
    """Write `<name>.py` into `folder`; overwrite nothing.

    The default is `methods/` of a checkout, or the current folder where there is no checkout.

    Raises:
        MethodNameError: See `check_name`; also where the file exists or the folder does not.
    """
    folder = folder or (METHODS_FOLDER if in_checkout() else Path.cwd())
    if is_bundled(folder) and not in_checkout():
        raise MethodNameError(
            f"{folder} belongs to the installed package, which the next update replaces; write "
            "into a package of your own: --folder DIR"
        )
    text = skeleton(name, in_this_repository=is_bundled(folder))
    path = folder / f"{name}.py"
    try:
        with path.open("x") as file:
            file.write(text)
    except FileExistsError as error:
        raise MethodNameError(
            f"{path} exists and is not overwritten; choose another name"
        ) from error
    except FileNotFoundError as error:
        raise MethodNameError(f"there is no folder {folder}; create it first") from error
    return path
