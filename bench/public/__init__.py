"""Compare self-supervised pretraining methods for SAR target recognition.

`open_store` gives stored results as data frames, `evaluate` measures an encoder without a grid, and
`pretrain` trains one. `docs/python.md` shows them. Everything else is internal and may change.
"""

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if __name__ != "sarbench":
    raise ImportError(f"import sarbench, not {__name__} (install with: pip install -e .)")

if TYPE_CHECKING:  # resolved where it is installed, as `sarbench`
    from .bench.python.evaluate import Evaluated, evaluate  # pyright: ignore[reportMissingImports]
    from .bench.python.open_results import Results, open_store  # pyright: ignore[reportMissingImports]
    from .bench.python.pretrain import pretrain  # pyright: ignore[reportMissingImports]

__all__ = ["Evaluated", "Results", "evaluate", "open_store", "pretrain"]
__version__ = version("sarbench")

# imported at first use, so that `import sarbench` needs neither pandas nor torch
_MODULES = {
    "Evaluated": "evaluate", "evaluate": "evaluate", "Results": "open_results",
    "open_store": "open_results", "pretrain": "pretrain",
}  # fmt: skip


def __getattr__(name: str) -> Any:
    """Return a public name, imported at its first use."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".bench.python.{_MODULES[name]}", __name__), name)


def __dir__() -> list[str]:
    """Return the public names."""
    return sorted([*__all__, "__version__"])
