"""Weights and chips that are functions of their names, so that no file has to hold them.

Philox is a counter-based generator whose bits NumPy promises not to change.
"""

import json
from argparse import Namespace
from hashlib import sha256
from pathlib import Path as File
from typing import Any

import numpy as np
import torch
from torch import Tensor

Path = tuple[str | int, ...]  # keys of nested dicts, from the outside


def uniform(name: str, *shape: int) -> np.ndarray:
    """Return values in [0, 1), the same on every machine."""
    key = int.from_bytes(sha256(name.encode()).digest()[:8], "little")
    bits = np.random.Philox(key=key).random_raw(int(np.prod(shape, dtype=int)))
    return ((bits >> 11) * 2.0**-53).reshape(shape)


def chips(px: int, count: int = 2) -> Tensor:
    """Return chips (count, 1, px, px) with values in [0, 1)."""
    return torch.from_numpy(uniform("chips", count, 1, px, px).astype(np.float32))


def weight(name: str, shape: tuple[int, ...]) -> Tensor:
    """Return a weight by its name: vectors of norms and layer scales are near 1, others near 0."""
    values = 2 * uniform(name, *shape) - 1
    if len(shape) == 1 and name.endswith((".weight", ".gamma")):
        values = 1 + 0.3 * values
    else:
        values = 0.3 * values
    return torch.from_numpy(np.asarray(values, dtype=np.float32))


def checkpoint(paths: list[tuple[Path, tuple[int, ...]]], plain: dict[str, Any]) -> dict[Any, Any]:
    """Return a nested dict of drawn weights, with plain values at the top."""
    result: dict[Any, Any] = {}
    for path, shape in paths:
        place = result
        for key in path[:-1]:
            place = place.setdefault(key, {})
        place[path[-1]] = weight(".".join(map(str, path)), tuple(shape))
    return result | {"args": Namespace(**plain)} if plain else result


def fixture(name: str) -> dict[str, np.ndarray]:
    """Return the keys of a published checkpoint and the tokens of its authors' code."""
    with np.load(File(__file__).parent / f"{name}.npz") as file:
        return dict(file)


def published(name: str) -> dict[Any, Any]:
    """Return the checkpoint of a fixture: the authors' keys and shapes, drawn values."""
    keys = json.loads(str(fixture(name)["keys"]))
    return checkpoint(keys, {"batch_size": 64, "model": name})
