"""Our data sets, encoders and protocols in the registries of Dassl."""

import os
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ...protocols import PROTOCOLS
from ..data.find_set import store_at
from ..data.registry import dataset_names
from ..data.set_descriptions import every_set, read_set
from ..data.splits import DamagedSetError
from ..store.records import Store

REPOSITORY = "KaiyangZhou/Dassl.pytorch"


class DasslNotFoundError(ImportError):
    """Dassl, or a package that it needs, cannot be imported."""


def dassl_folder() -> Path | None:
    """Return the folder of an importable Dassl, without importing it; None if there is none."""
    spec = find_spec("dassl")  # without an origin it is any folder of that name
    return Path(spec.origin).parents[1] if spec and spec.origin else None


def trainer_name(protocol: str) -> str:
    """Return the name of a protocol's trainer: `SarbenchFewShot` for `few_shot`."""
    return "Sarbench" + protocol.title().replace("_", "")


def register(encoders: Iterable[str | Path] = (), runs: str | Path | None = None) -> None:
    """Add our data sets, encoders and trainers to Dassl; may be called again.

    Data sets have their names in grids (`mstar_soc`), trainers that of their protocol
    (`SarbenchLinear`, with its settings in the configuration as `TRAINER.SARBENCHLINEAR`), and
    encoders are `sarbench:KEY` (12 letters, of each pretraining of the store) and `sarbench:FILE`.

    Args:
        encoders: Files of weights, and further keys, as they are to be named.
        runs: The folder of the store; `SARBENCH_RUNS`, else `runs`.

    Raises:
        DasslNotFoundError: Dassl cannot be imported.
        RequestError: One of `encoders` is neither a file nor a key.
    """
    engine, data, modeling, config = map(_dassl, ("engine", "data.datasets", "modeling", "config"))
    from .datasets import SplitDataset
    from .encoders import Backbone, backbone_named, stored_backbones
    from .trainers import SplitTrainer

    store = store_at(Path(runs or os.environ.get("SARBENCH_RUNS", "runs")))
    for name in _dataset_names(store):
        values = {"dataset": name, "datum": data.Datum}
        _add(data.DATASET_REGISTRY, name, (SplitDataset, data.DatasetBase), values)
    listed = [*stored_backbones(store), *(backbone_named(one, store) for one in encoders)]
    known = {one.name: one for one in listed}
    for name, source in known.items():
        _add(modeling.BACKBONE_REGISTRY, name, (Backbone, modeling.Backbone), {"source": source})
    node = type(config.cfg_default)
    for protocol in PROTOCOLS.values():
        name = trainer_name(protocol.name)
        settings = {key.upper(): value for key, value in asdict(protocol.settings()).items()}
        config.cfg_default.TRAINER[name.upper()] = node(settings)
        values = {
            "protocol": protocol,
            "encoders": known,
            "make_config": staticmethod(config.get_cfg_default),
        }
        _add(engine.TRAINER_REGISTRY, name, (SplitTrainer, engine.SimpleTrainer), values)


def _dataset_names(store: Store) -> list[str]:
    """Return our data sets, and those that the store describes, labelled folders among them."""
    names = dict.fromkeys(dataset_names())
    for path in every_set(store.root):
        with suppress(DamagedSetError):  # `sarbench check` reports it
            found = read_set(path).summary
            if found.kind == "dataset":
                names[found.name] = None
    return list(names)


def _add(registry: Any, name: str, bases: tuple[Any, ...], values: dict[str, Any]) -> None:
    registry.register(type(name, bases, values), force=True)


def _dassl(module: str) -> Any:
    try:
        return import_module(f"dassl.{module}")
    except ImportError as error:
        if dassl_folder() is None:
            raise DasslNotFoundError(
                f"Dassl cannot be imported. It is in no package index: clone {REPOSITORY}, then "
                "put its folder on PYTHONPATH or run `pip install -e .` in it. Only the "
                "trainers of sarbench.bench.dassl need it"
            ) from error
        raise DasslNotFoundError(
            f"Dassl is in {dassl_folder()}, but cannot be imported: {error}. The section `Dassl "
            "with present packages` of docs/dassl.md says how to run it without its old ones"
        ) from error
