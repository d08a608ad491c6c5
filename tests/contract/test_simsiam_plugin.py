"""A package of its own with one method, SimSiam, that trains a Swin of timm."""

import json
import os
import shutil
import subprocess
import sys
import tomllib
from copy import deepcopy
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from chips import labelled_chips
from commands import Sarbench
from PIL import Image
from torch.nn import functional

from sarbench.bench.contract.checks import run_checks
from sarbench.bench.method_facts.method_info import code_digest
from sarbench.bench.method_facts.sample_batches import TINY, TINY_TIMM, build, sample_batch
from sarbench.bench.pretraining.step import train_step
from sarbench.bench.seeding import torch_stream
from sarbench.methods import TimmConfig, get
from sarbench.methods._timm import TimmEncoder

PACKAGE = Path(__file__).parents[1] / "plugins" / "simsiam"
SWIN = TimmConfig("timm:swin_tiny_patch4_window7_224@56", 56)
GRID = """
name = "simsiam"
methods = ["mae", "simsiam"]
controls = []
[pretrain]
pool = ["folder:chips:train"]
encoder = ["vit_nano", "timm:swin_tiny_patch4_window7_224@56"]
recipe = "quick"
epochs = 2
warmup_epochs = 0.5
batch = 4
[evaluate]
datasets = ["folder:chips"]
seeds = 2
[evaluate.protocols]
knn = [2]
linear = [2]
"""


@pytest.fixture
def simsiam(tmp_path, monkeypatch):
    """Make the package known as an installation from its folder would."""
    project = tomllib.loads((PACKAGE / "pyproject.toml").read_text())["project"]
    info = tmp_path / "sarbench_simsiam-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: 1\n")
    (group, points), *_ = project["entry-points"].items()
    lines = [f"[{group}]", *(f"{name} = {module}" for name, module in points.items())]
    (info / "entry_points.txt").write_text("\n".join(lines) + "\n")
    monkeypatch.syspath_prepend(str(PACKAGE))
    monkeypatch.syspath_prepend(str(tmp_path))
    code_digest.cache_clear()  # it includes the plug-ins
    yield get("simsiam")
    code_digest.cache_clear()
    for module in [one for one in sys.modules if one.startswith("sarbench_simsiam")]:
        del sys.modules[module]


@pytest.mark.slow
def test_the_contract_is_fulfilled(simsiam):
    outcomes = dict(run_checks(simsiam))
    assert len(outcomes) > 10
    assert {name: problem for name, problem in outcomes.items() if problem} == {}


def normalised(rows: torch.Tensor) -> torch.Tensor:
    """Return rows with mean 0 and variance 1 of each value, as batch normalisation of a batch."""
    centred = rows - rows.mean(0)
    return centred / (centred.square().mean(0) + 1e-5).sqrt()


def by_hand(method, views) -> torch.Tensor:
    """Return the loss, from equations 1 to 4 of the paper and the layers of its section 3."""
    weights = dict(method.named_parameters())

    def layer(rows: torch.Tensor, name: str, norm: str, *, scaled: bool = True) -> torch.Tensor:
        rows = normalised(rows @ weights[f"{name}.weight"].T)
        return rows * weights[f"{norm}.weight"] + weights[f"{norm}.bias"] if scaled else rows

    projected, predicted = [], []
    for view in views:
        tokens = method.encoder(view)
        rows = tokens[:, 0] if method.encoder.has_class_token else tokens.mean(1)
        rows = layer(rows, "projector.0", "projector.1").clamp(min=0)
        rows = layer(rows, "projector.3", "projector.4").clamp(min=0)
        projected.append(layer(rows, "projector.6", "", scaled=False))
        rows = layer(projected[-1], "predictor.0", "predictor.1").clamp(min=0)
        predicted.append(rows @ weights["predictor.3.weight"].T + weights["predictor.3.bias"])
    losses = []
    for p, z in ((predicted[0], projected[1]), (predicted[1], projected[0])):
        z = torch.tensor(z.detach().numpy())  # a constant
        cosine = (p * z).sum(1) / (p.square().sum(1).sqrt() * z.square().sum(1).sqrt())
        losses.append(-cosine.mean())
    return (losses[0] + losses[1]) / 2


@pytest.mark.parametrize(
    "encoder", [TINY, TINY_TIMM, pytest.param(SWIN, marks=pytest.mark.slow)], ids=lambda e: e.name
)
def test_a_step_is_that_of_a_computation_by_hand(simsiam, encoder):
    method = build(simsiam, encoder).train()
    other = deepcopy(method)
    batch = sample_batch(method, 6)
    expected = by_hand(other, batch.views)
    expected.backward()
    optimizer = torch.optim.SGD([w for w in method.parameters() if w.requires_grad], lr=0.1)
    found = train_step(method, optimizer, batch, torch_stream(0))
    assert found == pytest.approx(expected.item(), abs=1e-5)
    for (name, moved), first in zip(method.named_parameters(), other.parameters(), strict=True):
        if first.requires_grad and first.grad is not None:
            wanted = first.detach() - 0.1 * first.grad
            torch.testing.assert_close(moved.detach(), wanted, rtol=1e-4, atol=1e-5, msg=name)


def test_without_the_constant_target_the_gradient_would_be_another(simsiam):
    """Compare with the same loss whose target has a gradient (table 1 of the paper)."""
    method = build(simsiam, TINY).train()
    views = sample_batch(method, 6).views
    stopped = torch.autograd.grad(by_hand(method, views), method.projector[6].weight)[0]
    first, second = (method.projector(method.encoder(view)[:, 0]) for view in views)
    there = functional.cosine_similarity(method.predictor(first), second).mean()
    back = functional.cosine_similarity(method.predictor(second), first).mean()
    flowing = torch.autograd.grad(-(there + back) / 2, method.projector[6].weight)[0]
    assert (stopped - flowing).abs().max() > 0.1 * stopped.abs().max()


@pytest.mark.slow
def test_the_mean_of_the_tokens_of_a_swin_is_the_feature_that_timm_pools():
    """Channels come last in its map, (B, H, W, D): tokens are its places, row by row."""
    with torch.random.fork_rng(devices=[]):
        encoder = TimmEncoder(SWIN).eval()
        pooled = timm.create_model(SWIN.model, img_size=56, in_chans=1, num_classes=0).eval()
    pooled.load_state_dict(encoder.model.state_dict())
    chips = torch.rand(2, 1, 56, 56, generator=torch_stream(0, "swin"))
    with torch.no_grad():
        tokens, places = encoder(chips), pooled.forward_features(chips)
        assert places.shape == (2, 2, 2, encoder.width)
        assert tokens.shape == (2, 4, encoder.width)
        torch.testing.assert_close(tokens[:, 1], places[:, 0, 1])
        torch.testing.assert_close(tokens[:, 2], places[:, 1, 0])
        torch.testing.assert_close(tokens.mean(1), pooled(chips))


@pytest.mark.slow
def test_the_installed_package_trains_a_swin_next_to_mae_and_is_evaluated(tmp_path):
    shutil.copytree(PACKAGE, tmp_path / "source")  # a build writes into its folder
    installed = tmp_path / "installed"
    subprocess.run(
        [
            *(sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-build-isolation"),
            *("--no-index", "--disable-pip-version-check"),
            *("--target", str(installed), str(tmp_path / "source")),
        ],
        check=True,
        capture_output=True,
        timeout=300,
        env=os.environ | {"PIP_ROOT_USER_ACTION": "ignore"},
    )
    chips, labels = labelled_chips(2, 8, px=56)
    for number, (chip, label) in enumerate(zip(chips, labels, strict=True)):
        folder = tmp_path / "data" / "chips" / ("train", "test")[number % 2] / f"class_{label}"
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray((chip * 255).astype(np.uint8)).save(folder / f"{number}.png")
    called = Sarbench(tmp_path / "work", GRID, PYTHONPATH=str(installed))
    listed = json.loads(called.call("methods", "ls", "--json").stdout)["methods"]
    (row,) = (row for row in listed if row["name"] == "simsiam")
    facts = ("family", "needs_labels", "unconfirmed", "any_encoder", "defaults")
    assert [row[name] for name in facts] == [
        "joint embedding", False, False, True, {"bottleneck": 4},
    ]  # fmt: skip
    called.call("run", called.grid, "--data", tmp_path / "data")
    cells = called.cells()
    rows = {(cell["method"], cell["protocol"]) for cell in cells if cell["mean"] is not None}
    swins = {row for row in rows if row[0].startswith("SimSiam") and "swin" in row[0]}
    assert {protocol for _, protocol in swins} == {"knn", "linear"}
    assert any(name.startswith("MAE") for name, _ in rows)
    (pair,) = called.plan()["not_applicable"]
    assert "MAE" in str(pair)
    assert "swin" in str(pair)
