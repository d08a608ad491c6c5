"""Published code, imported from checkouts that a person names by environment variables.

Nothing of that code is in this project. Old dependencies are replaced while it is imported.
"""

import os
import sys
import types
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

CHECKOUTS = {  # method -> environment variable, repository and commit, folder of the code
    "mae": ("MAE_REFERENCE", "facebookresearch/mae at efb2a80", ""),
    "fg_mae": ("FGMAE_REFERENCE", "zhu-xlab/FGMAE at 1144e55", "src/pretrain_ssl"),
    "lomar": ("LOMAR_REFERENCE", "junchen14/LoMaR at d9ca9c8", ""),
    "sar_jepa": ("SARJEPA_REFERENCE", "waterdisappear/SAR-JEPA at 1f17f90", "Pretraining"),
    "i_jepa": ("IJEPA_REFERENCE", "facebookresearch/ijepa at 52c1ae9", ""),
    "dmt_jepa": ("DMTJEPA_REFERENCE", "DMTJEPA/DMTJEPA at b8ad2d8", ""),
    "hpm": ("HPM_REFERENCE", "Haochen-Wang409/HPM at c15ae90", ""),
    "simmim": ("SIMMIM_REFERENCE", "microsoft/SimMIM at d3e29bc", ""),
    "speckle_mae": ("SARMAE_REFERENCE", "MiliLab/SARMAE at c657755", "SARMAE_Pretrain"),
    "multi_scale_structure": (
        "SARATRX2_REFERENCE", "waterdisappear/SARATR-X-v2 at 0041e6c", "pre-training",
    ),
    "maskfeat": ("SLOWFAST_REFERENCE", "facebookresearch/SlowFast at 287ec00", ""),
    "dino": ("DINO_REFERENCE", "facebookresearch/dino at 7c446df", ""),
    "lejepa": ("LEJEPA_REFERENCE", "rbalestr-lab/lejepa at eddffdd", ""),
    "vicreg": ("VICREG_REFERENCE", "facebookresearch/vicreg at 4e12602", ""),
}  # fmt: skip


class MissingCheckoutError(ValueError):
    """The code of a method is not on this machine; the message says what to set."""


def checkout(variable: str, repository: str, folder: str) -> Path:
    """Return a folder of the checkout that an environment variable names.

    Raises:
        MissingCheckoutError: The variable names no such folder.
    """
    named = os.environ.get(variable, "")
    if not named or not (Path(named) / folder).is_dir():
        raise MissingCheckoutError(
            f"{variable} is {named!r}; it must be the folder of a checkout of {repository}"
        )
    return Path(named) / folder


def code_of(name: str) -> Path:
    """Return the folder of a method's published code.

    Raises:
        MissingCheckoutError: It is not on this machine.
    """
    return checkout(*CHECKOUTS[name])


class Attributes(dict):
    """The part of easydict that the references need."""

    __getattr__ = dict.__getitem__
    __setattr__ = dict.__setitem__


@contextmanager
def importable(*folders: Path, **modules: dict[str, Any]) -> Iterator[None]:
    """Let the modules of folders be imported, and nothing of them stay.

    `modules` are missing ones, by name with what is read of them.
    """
    before = dict(sys.modules)
    with (
        mock.patch.object(sys, "path", [*map(str, folders), *sys.path]),
        mock.patch.dict(vars(np), {"float": float}),  # of older numpy
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")
        for name, content in modules.items():
            sys.modules[name] = types.ModuleType(name)
            vars(sys.modules[name]).update(content)
        try:
            yield
        finally:
            for name in set(sys.modules) - set(before):
                found = getattr(sys.modules[name], "__file__", None) or ""
                if name in modules or found.startswith(tuple(map(str, folders))):
                    del sys.modules[name]
