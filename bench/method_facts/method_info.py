"""Facts about methods for grids, plans and tables, cached in the store.

Importing a method imports torch, which takes seconds. A plan or a table needs only the version and
defaults of a method and the encoders that it can pretrain. Two small files of the store hold them;
their names contain a digest of the code that the facts were read from.
"""

import json
import os
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import cache
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeVar

from ...methods import _folders, _registry
from ..identity import from_json, to_json
from ..store.atomic import write_atomic
from .setups import Fit, MethodSetup

NO_FAMILY = "other"  # of a plug-in that fits none, and in archives that are older than families

T = TypeVar("T")


@dataclass(frozen=True)
class MethodInfo:
    """The facts of a method, for programs that do not import it."""

    name: str
    label: str
    paper: str
    version: int
    control: bool
    unconfirmed: bool
    needs_encoder: bool  # False for a control that reads the chip or its size
    protocols: list[str]
    defaults: dict[str, Any]  # of its Config
    family: str = NO_FAMILY  # one of `methods._registry.FAMILIES`
    architecture: str = ""  # kind of its encoder; methods of one kind share an untrained control
    source_recipe: dict[str, Any] | None = None  # the recipe of its source
    any_encoder: bool = False  # True: it also trains networks of timm
    needs_labels: bool = False  # its pool must be one training split
    trains: bool = True  # False for a control, and for the weights of a file
    predicts: bool = False  # it hides and predicts patches, which a figure shows


def inspect_method(name: str) -> MethodInfo:
    """Import a method and return its facts."""
    from ...methods._masked import MaskedPrediction  # imports torch

    method = _registry.get(name)
    return MethodInfo(
        name=name,
        label=method.label,
        paper=method.paper,
        version=method.version,
        control=method.control,
        trains=method.trains,
        unconfirmed=method.unconfirmed,
        needs_encoder=method.evaluation_input == "encoder",
        protocols=list(method.protocols),
        defaults=to_json(method.Config()),
        family=method.family,
        architecture=method.architecture(),
        source_recipe=method.source_recipe,
        any_encoder=method.any_encoder,
        needs_labels=method.needs_labels,
        predicts=issubclass(method, MaskedPrediction),
    )


def check_config(name: str, config: dict[str, Any], folder: Path | None) -> None:
    """Build a method's `Config`, which raises an error for settings that are not allowed.

    Settings that `fits` cached in `folder` are known to be allowed.
    """
    settings = MethodSetup(name, config, None).settings
    if folder and any(key.startswith(settings) for key in read_cached(_fits_file(folder), Fit)):
        return
    from_json(_registry.get(name).Config, config)


@cache
def code_digest() -> str:
    """Return a digest of all method files and of the plug-ins, installed or in folders."""
    digest = sha256()
    checks = Path(__file__).with_name("fit.py")
    for path in [*sorted(Path(_registry.__file__).parent.glob("*.py")), checks]:
        digest.update(path.name.encode() + path.read_bytes())
    for point in sorted(_registry.installed(), key=lambda p: p.name):
        digest.update(f"{point.name}={point.value}={plugin_digest(point.name)}".encode())
    for name in _folders.files():
        digest.update(f"{name}={plugin_digest(name)}".encode())
    return digest.hexdigest()[:16]


def plugin_digest(name: str) -> str:
    """Return a digest of a plug-in's version and of every source file of its package or folder.

    Nothing is imported. The sources count because an editable plug-in keeps its version.
    """
    digest = sha256()
    for point in _registry.installed().select(name=name):
        digest.update(f"{point.value}={point.dist.version if point.dist else ''}".encode())
        for path in _sources(point.module.split(".")[0]):
            digest.update(path.name.encode() + path.read_bytes())
    for file in _folders.files().get(name, ()):
        for path in _folders.sources(file):
            digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()[:16]


def plugin_state(name: str) -> str | None:
    """Return the digest of a method's files; None for a bundled one, and without its files."""
    files = _registry.installed().select(name=name) or _folders.files().get(name)
    return plugin_digest(name) if files and name not in _registry.own_names() else None


def _sources(package: str) -> list[Path]:
    """Return the source files of a package or of a single-file module."""
    try:
        spec = find_spec(package)
    except (ImportError, ValueError):
        return []  # the error shows when the method is imported
    if spec is None:
        return []
    folders = [Path(place) for place in spec.submodule_search_locations or []]
    files = [path for folder in folders for path in sorted(folder.rglob("*.py"))]
    alone = Path(spec.origin) if spec.origin and not folders else None
    return [*files, alone] if alone and alone.is_file() else files


def describe(names: Iterable[str], folder: Path) -> dict[str, MethodInfo]:
    """Return the facts of methods by name; `folder` caches them.

    Plug-ins are imported each time.

    Raises:
        UnknownMethodError: No method has one of the names.
        BrokenMethodError: Two methods have one of the names, or one does not import or register.
    """
    path = cache_folder(folder) / f"methods-{code_digest()}.json"
    known = read_cached(path, MethodInfo)
    wanted = list(dict.fromkeys(names))
    _registry.check_unique(wanted)
    found = {name: known.get(name) or inspect_method(name) for name in wanted}
    own = _registry.own_names()
    keep(path, known, {name: info for name, info in found.items() if name in own})
    return found


def fits(setups: Iterable[MethodSetup], folder: Path) -> dict[str, Fit]:
    """Return the fit of each setup by its key; `folder` caches them.

    Plug-ins are built once in each process.
    """
    path = _fits_file(folder)
    known = read_cached(path, Fit)
    wanted = {one.key: one for one in setups}
    found = {key: known.get(key) or _fit(one) for key, one in wanted.items()}
    own = _registry.own_names()
    lasting = {
        key: fit for key, fit in found.items() if wanted[key].method in own and not fit.passing
    }
    keep(path, known, lasting)
    return found


_fits: dict[str, Fit] = {}  # of this process


def _fit(setup: MethodSetup) -> Fit:
    if setup.key not in _fits:
        from .fit import find_fit  # imports torch

        _fits[setup.key] = find_fit(setup)
    return _fits[setup.key]


def _fits_file(folder: Path) -> Path:
    return cache_folder(folder) / f"fits-{code_digest()}.json"


def cache_folder(folder: Path) -> Path:
    """Return the store, or the user's cache folder as long as the store does not exist."""
    if folder.is_dir():
        return folder
    home = os.environ.get("XDG_CACHE_HOME") or Path(os.environ.get("HOME", folder)) / ".cache"
    return Path(home) / "sarbench"


def read_cached(path: Path, kind: type[T]) -> dict[str, T]:
    """Return the cached facts of a file; none if it is missing or damaged."""
    try:
        return {name: kind(**value) for name, value in json.loads(path.read_text()).items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def keep(path: Path, known: dict[str, Any], found: dict[str, Any]) -> None:
    """Add facts to a file."""
    if found.keys() <= known.keys():
        return
    text = json.dumps({name: asdict(value) for name, value in (known | found).items()})
    with suppress(OSError):  # a read-only folder has no cache
        write_atomic(path, text)
