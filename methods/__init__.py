"""What is compared: one file is one pretraining method, found by its file name."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if __name__ != "sarbench.methods":
    raise ImportError(f"import sarbench.methods, not {__name__} (install with: pip install -e .)")

from ._registry import BrokenMethodError, UnknownMethodError, get, names, register
from ._sizes import SIZES, EncoderConfig

if TYPE_CHECKING:
    from ._masking import draw, hidden_except, random_order
    from ._method import Method, Prediction
    from ._vit import Encoder, Predictor, initialise, patchify, take

_LAZY = {  # imported at first use, so that names() starts without torch
    "_masking": ("draw", "hidden_except", "random_order"),
    "_method": ("Method", "Prediction"),
    "_vit": ("Encoder", "Predictor", "initialise", "patchify", "take"),
}

__all__ = [
    "SIZES",
    "BrokenMethodError",
    "Encoder",
    "EncoderConfig",
    "Method",
    "Prediction",
    "Predictor",
    "UnknownMethodError",
    "draw",
    "get",
    "hidden_except",
    "initialise",
    "names",
    "patchify",
    "random_order",
    "register",
    "take",
]


def __getattr__(name: str) -> Any:
    for module, exported in _LAZY.items():
        if name in exported:
            return getattr(import_module(f".{module}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
