"""A pretraining and evaluations without a grid, compared with those of a grid."""

import numpy as np
import pytest
import torch
from chips import labelled_chips
from PIL import Image

import sarbench
from sarbench.bench.data.prepare import prepare
from sarbench.bench.execution.job import execute
from sarbench.bench.grid.schema import GridError, read_grid
from sarbench.bench.identity import Resources
from sarbench.bench.plan.plan import make_plan
from sarbench.bench.python.pretrain import PretrainingError
from sarbench.bench.store.records import Store
from sarbench.bench.suggest import RequestError
from sarbench.methods._registry import UnknownMethodError
from sarbench.protocols._types import BadFeaturesError

SIZE = "vit:16x1x1@32/8"
GRID = """
name = "g"
methods = [{ name = "mae", config = { predictor = [16, 1, 1] } }]
controls = []
[pretrain]
pool = ["folder:birds:train"]
encoder = "vit:16x1x1@32/8"
recipe = "quick"
epochs = 1
warmup_epochs = 0
batch = 8
[evaluate]
datasets = ["folder:birds"]
seeds = [1]
conditions = ["clean", "shift:2"]
[evaluate.protocols]
knn = ["all"]
logistic = { shots = [2], settings = { readout = "patch_mean_std" } }
linear = { shots = [3], settings = { epochs = 3 } }
few_shot = { shots = [2], settings = { epochs = 2 } }
"""
RECIPE = {"epochs": 1, "warmup_epochs": 0, "batch": 8}


class Pixels(torch.nn.Module):
    """The chip as its own feature."""

    def forward(self, images):
        return images.flatten(1)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Return the folders of data and store, and the key of a pretraining."""
    root = tmp_path_factory.mktemp("evaluate")
    pixels, labels = labelled_chips(3, 12)
    for number, (chip, label) in enumerate(zip(pixels, labels, strict=True)):
        side = "test" if number % 2 else "train"
        path = root / "data/birds" / side / f"class {label}" / f"{number:02d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.uint8(255 * chip)).save(path)
    where = {"data": root / "data", "runs": root / "runs"}
    key = sarbench.pretrain(
        "mae", "folder:birds:train", SIZE, config={"predictor": [16, 1, 1]}, **RECIPE, **where
    )
    return where, key


@pytest.fixture(scope="module")
def records(place, tmp_path_factory):
    """Return the records of the grid on the same store, whose pretraining is done."""
    where, key = place
    path = tmp_path_factory.mktemp("grid") / "g.toml"
    path.write_text(GRID)
    store = Store(where["runs"])
    sarbench.evaluate(Pixels(), "folder:birds", "knn", **where)  # prepares the data set
    plan = make_plan(read_grid(path), store, where["data"])
    assert {entry.key: entry.state for entry in plan.pretrain}[key] == "done"
    for job in plan.jobs():
        execute(job, store, Resources(), lambda event: None)
    return sarbench.open_store(where["runs"], path).runs()


@pytest.mark.parametrize("condition", ["clean", "shift:2"])
@pytest.mark.parametrize(
    ("protocol", "shots", "settings"),
    [
        ("knn", "all", {}),
        ("logistic", 2, {"readout": "patch_mean_std"}),
        ("linear", 3, {"epochs": 3}),
        ("few_shot", 2, {"epochs": 2}),
    ],
)
def test_an_encoder_gets_the_score_of_the_grid(
    place, records, protocol, shots, settings, condition
):
    where, key = place
    encoder = sarbench.open_store(where["runs"]).encoder(key)
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    found = sarbench.evaluate(
        encoder, "folder:birds", protocol, shots, 1, settings=settings, condition=condition, **where
    )
    own = records[records.start == key]
    (line,) = own.query("protocol == @protocol and condition == @condition").itertuples()
    assert found.accuracy == line.accuracy
    assert found.macro_f1 == line.macro_f1
    assert found.train_count == line.train_count
    assert found.predictions.correct.mean() == pytest.approx(found.accuracy)
    assert (found.scores.idxmax(axis=1).to_numpy() == found.predictions.predicted.to_numpy()).all()
    for name, value in encoder.state_dict().items():
        assert torch.equal(value, before[name])


def test_features_of_a_file_in_any_order_are_those_of_the_module(place):
    where, _ = place
    chips = sarbench.evaluate(Pixels(), "folder:birds", "knn", **where)
    known = prepare(
        f"folder:{where['data']}/birds", where["data"], where["runs"] / "prepared"
    ).chips
    ordered = np.stack([known.chip(number).ravel() / np.float32(255) for number in range(36)])
    found = sarbench.evaluate(ordered, "folder:birds", "knn", **where)
    assert found.accuracy == chips.accuracy
    file = {"ids": known.ids[::-1], "features": ordered[::-1]}
    again = sarbench.evaluate(file, "folder:birds", "knn", **where)
    assert again.predictions.equals(found.predictions)


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({"dataset": "mstar_sok"}, GridError, "Did you mean 'mstar_soc'"),
        ({"protocol": "knnn"}, GridError, "Did you mean 'knn'"),
        ({"shots": 0}, GridError, "shots must be a whole number from 1"),
        ({"settings": {"readot": 1}}, GridError, "Did you mean 'readout'"),
        ({"condition": "shift:0"}, GridError, "must be a whole number of pixels"),
        ({"seed": -1}, GridError, "seeds"),
        ({"encoder": np.zeros((3, 4))}, RequestError, r"features have shape \(3, 4\)"),
        ({"encoder": np.zeros((36, 4)), "condition": "shift:2"}, RequestError, "needs the encoder"),
        (
            {"encoder": np.zeros((36, 4)), "settings": {"readout": "patch_max"}},
            RequestError,
            "needs",
        ),
        (
            {"encoder": np.zeros((36, 4)), "protocol": "few_shot", "shots": 1},
            RequestError,
            "trains",
        ),
        ({"encoder": np.full((36, 4), np.nan)}, BadFeaturesError, "not finite"),
        ({"encoder": {"ids": np.array(["x"])}}, RequestError, "it lacks features"),
        ({"encoder": torch.nn.Flatten(0)}, RequestError, "must return features"),
    ],
)
def test_bad_input(place, given, error, message):
    where, _ = place
    call = {"encoder": Pixels(), "dataset": "folder:birds"} | given
    with pytest.raises(error, match=message):
        sarbench.evaluate(**call, **where)


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({"method": "maee"}, UnknownMethodError, "Did you mean 'mae'"),
        ({"epoch": 1}, GridError, "pretrain.epoch"),
        ({"epochs": [1, 2]}, GridError, "give single values"),
        ({"encoder": "vit_nan"}, GridError, "vit_nano"),
        ({"pool": "folder:nothing"}, FileNotFoundError, "nothing"),
    ],
)
def test_a_pretraining_that_cannot_be_made(place, tmp_path, given, error, message):
    where, _ = place
    call = {"method": "mae", "pool": "folder:birds:train", "encoder": SIZE, **RECIPE} | given
    with pytest.raises(error, match=message):
        sarbench.pretrain(**call, data=where["data"], runs=tmp_path / "runs")
    assert not (tmp_path / "runs/pretrain").exists()


def test_a_pretraining_is_made_once(place):
    where, key = place
    again = sarbench.pretrain(
        "mae", "folder:birds:train", SIZE, config={"predictor": [16, 1, 1]}, **RECIPE, **where
    )
    assert again == key
    assert sarbench.open_store(where["runs"]).history().start.unique().tolist() == [key]


def test_a_failed_pretraining_is_an_error(place, tmp_path):
    where, _ = place
    with pytest.raises(PretrainingError, match="NonFiniteLossError"):
        sarbench.pretrain(
            "mae", "folder:birds:train", SIZE, base_lr=1e30, data=where["data"],
            runs=tmp_path / "runs", epochs=3, warmup_epochs=0, batch=8,
        )  # fmt: skip
