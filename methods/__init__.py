"""Pretraining methods: one file each, whose name is the method's name."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if __name__ != "sarbench.methods":
    raise ImportError(f"import sarbench.methods, not {__name__} (install with: pip install -e .)")

from ._encoders import SIZES, AnyEncoder, EncoderConfig, TimmConfig, predictor_shape
from ._registry import BrokenMethodError, UnknownMethodError, get, names, register

if TYPE_CHECKING:
    from ._masked import MaskedPrediction, Prediction
    from ._masking import draw, hidden_except, random_order
    from ._method import Batch, Loss, Method, MethodConfigError, View, summary_token
    from ._vit import Encoder, Predictor, initialise, patchify, take

_LAZY = {  # imported at first use, so that names() starts without torch
    "_masked": ("MaskedPrediction", "Prediction"),
    "_masking": ("draw", "hidden_except", "random_order"),
    "_method": ("Batch", "Loss", "Method", "MethodConfigError", "View", "summary_token"),
    "_vit": ("Encoder", "Predictor", "initialise", "patchify", "take"),
}

__all__ = [
    "SIZES",
    "AnyEncoder",
    "Batch",
    "BrokenMethodError",
    "Encoder",
    "EncoderConfig",
    "Loss",
    "MaskedPrediction",
    "Method",
    "MethodConfigError",
    "Prediction",
    "Predictor",
    "TimmConfig",
    "UnknownMethodError",
    "View",
    "draw",
    "get",
    "hidden_except",
    "initialise",
    "names",
    "patchify",
    "predictor_shape",
    "random_order",
    "register",
    "summary_token",
    "take",
]


def __getattr__(name: str) -> Any:
    for module, exported in _LAZY.items():
        if name in exported:
            return getattr(import_module(f".{module}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
