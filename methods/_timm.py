"""Networks of timm as encoders; their tokens are the places of the last feature map."""

from difflib import get_close_matches
from typing import Any

import timm
import torch
from jaxtyping import Float
from timm.models import group_parameters  # pyright: ignore[reportPrivateImportUsage]
from torch import Tensor, nn

from ._encoders import TimmConfig
from ._linear import replace_linear


class TimmModelError(ValueError):
    """A network that timm cannot build with this input size or drop path."""


class UnknownTimmModelError(TimmModelError):
    """A network that timm does not have."""


class TimmEncoder(nn.Module):
    """An untrained network of timm.

    Attributes:
        has_class_token: Whether token 0 is a class token.
        width: Length D of a token.
    """

    draws_own_weights = True  # by timm's rules, when the network is built

    def __init__(self, config: TimmConfig, drop_path: float = 0.0, channels: int = 1) -> None:
        """Build the network for `channels` and draw its weights from torch's global state.

        Raises:
            TimmModelError: timm has no such model, or it does not take the input size or the drop
                path rate.
        """
        super().__init__()
        self.config = config
        self.model: Any = create(config, drop_path, channels)
        replace_linear(self.model)
        self.width = int(getattr(self.model, "head_hidden_size", self.model.num_features))
        self.has_class_token = getattr(self.model, "cls_token", None) is not None

    @property
    def kind(self) -> str:
        """The kind of network."""
        return self.config.model

    def forward(self, images: Float[Tensor, "B 1 H W"]) -> Float[Tensor, "B N D"]:
        """Return the tokens of whole chips with values in [0, 1]."""
        return self.tokens(self.model(images))

    def tokens(self, found: Tensor) -> Float[Tensor, "B N D"]:
        """Return the tokens of what the network gives: its tokens, or a map of features."""
        if found.ndim == 3:
            prefix = getattr(self.model, "num_prefix_tokens", int(self.has_class_token))
            if found.shape[1] <= prefix:
                raise TimmModelError(
                    f"{self.config.name} gives its class token only; use a network that gives the "
                    "tokens of patches too"
                )
            if prefix == int(self.has_class_token):
                return found
            kept = found[:, : int(self.has_class_token)]  # without register tokens
            return torch.cat([kept, found[:, prefix:]], dim=1)
        if found.ndim == 4 and found.shape[1] == self.width:
            return found.flatten(2).mT
        if found.ndim == 4 and found.shape[3] == self.width:  # channels last
            return found.flatten(1, 2)
        raise TimmModelError(
            f"{self.config.name} gives features {tuple(found.shape)}, which are neither tokens "
            "(B, N, D) nor a map (B, D, H, W); use another network"
        )

    def layer_numbers(self) -> tuple[dict[str, int], int]:
        """Return the layer number of each weight by its name, and that of a head on top."""
        numbers, head = timm_layers(self.model)
        return {f"model.{name}": layer for name, layer in numbers.items()}, head


def timm_layers(model: Any) -> tuple[dict[str, int], int]:
    """Return timm's layer number of each weight, counted from the input, and that of a head."""
    layers: Any = group_parameters(model, model.group_matcher(), reverse=True)
    numbers = {name: int(layer) for name, layer in layers.items()}
    return numbers, max(numbers.values()) + 1


def vit_layers(model: Any) -> tuple[dict[str, int], int]:
    """Return the layer number of each weight of a ViT, and that of a head on top.

    The final norm has the head's number, as in MAE's and BEiT's fine-tuning.
    """
    numbers, head = timm_layers(model)
    return {n: head if n.startswith("norm.") else at for n, at in numbers.items()}, head


def create(config: TimmConfig, drop_path: float, channels: int, classes: int = 0) -> nn.Module:
    """Return a network of timm without pooling; with a classifier if `classes` is not 0.

    Without `drop_path` it has no dropout either: timm gives some networks (Swin) both, which draw
    from torch's global random state.
    """
    if not timm.is_model(config.model):
        near = get_close_matches(config.model, timm.list_models(), n=3)
        hint = f" Did you mean {' or '.join(near)}?" if near else ""
        raise UnknownTimmModelError(
            f"timm {timm.__version__} has no model {config.model!r}.{hint} "
            "timm.list_models() lists all"
        )
    asked: dict[str, Any] = {"in_chans": channels, "num_classes": classes}
    asked |= {"drop_path_rate": drop_path} if drop_path else {}
    try:  # transformers need the input size, convolutional networks have no argument for it
        try:
            model = _built(config, asked | {"img_size": config.input_px})
        except TypeError as error:
            if "img_size" not in str(error):
                raise
            model = _built(config, asked)
    except (TypeError, ValueError, AssertionError, RuntimeError) as error:
        raise TimmModelError(
            f"timm cannot build {config.model} for {config.input_px} px"
            + (f" with drop path {drop_path}" if drop_path else "")
            + f": {type(error).__name__}: {error}"
        ) from error
    if not drop_path:
        _drop_nothing(model)
    return model


def _drop_nothing(model: nn.Module) -> None:
    """Switch off dropout and drop path."""
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
        for name in ("drop_prob", "drop_rate"):
            if isinstance(getattr(module, name, None), float):
                setattr(module, name, 0.0)


def _built(config: TimmConfig, options: dict[str, Any]) -> nn.Module:
    return timm.create_model(config.model, pretrained=False, global_pool="", **options)
