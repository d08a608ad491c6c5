"""The registry of methods, by file name; other packages and folders add methods.

Packages declare entry points; folders are those of `_folders.py`.
"""

import difflib
import sys
from collections import Counter
from collections.abc import Callable, Iterable
from functools import lru_cache
from importlib import import_module
from importlib.metadata import EntryPoints, entry_points
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from . import _folders

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
            raise BrokenMethodError(f"{module}: {outdated}; see docs/contract.md")
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
    return sorted({*own_names(), *installed().names, *_folders.files()})


def get(name: str) -> "type[Method]":
    """Import one method and return its class.

    Raises:
        UnknownMethodError: No method has this name.
        BrokenMethodError: Two methods have the name, or its file does not import or register.
    """
    return _load(name, _place(name))


def module_of(name: str) -> str:
    """Return the name of a method's module, without importing it.

    Raises:
        UnknownMethodError: No method has this name.
        BrokenMethodError: Two methods have the name.
    """
    return _module_at(_place(name))


def _place(name: str) -> str | Path:
    """Return the module, or the file in a folder, that has the name of a method."""
    own = [f"{__package__}.{name}"] * (name in own_names())
    packages = [entry.module for entry in installed().select(name=name)]
    places = [*own, *packages, *_folders.files().get(name, ())]
    if not places:
        near = difflib.get_close_matches(name, names(), n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        if other := _folders.other_file(name):
            hint = f" {other} has no @register(label=..., paper=...) above a class; add it."
        raise UnknownMethodError(
            f"unknown method {name!r}.{hint} Methods: {', '.join(names())}. A method of your own "
            f"is found by --methods DIR or {_folders.VARIABLE}"
        )
    if len(places) > 1:
        raise BrokenMethodError(
            f"two methods are named {name!r}: {' and '.join(map(str, places))}; uninstall one or "
            "rename its file"
        )
    return places[0]


def _module_at(place: str | Path) -> str:
    return _folders.module_of(place) if isinstance(place, Path) else place


def check_unique(wanted: Iterable[str]) -> None:
    """Check that no name belongs to two methods, without importing one.

    Raises:
        BrokenMethodError: Two files or packages have one of the names.
    """
    packages = Counter(entry.name for entry in installed())
    own, found = own_names(), _folders.files()
    for name in wanted:
        if (name in own) + packages[name] + len(found.get(name, ())) > 1:
            _place(name)


def _load(name: str, place: str | Path) -> "type[Method]":
    module, path = _module_at(place), place if isinstance(place, Path) else None
    try:
        import_module(module)
    except Exception as error:  # code of a plug-in; the message must name it
        where = _folders.place_of(error, path) if path else module
        said = error.msg if path and isinstance(error, SyntaxError) else error
        raise BrokenMethodError(
            f"method {name!r}: importing {where} failed with {type(error).__name__}: {said}"
        ) from error
    method = _registered.get(module)
    if method is None:
        raise BrokenMethodError(
            f"method {name!r}: {path or module} registers no method; put "
            "@register(label=..., paper=...) above its class"
        )
    if method.name != name:
        raise BrokenMethodError(
            f"the entry point {name!r} points to {module}; give file and entry point the same name"
        )
    return method


def _is_frozen_dataclass(config: type) -> bool:
    return getattr(getattr(config, "__dataclass_params__", None), "frozen", False)


def installed() -> EntryPoints:
    """Return the entry points by which installed packages add methods."""
    folders = [path for path in map(Path, sys.path) if path.exists()]
    return _installed(tuple((path, path.stat().st_mtime_ns) for path in folders))


@lru_cache(maxsize=1)
def _installed(_: tuple[tuple[Path, int], ...]) -> EntryPoints:
    """Read them again where a folder that Python imports from has changed."""
    return entry_points(group=GROUP)


def own_names() -> set[str]:
    """Return the names of the bundled methods."""
    return {path.stem for path in Path(__file__).parent.glob("[!_]*.py")}
