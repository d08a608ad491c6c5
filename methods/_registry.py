"""The registry of methods, by file name; other packages add methods by entry points."""

import difflib
import sys
from collections.abc import Callable
from importlib import import_module
from importlib.metadata import entry_points
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:  # names() starts without torch
    from ._method import Method

GROUP = "sarbench.methods"
# Families of methods, by what a method predicts: pixels, a fixed function of them, or features of a
# network, of hidden patches; features of another view; labels. A plug-in that fits none is "other".
FAMILIES = (
    "masked pixel", "masked feature", "masked latent", "joint embedding", "supervised",
    "given weights", "control", "other",
)  # fmt: skip

M = TypeVar("M", bound=type)

_registered: dict[str, "type[Method]"] = {}  # by module


class UnknownMethodError(LookupError):
    """A name that no method has."""


class BrokenMethodError(LookupError):
    """A file or package of a method that fails to import or breaks the rules of the registry."""


def register(
    *,
    label: str,
    paper: str,
    family: str = "other",
    version: int = 1,
    control: bool = False,
    unconfirmed: bool = False,
) -> Callable[[M], M]:
    """Make the class below the method of its file, under the file's name.

    Args:
        label: Name in tables.
        paper: DOI or arXiv number, or a few words.
        family: One of `FAMILIES`; that of a control is "control".
        version: Raised whenever the method computes something else.
        control: Not a pretraining; has no loss.
        unconfirmed: The paper leaves the definition open; tables mark it.
    """

    def decorate(method: M) -> M:
        from ._method import Method

        module = method.__module__
        other = _registered.get(module)
        if not issubclass(method, Method):
            raise BrokenMethodError(
                f"{module}: {method.__name__} is not a subclass of Method or MaskedPrediction"
            )
        if other and other.__qualname__ != method.__qualname__:
            raise BrokenMethodError(
                f"{module} registers both {other.__name__} and {method.__name__}; "
                "put each method into a file of its own"
            )
        if family not in FAMILIES:
            raise BrokenMethodError(
                f"{module}: unknown family {family!r}; allowed: {', '.join(FAMILIES)}"
            )
        if outdated := _outdated(method):
            raise BrokenMethodError(f"{module}: {outdated}; see methods/README.md, The contract")
        config = vars(method).get("Config") or vars(sys.modules[module]).get("Config")
        if config is None or not _is_frozen_dataclass(config):
            raise BrokenMethodError(
                f"{module} has no frozen dataclass Config; add one, it may be empty"
            )
        method.Config = config
        method.name = module.rpartition(".")[2]
        method.label, method.paper, method.version = label, paper, version
        method.control, method.unconfirmed = control, unconfirmed
        method.family = "control" if control else family
        method.trains = method.trains and not control
        _registered[module] = method
        return method

    return decorate


def _outdated(method: type) -> str:
    """Return the feature of the old contract, before `Batch`, that a class has; empty for none."""
    from ._masked import MaskedPrediction

    given: Any = method
    if "images" in signature(given.loss).parameters:
        return "loss takes images; it must take (batch, rng) and return (loss, rows or None)"
    if hasattr(given, "predict") and not issubclass(given, MaskedPrediction):
        return "a method with `predict` must be derived from MaskedPrediction, not from Method"
    return ""


def names() -> list[str]:
    """Return the name of every method, sorted; imports none of them."""
    return sorted({*own_names(), *(entry.name for entry in entry_points(group=GROUP))})


def get(name: str) -> "type[Method]":
    """Import one method and return its class.

    Raises:
        UnknownMethodError: No method has this name.
        BrokenMethodError: Two packages have the name, or its file does not import or register.
    """
    return _load(name, module_of(name))


def module_of(name: str) -> str:
    """Return the name of a method's module, without importing it.

    Raises:
        UnknownMethodError: No method has this name.
        BrokenMethodError: Two packages have the name.
    """
    entries = list(entry_points(group=GROUP, name=name))
    modules = [f"{__package__}.{name}"] * (name in own_names()) + [
        entry.module for entry in entries
    ]
    if not modules:
        near = difflib.get_close_matches(name, names(), n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise UnknownMethodError(f"unknown method {name!r}.{hint} Methods: {', '.join(names())}")
    if len(modules) > 1:
        raise BrokenMethodError(
            f"two packages have a method {name!r}: {' and '.join(modules)}; uninstall one or "
            "rename its method"
        )
    return modules[0]


def _load(name: str, module: str) -> "type[Method]":
    try:
        import_module(module)
    except Exception as error:  # code of a plug-in; the message must name it
        raise BrokenMethodError(
            f"method {name!r}: importing {module} failed with {type(error).__name__}: {error}"
        ) from error
    method = _registered.get(module)
    if method is None:
        raise BrokenMethodError(
            f"method {name!r}: {module} registers no method; put @register(label=..., paper=...) "
            "above its class"
        )
    if method.name != name:
        raise BrokenMethodError(
            f"the entry point {name!r} points to {module}; give file and entry point the same name"
        )
    return method


def _is_frozen_dataclass(config: type) -> bool:
    return getattr(getattr(config, "__dataclass_params__", None), "frozen", False)


def own_names() -> set[str]:
    """Return the names of the bundled methods."""
    return {path.stem for path in Path(__file__).parent.glob("[!_]*.py")}
