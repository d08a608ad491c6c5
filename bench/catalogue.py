"""What a grid needs to know of a method, remembered between calls.

Importing a method imports torch, which takes seconds; a plan or a table needs only its version
and defaults. They are kept in a small file named by a digest of the code they were read from.
"""

import json
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import cache
from hashlib import sha256
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from ..methods import _registry
from .run import from_json, to_json
from .store import write_atomic


@dataclass(frozen=True)
class MethodInfo:
    """A method without its code."""

    name: str
    label: str
    paper: str
    version: int
    control: bool
    unconfirmed: bool
    needs_encoder: bool  # False for a control that reads the chip or its size
    protocols: list[str]
    defaults: dict[str, Any]  # of its Config
    architecture: str = ""  # kind of its encoder; methods of one kind share an untrained control
    source_recipe: dict[str, Any] | None = None  # what its source trains it with


def inspect_method(name: str) -> MethodInfo:
    """Import the method and return what is known of it."""
    method = _registry.get(name)
    return MethodInfo(
        name=name,
        label=method.label,
        paper=method.paper,
        version=method.version,
        control=method.control,
        unconfirmed=method.unconfirmed,
        needs_encoder=method.evaluation_input == "encoder",
        protocols=list(method.protocols),
        defaults=to_json(method.Config()),
        architecture=method.architecture(),
        source_recipe=method.source_recipe,
    )


def check_config(name: str, config: dict[str, Any]) -> None:
    """Build a method's `Config`, which refuses what the method cannot work with."""
    from_json(_registry.get(name).Config, config)


@cache
def code_digest() -> str:
    """Return a digest of all method files and of the plug-ins installed."""
    digest = sha256()
    for path in sorted(Path(_registry.__file__).parent.glob("*.py")):
        digest.update(path.name.encode() + path.read_bytes())
    for point in sorted(entry_points(group="sarbench.methods"), key=lambda p: p.name):
        version = point.dist.version if point.dist else ""
        digest.update(f"{point.name}={point.value}={version}".encode())
    return digest.hexdigest()[:16]


def describe(names: Iterable[str], folder: Path) -> dict[str, MethodInfo]:
    """Return the methods of `names`; `folder` keeps what was learned.

    Plug-ins are looked at afresh each time, since an editable one changes under its version.
    """
    own = _registry.own_names()
    path = folder / f"methods-{code_digest()}.json"
    try:
        known = {name: MethodInfo(**info) for name, info in json.loads(path.read_text()).items()}
    except (FileNotFoundError, ValueError, TypeError):
        known = {}
    wanted = list(dict.fromkeys(names))
    found = {name: known.get(name) or inspect_method(name) for name in wanted}
    learned = {name: info for name, info in found.items() if name in own}
    if not learned.keys() <= known.keys():
        text = json.dumps({name: asdict(info) for name, info in (known | learned).items()})
        with suppress(OSError):  # a read-only store: the next call looks again
            write_atomic(path, text)
    return found
