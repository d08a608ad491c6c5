"""The paper's trainers, with Dassl, run on our chips.

Dassl is the changed copy that SAR-JEPA's repository holds as an archive.
"""

import ast
import importlib
import io
import types
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
import yaml
from torch import Tensor, nn
from torch.optim import lr_scheduler

from parity.checkouts import Attributes, checkout, importable
from parity.inputs import labelled_chips, weight
from parity.our_methods import ENCODER

CHECKOUT = "SARJEPA_REFERENCE", "waterdisappear/SAR-JEPA at 1f17f90", "few_shot_classification"
TRAINERS = {"linear": "MIM_linear", "few_shot": "MIM_finetune"}
CLASSES = 4
# Labelled chips, test chips and epochs. An epoch of 110 chips has two batches of 50,
# one of 20 chips a single batch.
SIZES = {"linear": (110, 40, 40), "few_shot": (20, 12, 10)}


class Configuration(Attributes):
    """The part of yacs that Dassl needs."""

    def clone(self) -> "Configuration":
        """Return a copy."""
        kept = ((n, v.clone() if isinstance(v, Configuration) else v) for n, v in self.items())
        return Configuration(kept)

    def update_from(self, values: dict[str, Any]) -> None:
        """Set values of a YAML file, in which `1e-3` is a text."""
        for name, value in values.items():
            if isinstance(value, dict):
                self[name].update_from(value)
            elif isinstance(value, str) and value[:1].isdigit():
                self[name] = ast.literal_eval(value)
            else:
                self[name] = value


class Scheduler(lr_scheduler.LRScheduler):
    """torch's scheduler with an argument that it has lost."""

    def __init__(self, optimizer: Any, last_epoch: int = -1, verbose: bool = False) -> None:
        """Ignore `verbose`."""
        super().__init__(optimizer, last_epoch)


class Chips(torch.utils.data.Dataset):
    """The support set as a data set of Dassl."""

    def __init__(self, _: Any, data_source: list[tuple[Tensor, int]], **unused: Any) -> None:
        """Keep the chips."""
        self.chips = data_source

    def __len__(self) -> int:
        return len(self.chips)

    def __getitem__(self, index: int) -> dict[str, Any]:
        chip, label = self.chips[index]
        return {"img": chip, "label": label, "index": index}


@contextmanager
def trainers(folder: Path) -> Iterator[None]:
    """Let the paper's trainers be imported."""
    nothing: dict[str, Any] = {}
    missing = {
        "clip": {"clip": None}, "clip.simple_tokenizer": {"SimpleTokenizer": object},
        "cv2": nothing, "easydict": {"EasyDict": Attributes}, "gdown": nothing,
        "torch.utils.tensorboard": {"SummaryWriter": None}, "wilds": {"get_dataset": None},
        "yacs.config": {"CfgNode": Configuration},
        "dassl.engine.da": nothing, "dassl.engine.dg": nothing, "dassl.engine.ssl": nothing,
    }  # fmt: skip
    folders = folder / "finetune", folder / "Dassl.pytorch.zip" / "Dassl.pytorch"
    with (
        importable(*folders, **missing),
        mock.patch.object(lr_scheduler, "_LRScheduler", Scheduler),
        mock.patch.object(nn.Module, "cuda", lambda module: module),
        redirect_stdout(io.StringIO()),
        redirect_stderr(io.StringIO()),
    ):
        yield


def make_small(network: Any) -> None:
    """Let a class of networks build our size in place of the size that is asked for."""
    build = network.__init__
    ours = {"embed_dim": ENCODER.width, "depth": ENCODER.depth, "num_heads": ENCODER.heads}
    network.__init__ = lambda self, **values: build(self, **values | ours)


def checkpoint_of(network: nn.Module) -> dict[str, dict[str, Tensor]]:
    """Return first weights of an encoder as the paper's pretraining stores them."""
    named = [(n, value) for n, value in network.named_parameters() if not n.startswith("head.")]
    return {"model": {f"module.{n}": weight(n, tuple(value.shape)) for n, value in named}}


def results(name: str) -> dict[str, np.ndarray]:
    """Return what a trainer of the paper draws and computes.

    Raises:
        MissingCheckoutError: The code is not on this machine.
    """
    folder = checkout(*CHECKOUT)
    support, tests, epochs = SIZES[name]
    chips, labels = labelled_chips(support + tests, CLASSES)
    with trainers(folder), torch.random.fork_rng():
        torch.default_generator.manual_seed(0)
        module = importlib.import_module(f"trainers.{TRAINERS[name]}")
        data = importlib.import_module("dassl.data.data_manager")
        options = importlib.import_module("dassl.config").get_cfg_default()
        path = folder / "finetune" / "configs" / "trainers" / TRAINERS[name] / "vit_b16.yaml"
        options.update_from(yaml.safe_load(path.read_text("utf-8")))
        source = list(zip(chips[:support], labels[:support].tolist(), strict=True))

        def build_data_loader(trainer: Any) -> None:
            loader = options.DATALOADER.TRAIN_X
            trainer.train_loader_x = data.build_data_loader(
                options, loader.SAMPLER, source, loader.BATCH_SIZE, dataset_wrapper=Chips
            )
            names = [str(label) for label in range(CLASSES)]
            trainer.dm = types.SimpleNamespace(dataset=types.SimpleNamespace(classnames=names))
            trainer.lab2cname = dict(enumerate(names))

        kind = getattr(module, TRAINERS[name])
        kind.build_data_loader = build_data_loader
        make_small(module.vision_transformer_irpe.VisionTransformer)
        checkpoint = checkpoint_of(module.VisionTransformer(in_chans=1, qkv_bias=True))
        with mock.patch.object(torch, "load", return_value=checkpoint):
            trainer = kind(options)
        return recorded(trainer, epochs, chips, support)


def recorded(trainer: Any, epochs: int, chips: Tensor, support: int) -> dict[str, np.ndarray]:
    """Train; return draws, rates, losses, weights and logits."""
    network = trainer.model.image_encoder
    norm, head = network.head if isinstance(network.head, nn.Sequential) else (None, network.head)
    found = {"first head": head.weight.detach().clone(), "first bias": head.bias.detach().clone()}
    step, rates, losses, orders = trainer.forward_backward, [], [], []

    def watched(batch: dict[str, Any]) -> dict[str, float]:
        rates.append(trainer.get_current_lr())
        orders.append(batch["index"])
        summary = step(batch)
        losses.append(summary["loss"])
        return summary

    trainer.forward_backward = watched
    for trainer.epoch in range(epochs):
        trainer.run_epoch()
    network.eval()
    with torch.no_grad():
        found["logits"] = network(chips[support:])
        if norm is not None:
            found["features"] = network.forward_features(chips)
            found |= {"head": head.weight, "bias": head.bias}
            found |= {"mean": norm.running_mean, "variance": norm.running_var}
    found |= {"rates": torch.tensor(rates, dtype=torch.float64), "losses": torch.tensor(losses)}
    found["order"] = torch.stack(orders).to(torch.uint8)
    return {n: values.detach().numpy() for n, values in found.items()}
