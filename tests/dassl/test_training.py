"""A protocol on exported files gives the predictions of the run in a grid."""

import shutil
import sys
import types
from pathlib import Path

import numpy as np
import pytest
from chips import labelled_chips
from made_chips import chips_from
from PIL import Image
from small_pretrainings import identity_of

from sarbench.bench.cli.doctor import _dassl
from sarbench.bench.dassl import register
from sarbench.bench.dassl.datasets import SplitDataset
from sarbench.bench.dassl.encoders import backbone_named, stored_backbones
from sarbench.bench.dassl.registration import DasslNotFoundError, trainer_name
from sarbench.bench.dassl.splits import (
    SplitFileError,
    draw_support,
    split_files,
    split_of,
    write_chips,
    write_files,
)
from sarbench.bench.dassl.trainers import SplitTrainer
from sarbench.bench.dassl.training import predict
from sarbench.bench.data.chips import Chips
from sarbench.bench.evaluation.evaluate import Evaluation, group_runs
from sarbench.bench.identity import Resources, Run, fill, from_json, to_json
from sarbench.bench.pretraining.loop import pretrain
from sarbench.bench.store.records import Store
from sarbench.bench.suggest import RequestError
from sarbench.protocols import PROTOCOLS

SIDE, CLASSES = 32, 3
START = identity_of(
    "random_init", None, pool=[],
    encoder={"name": "vit:16x1x1@16/8", "width": 16, "depth": 1, "heads": 1, "input_px": 16,
             "patch_px": 8},
)  # fmt: skip
QUICK = {"few_shot": {"epochs": 3}, "finetune": {"epochs": 1, "warmup_epochs": 0}}


def make_chips() -> Chips:
    """Return 45 chips of 8 bit, every third of them a training chip."""
    pixels, labels = labelled_chips(CLASSES, 15, SIDE)
    count = len(labels)
    return chips_from(
        (255 * pixels).astype(np.uint8), name="synthetic",
        ids=np.array([f"{i:02d}" for i in range(count)]), labels=labels, classes=tuple("abc"),
        is_test=np.arange(count) % 3 > 0,
    )  # fmt: skip


CHIPS = make_chips()


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> Store:
    """Return a store with an untrained encoder."""
    made = Store(tmp_path_factory.mktemp("runs"))
    pretrain(START, None, made, Resources())
    return made


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Return an exported split."""
    made = tmp_path_factory.mktemp("split")
    drawn = [draw_support(CHIPS, shots, 1) for shots in (3, "all")]
    write_files(made, split_files(split_of(CHIPS), drawn, "dassl"))
    list(write_chips(made, CHIPS))
    return made


@pytest.mark.parametrize("name", PROTOCOLS)
def test_the_predictions_are_those_of_the_run_in_a_grid(name, store, folder):
    protocol = PROTOCOLS[name]
    shots = 3 if protocol.allows_shots else "all"
    settings = fill(to_json(protocol.settings()), QUICK.get(name, {}))
    run = Run(START.key, "random_init", "synthetic", CHIPS.data_digest, CHIPS.split_digest, name,
              protocol.version, settings, shots, seed=1)  # fmt: skip
    (group,) = group_runs([run])
    list(Evaluation(START, CHIPS, store, Resources()).run(group))
    with np.load(store.folder("evaluate", run.key) / "predictions.npz") as file:
        wanted = {key: file[key] for key in file.files}
    found = predict(
        protocol, from_json(protocol.settings, settings), stored_backbones(store)[0], folder,
        split_of(CHIPS), draw_support(CHIPS, shots, 1),
    )  # fmt: skip
    np.testing.assert_array_equal(found.classes, wanted["classes"])
    np.testing.assert_allclose(found.scores, wanted["scores"], rtol=1e-3, atol=1e-5)  # halves


class Node(dict):
    """A configuration as Dassl reads it."""

    __getattr__ = dict.__getitem__


def configuration(folder: Path, trainer: str, encoder: str) -> Node:
    protocol = next(one for name, one in PROTOCOLS.items() if trainer_name(name) == trainer)
    settings = {key.upper(): value for key, value in vars(protocol.settings()).items()}
    return Node(
        SEED=1, RESUME="", OPTIM=Node(LR=3e-4), INPUT=Node(SIZE=(224, 224)),
        DATALOADER=Node(NUM_WORKERS=4), MODEL=Node(BACKBONE=Node(NAME=encoder), INIT_WEIGHTS=""),
        TEST=Node(FINAL_MODEL="last_step", NO_TEST=False),
        DATASET=Node(NAME="synthetic", ROOT=str(folder), NUM_SHOTS=3),
        TRAINER=Node(NAME=trainer) | {trainer.upper(): Node(settings)},
    )  # fmt: skip


def trainer_class(store: Store, folder: Path) -> type:
    known = {one.name: one for one in stored_backbones(store)}
    defaults = configuration(folder, "SarbenchLinear", "")
    values = {"protocol": PROTOCOLS["linear"], "encoders": known,
              "make_config": staticmethod(lambda: defaults)}  # fmt: skip
    return type("SarbenchLinear", (SplitTrainer,), values)


def test_a_trainer_takes_the_settings_of_its_protocol(store, folder):
    name = stored_backbones(store)[0].name
    trainer, cfg = trainer_class(store, folder)(), configuration(folder, "SarbenchLinear", name)
    cfg.TRAINER["SARBENCHLINEAR"]["EPOCHS"] = 160
    cfg.DATALOADER["NUM_WORKERS"] = 0
    trainer.check_cfg(cfg)
    assert trainer.settings == PROTOCOLS["linear"].settings(epochs=160)


@pytest.mark.parametrize(
    ("section", "key", "value", "said"),
    [
        ("OPTIM", "LR", 0.1, r"does not use OPTIM.LR = 0.1: .* TRAINER.SARBENCHLINEAR holds"),
        ("INPUT", "SIZE", (80, 80), "INPUT.SIZE"),
        ("TEST", "FINAL_MODEL", "best_val", "TEST.FINAL_MODEL = 'best_val'"),
        ("BACKBONE", "NAME", "resnet50", "unknown encoder in MODEL.BACKBONE.NAME 'resnet50'"),
        ("TRAINER", "SARBENCHLINEAR", None, "SarbenchLinear on the command line"),
    ],
)
def test_a_value_that_would_be_ignored_is_refused(section, key, value, said, store, folder):
    name = stored_backbones(store)[0].name
    cfg = configuration(folder, "SarbenchLinear", name)
    node = cfg.MODEL.BACKBONE if section == "BACKBONE" else cfg[section]
    node[key] = value
    if value is None:
        del node[key]
    with pytest.raises(RequestError, match=said):
        trainer_class(store, folder)().check_cfg(cfg)


class Base:
    """The part of Dassl's class that a data set needs."""

    def __init__(self, train_x: list, test: list) -> None:
        self.train_x, self.test = train_x, test


def dataset(folder: Path, **changes) -> Base:
    cfg = configuration(folder, "SarbenchLinear", "")
    cfg["SEED"] = changes.pop("SEED", 1)
    cfg.DATASET.update(changes)
    values = {"dataset": "synthetic", "datum": types.SimpleNamespace}
    return type("synthetic", (SplitDataset, Base), values)(cfg)


def test_a_split_is_a_data_set_of_dassl(folder):
    found = dataset(folder)
    assert [one.label for one in found.train_x] == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert all(Path(one.impath).is_file() for one in [*found.train_x, *found.test])
    assert len(dataset(folder, NUM_SHOTS=-1).train_x) == 15


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"SEED": -1}, "SEED is -1, .* write SEED 0"),
        ({"SEED": 2}, r"shot_3-seed_2.json does not exist; write it with .* --shots 3 --seeds 3"),
        ({"NUM_SHOTS": 4}, "--shots 4 --seeds 2 --out"),
        ({"ROOT": "/nowhere"}, r"/nowhere/split.json does not exist"),
    ],
)
def test_a_missing_split_says_how_it_is_written(changes, said, folder):
    with pytest.raises((RequestError, SplitFileError), match=said):
        dataset(folder, **changes)


def test_a_split_of_another_data_set_or_without_images_is_refused(folder, tmp_path):
    other = split_of(CHIPS).model_copy(update={"dataset": "mstar_soc"})
    write_files(tmp_path, split_files(other, [draw_support(CHIPS, 3, 1)], "dassl"))
    with pytest.raises(SplitFileError, match=r"is of mstar_soc .* not of synthetic"):
        dataset(tmp_path)
    (tmp_path / "split.json").unlink()
    (tmp_path / "dataset.yaml").unlink()
    write_files(tmp_path, split_files(split_of(CHIPS), [draw_support(CHIPS, 3, 1)], "dassl"))
    with pytest.raises(SplitFileError, match=r"lacks 45 images .* --chips"):
        dataset(tmp_path)


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def edit_pixel(path: Path) -> None:
    pixels = np.array(Image.open(path))
    pixels[0, 0] ^= 1
    Image.fromarray(pixels).save(path)


SUPPORT = Path("split_fewshot", "shot_3-seed_1.json")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda to: edit_pixel(to / "chips" / "01.png"), "pixels, labels or classes were edited"),
        (lambda to: edit_pixel(to / "chips" / "00.png"), "pixels, labels or classes were edited"),
        (lambda to: edit(to / "split.json", '["chips/01.png", 0, "a"]', '["chips/01.png", 1, "b"]'),
         "pixels, labels or classes were edited"),
        (lambda to: edit(to / "split.json", '["chips/01.png"', '["../chips/01.png"'),
         r"'../chips/01.png', which is not below its folder"),
        (lambda to: (to / "chips" / "01.png").write_bytes(b"x"), "an image cannot be read: chips"),
        (lambda to: edit(to / SUPPORT, '0, "a"]', '1, "b"]'), "lists 1 chips that are not"),
        (lambda to: edit(to / SUPPORT, "chips/", "chips/1"), "lists 1 chips that are not"),
        (lambda to: edit(to / SUPPORT, '"support_digest": "', '"support_digest": "0'),
         "not those of its support_digest"),
    ],
)  # fmt: skip
def test_an_export_that_was_edited_is_refused(change, said, folder, tmp_path):
    shutil.copytree(folder, tmp_path / "a")
    assert len(dataset(tmp_path / "a").train_x) == 9
    change(tmp_path / "a")
    with pytest.raises(SplitFileError, match=said):
        dataset(tmp_path / "a")


def test_without_dassl_the_message_says_what_to_do(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "dassl", None)
    monkeypatch.setattr("sarbench.bench.dassl.registration.find_spec", lambda name: None)
    with pytest.raises(DasslNotFoundError, match=r"clone KaiyangZhou/Dassl.pytorch, .* PYTHONPATH"):
        register(runs=tmp_path)
    assert (_dassl().state, "not found" in _dassl().text) == ("note", True)


def test_an_encoder_that_is_neither_a_file_nor_a_key_is_refused(tmp_path):
    with pytest.raises(RequestError, match=r"nothing.pth is neither a file of weights nor a key"):
        backbone_named("nothing.pth", Store(tmp_path))
