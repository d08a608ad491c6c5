"""A protocol as a trainer of Dassl."""

from collections.abc import Callable
from typing import Any

import torch

from ...protocols import Protocol
from ..suggest import RequestError, unknown
from .datasets import SplitDataset
from .encoders import NamedEncoder
from .training import check_shots, one_hot_scores, predict

# Sections of Dassl's configuration that a protocol replaces by its settings and its input.
UNUSED = (
    "INPUT", "DATALOADER", "OPTIM", "MODEL.HEAD", "MODEL.INIT_WEIGHTS", "RESUME", "TEST.SPLIT",
    "TEST.FINAL_MODEL", "TRAIN.CHECKPOINT_FREQ",
)  # fmt: skip
ALLOWED = ("DATALOADER.NUM_WORKERS",)  # it changes no number


class SplitTrainer:
    """Run a protocol on an exported split; mixed into Dassl's `SimpleTrainer`.

    The support set, the head, the order of batches, the rates and the input are those of the run
    with the same shots and seed in a grid, because the protocol's own function is called.
    """

    protocol: Protocol  # these three are set in a subclass
    encoders: dict[str, NamedEncoder]
    make_config: Callable[[], Any]  # Dassl's defaults
    cfg: Any  # these come from Dassl's class
    device: torch.device
    evaluator: Any

    def check_cfg(self, cfg: Any) -> None:
        """Refuse values that the protocol would silently ignore.

        Raises:
            RequestError: Such a value is set, or the backbone was not registered by `register`.
        """
        name = type(self).__name__
        defaults = dict(_leaves(self.make_config()))
        changed = [
            f"{key} = {value!r}"
            for key, value in _leaves(cfg)
            if _within(key, UNUSED) and not _within(key, ALLOWED) and value != defaults.get(key)
        ]
        if changed:
            raise RequestError(
                f"{name} does not use {', '.join(changed)}: its input, batches and rates are those "
                f"of the protocol. Leave them out; TRAINER.{name.upper()} holds its settings"
            )
        if name.upper() not in cfg.TRAINER:
            raise RequestError(
                f"TRAINER.{name.upper()} was removed from the configuration; name the trainer "
                f"{name} on the command line of train.py too"
            )
        if cfg.MODEL.BACKBONE.NAME not in self.encoders:
            raise RequestError(
                unknown("encoder in MODEL.BACKBONE.NAME", cfg.MODEL.BACKBONE.NAME, self.encoders)
                + ". Name files and a store in register(encoders=[FILE], runs=FOLDER)"
            )
        values = {key.lower(): value for key, value in cfg.TRAINER[name.upper()].items()}
        self.settings = self.protocol.settings(**values)

    def build_data_loader(self) -> None:
        """Read the split; a protocol makes its batches itself.

        Raises:
            RequestError: The data set is not an exported split, or the shots are not taken.
        """
        from importlib import import_module

        dataset = import_module("dassl.data.datasets").build_dataset(self.cfg)
        if not isinstance(dataset, SplitDataset):
            raise RequestError(
                f"DATASET.NAME is {self.cfg.DATASET.NAME}, which is not a data set of sarbench; "
                "write one with `sarbench export splits NAME --out FOLDER`"
            )
        check_shots(self.protocol, dataset.support)
        self.dataset = dataset
        self.num_classes = len(dataset.split.classes)
        self.lab2cname = dict(enumerate(dataset.split.classes))
        self.train_loader_x = self.train_loader_u = self.val_loader = self.test_loader = None

    def build_model(self) -> None:
        """Choose the encoder, which is read for the training."""
        self.source = self.encoders[self.cfg.MODEL.BACKBONE.NAME]
        self.predictions = None

    def train(self) -> None:
        """Train on the support set, predict the test chips, and evaluate them."""
        data = self.dataset
        self.predictions = predict(
            self.protocol, self.settings, self.source, data.folder, data.split, data.support,
            str(self.device),
        )  # fmt: skip
        if not self.cfg.TEST.NO_TEST:
            self.test()

    def test(self, split: str | None = None) -> float:
        """Evaluate the predictions of the test chips; return the accuracy in percent.

        Raises:
            RequestError: Nothing was trained, or another part is wanted.
        """
        if split not in (None, "test"):
            raise RequestError(f"split is {split!r}; only the test chips are predicted: 'test'")
        if self.predictions is None:
            raise RequestError(
                f"{type(self).__name__} keeps no model, so there is nothing to test without a "
                "training; train again, which gives the same numbers"
            )
        labels = torch.tensor([item.label for item in self.dataset.split.test])
        self.evaluator.reset()
        self.evaluator.process(one_hot_scores(self.predictions, self.num_classes), labels)
        return next(iter(self.evaluator.evaluate().values()))

    def load_model(self, directory: str, epoch: int | None = None) -> None:
        """Do nothing; `test` says why."""


def _leaves(node: Any, prefix: str = "") -> list[tuple[str, Any]]:
    """Return the values of a configuration by their dotted names."""
    found = []
    for key, value in node.items():
        found += _leaves(value, f"{prefix}{key}.") if hasattr(value, "items") else [
            (prefix + key, value)
        ]  # fmt: skip
    return found


def _within(key: str, sections: tuple[str, ...]) -> bool:
    return any(key == one or key.startswith(one + ".") for one in sections)
