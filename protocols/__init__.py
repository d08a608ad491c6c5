"""Evaluation protocols, fixed splits and support sets."""

if __name__ != "sarbench.protocols":
    raise ImportError(f"import sarbench.protocols, not {__name__} (install with: pip install -e .)")

import json
from dataclasses import asdict, dataclass
from difflib import get_close_matches
from hashlib import sha256
from importlib import import_module
from types import ModuleType
from typing import Literal

from ._settings import KNN, FewShot, Finetune, Linear, Logistic, Settings


class UnknownProtocolError(LookupError):
    """A name that no protocol has."""


@dataclass(frozen=True)
class Protocol:
    """One way to measure an encoder.

    Attributes:
        name: Name in grids and records, and of the module that implements it.
        settings: The class of its settings, with the fixed values as defaults.
        kind: The input of `run`: features of a frozen encoder, or an encoder to train.
        allows_shots: True if it runs on k labelled chips per class.
        allows_all: True if it runs on all labelled chips.
    """

    name: str
    settings: type[Settings]
    kind: Literal["features", "encoder"]
    allows_shots: bool
    allows_all: bool

    @property
    def version(self) -> int:
        """Return the version, which rises with every change of the protocol's numbers."""
        return self.settings.version

    def load(self) -> ModuleType:
        """Import the implementing module, and with it torch; its `run` does the work."""
        return import_module(f".{self.name}", __name__)


PROTOCOLS = {
    "few_shot": Protocol("few_shot", FewShot, "encoder", allows_shots=True, allows_all=False),
    "linear": Protocol("linear", Linear, "features", allows_shots=True, allows_all=True),
    "logistic": Protocol("logistic", Logistic, "features", allows_shots=True, allows_all=True),
    "finetune": Protocol("finetune", Finetune, "encoder", allows_shots=False, allows_all=True),
    "knn": Protocol("knn", KNN, "features", allows_shots=True, allows_all=True),
}


def get(name: str) -> Protocol:
    """Return a protocol by its name.

    Raises:
        UnknownProtocolError: No protocol has this name.
    """
    if name not in PROTOCOLS:
        near = get_close_matches(name, PROTOCOLS, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise UnknownProtocolError(
            f"unknown protocol {name!r}.{hint} Protocols: {', '.join(PROTOCOLS)}"
        )
    return PROTOCOLS[name]


def settings_digest(name: str) -> str:
    """Return the SHA-256 of a protocol's name, version and frozen settings."""
    protocol = get(name)
    content = {"name": name, "version": protocol.version, "settings": asdict(protocol.settings())}
    return sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
