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

# name -> environment variable, repository and commit, folder of the code
CHECKOUTS = {
    "mae": ("MAE_REFERENCE", "facebookresearch/mae at efb2a80", ""),
    "fg_mae": ("FGMAE_REFERENCE", "zhu-xlab/FGMAE at 1144e55", "src/pretrain_ssl"),
    "sar_jepa": ("SARJEPA_REFERENCE", "waterdisappear/SAR-JEPA at 1f17f90", "Pretraining"),
    "lomar": ("LOMAR_REFERENCE", "junchen14/LoMaR at d9ca9c8", ""),
    "i_jepa": ("IJEPA_REFERENCE", "facebookresearch/ijepa at 52c1ae9", ""),
    "sarmae": ("SARMAE_REFERENCE", "MiliLab/SARMAE at c657755", "SARMAE_Pretrain"),
    "dinov2": ("DINOV2_REFERENCE", "facebookresearch/dinov2 at b8931f7", ""),
    "hivit": ("SARATRX_REFERENCE", "waterdisappear/SARATR-X at e71184d", "pre-training"),
    "itpn": ("SARATRX_V2_REFERENCE", "waterdisappear/SARATR-X-v2 at 0041e6c", "pre-training"),
}
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
