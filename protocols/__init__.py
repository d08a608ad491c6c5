"""Evaluation protocols, fixed splits and support sets."""

if __name__ != "sarbench.protocols":
    raise ImportError(f"import sarbench.protocols, not {__name__} (install with: pip install -e .)")

from dataclasses import dataclass
from importlib import import_module
from types import ModuleType
from typing import Literal

from ._settings import KNN, FewShot, Finetune, Linear, Logistic, Lora, Settings
from ._support_sets import Shots


@dataclass(frozen=True)
class Protocol:
    """One way to measure an encoder.

    Attributes:
        name: Name in grids and records, and of the module that implements it.
        settings: The class of its settings, with the fixed values as defaults.
        kind: The input of `run`: features of a frozen encoder, or an encoder to train.
        allows_shots: True if it runs on k labelled chips per class.
        allows_all: True if it runs on all labelled chips.
        draws: True if a run draws a head or an order, so that runs on all labelled chips differ.
        together: True if it trains encoders and has a `run_together` for runs of the same shots.
        probabilities: True if its scores are log-probabilities of the classes.
    """

    name: str
    settings: type[Settings]
    kind: Literal["features", "encoder"]
    allows_shots: bool
    allows_all: bool
    draws: bool = True
    together: bool = False
    probabilities: bool = True

    def allows(self, shots: Shots) -> bool:
        """Return whether it takes these shots; every protocol takes a share of the labels."""
        if isinstance(shots, int):
            return self.allows_shots
        return self.allows_all or shots != "all"

    @property
    def version(self) -> int:
        """Return the version, which rises with every change of the protocol's numbers."""
        return self.settings.version

    def load(self) -> ModuleType:
        """Import the implementing module, and with it torch; its `run` does the work."""
        return import_module(f".{self.name}", __name__)


PROTOCOLS = {
    "few_shot": Protocol("few_shot", FewShot, "encoder", True, allows_all=False, together=True),
    "linear": Protocol("linear", Linear, "features", allows_shots=True, allows_all=True),
    "logistic": Protocol("logistic", Logistic, "features", True, True, draws=False),
    "finetune": Protocol("finetune", Finetune, "encoder", allows_shots=False, allows_all=True),
    "lora": Protocol("lora", Lora, "encoder", allows_shots=True, allows_all=True),
    "knn": Protocol("knn", KNN, "features", True, True, draws=False, probabilities=False),
}
