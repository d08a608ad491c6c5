"""Run `tools/train.py` of a checkout of Dassl with our trainers, and with stand-ins for its age.

SARBENCH_DASSL=FOLDER python tests/dassl/train.py [FILE ...] -- [arguments of train.py]

FILEs are weights that become encoders. The checkout is one of KaiyangZhou/Dassl.pytorch at
c61a1b5; yacs must be installed. Its other old dependencies are for data sets that we do not use.
"""

import os
import runpy
import sys
import types
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from unittest import mock

from torch.optim import lr_scheduler

VARIABLE, REPOSITORY = "SARBENCH_DASSL", "KaiyangZhou/Dassl.pytorch at c61a1b5"
NEVER_USED: dict[str, dict[str, Any]] = {
    "gdown": {}, "wilds": {"get_dataset": None}, "wilds.common": {},
    "torch.utils.tensorboard": {"SummaryWriter": mock.MagicMock},
}  # fmt: skip


class MissingDasslError(ValueError):
    """Dassl or yacs is not on this machine; the message says what to set."""


class Scheduler(lr_scheduler.LRScheduler):
    """torch's scheduler with an argument that it has lost."""

    def __init__(self, optimizer: Any, last_epoch: int = -1, verbose: bool = False) -> None:
        super().__init__(optimizer, last_epoch)


def dassl() -> Path:
    """Return the checkout.

    Raises:
        MissingDasslError: It, or yacs, is not on this machine.
    """
    named = os.environ.get(VARIABLE, "")
    if not (named and (Path(named) / "dassl").is_dir()):
        raise MissingDasslError(
            f"{VARIABLE} is {named!r}; it must be the folder of a checkout of {REPOSITORY}"
        )
    if find_spec("yacs") is None:
        raise MissingDasslError("yacs is not installed, which Dassl needs: pip install yacs")
    return Path(named)


def make_importable(folder: Path) -> None:
    """Let Dassl be imported in this process."""
    sys.path.insert(0, str(folder))
    for name, content in NEVER_USED.items():
        sys.modules[name] = types.ModuleType(name)
        vars(sys.modules[name]).update(content)
    lr_scheduler._LRScheduler = Scheduler


def main() -> None:
    """Register and train."""
    words = sys.argv[1:]
    end = words.index("--") if "--" in words else 0
    folder = dassl()
    make_importable(folder)
    from sarbench.bench.dassl import register

    register(encoders=words[:end])
    with mock.patch.object(sys, "argv", ["train.py", *words[end + 1 :]]):
        runpy.run_path(str(folder / "tools" / "train.py"), run_name="__main__")


if __name__ == "__main__":
    main()
