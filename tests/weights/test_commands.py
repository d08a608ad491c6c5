"""`weights inspect` and `features` on the command line."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from commands import call_here
from PIL import Image
from safetensors import safe_open
from safetensors.torch import save_file
from small_pretrainings import identity_of
from stores import link_synthetic

from parity.encoders.drawn import chips, published
from sarbench.bench.dassl.encoders import backbone_named
from sarbench.bench.data.prepare import prepare
from sarbench.bench.given_file import Stated
from sarbench.bench.identity import Resources
from sarbench.bench.method_facts.build import build_method
from sarbench.bench.pretraining.loop import pretrain
from sarbench.bench.store.records import Store
from sarbench.bench.store.weights import CheckpointMismatchError, save_encoder
from sarbench.bench.weights.find_encoder import find_encoder
from sarbench.bench.weights.storing import store_given


@pytest.fixture
def file(tmp_path) -> Path:
    """Return the file of a published MAE of 3 channels."""
    torch.save(published("mae"), tmp_path / "mae.pth")
    return tmp_path / "mae.pth"


@pytest.fixture
def folder(tmp_path) -> Path:
    """Return a folder of float chips of 32 px, the input of the encoder."""
    (tmp_path / "chips" / "b").mkdir(parents=True)
    for name, chip in zip(("b/2.npy", "1.npy"), chips(32), strict=True):
        np.save(tmp_path / "chips" / name, chip[0].numpy())
    (tmp_path / "chips" / ".hidden.npy").write_bytes(b"")
    (tmp_path / "chips" / "readme.txt").write_text("x")
    return tmp_path / "chips"


def test_inspect_prints_the_account_as_json(file):
    done = call_here("weights", "inspect", file, "--heads", 3, "--json")
    assert (done.returncode, done.stderr) == (0, "")
    found = json.loads(done.stdout)
    assert set(found) == {"layout", "architecture", "input_px", "channels", "digest", "keys"}
    assert (found["layout"], found["input_px"], found["channels"]) == ("mae", 32, 3)
    assert found["architecture"]["width"] == 48
    assert found["digest"] == find_encoder(file, Stated(heads=3)).config.digest
    keys = found["keys"]
    assert set(keys) == {"used", "skipped", "missing", "unexpected"}
    assert (keys["used"], keys["missing"], keys["unexpected"]) == (30, [], [])
    assert "model.decoder_pred.weight" in keys["skipped"]


def test_inspect_prints_a_page_for_people(file):
    done = call_here("weights", "inspect", file, "--heads", 3)
    assert done.returncode == 0
    for words in ("48 wide, 2 blocks, 3 heads", "mean (0.485, 0.456, 0.406)", "keys: 30",
                  "keys: 19, decoder", "3 channels, each the chip"):  # fmt: skip
        assert words in done.stdout


@pytest.mark.parametrize("as_json", [True, False])
def test_inspect_prints_an_incomplete_account_and_exits_with_2(as_json, tmp_path):
    content = published("mae")
    content["model"]["extra"] = content["model"].pop("norm.bias")
    torch.save(content, tmp_path / "a.pth")
    done = call_here("weights", "inspect", tmp_path / "a.pth", "--heads", 3, *["--json"] * as_json)
    assert done.returncode == 2
    assert "missing weights: 1, unexpected keys: 1" in done.stderr
    if as_json:
        keys = json.loads(done.stdout)["keys"]
        assert (keys["missing"], keys["unexpected"]) == (["norm.bias"], ["model.extra"])
    else:
        assert "missing       norm.bias" in done.stdout
        assert "unexpected    model.extra" in done.stdout


def test_inspect_warns_of_an_untrained_encoder(tmp_path):
    identity = identity_of("mae", recipe=None)
    save_encoder(tmp_path / "a", build_method(identity).encoder, identity)
    done = call_here("weights", "inspect", tmp_path / "a")
    assert done.returncode == 0
    assert "looks untrained: every norm has weights of 1 (or 0) and biases of 0" in done.stderr


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        ([], "64 does not divide its width, 48; state it: --heads N"),
        (["--heads", 5], "5 heads do not divide its width"),
        (["--heads", 3, "--input-px", 30], "use 24 px or 32 px"),
        (["--heads", 3, "--part", "encoder"], "MAE has no part 'encoder'; leave `part` out"),
        (["--encoder", "resnet18"], "it must be timm:NAME"),
        (["--encoder", "timm:resnet81"], "timm.list_models() lists all"),
        (["--encoder", "timm:resnet18", "--heads", 3], "heads is for files without a named"),
        (["--heads", 3, "--mean", "0.5,0.5"], "mean has 2 values; give one, or 3"),
        (["--heads", 3, "--std", "0"], "deviations must be above 0"),
        (["--heads", 3, "--mean", "dark"], "--mean is 'dark'; write a number, one for each"),
        (["--heads", 3, "--channel", 3], "the weights have channels 0 to 2"),
    ],
)
def test_a_wrong_request_says_what_to_do_and_writes_nothing(words, problem, file, folder, tmp_path):
    done = call_here("weights", "inspect", file, *words)
    assert done.returncode == 2
    assert problem in done.stderr
    done = call_here("features", file, folder, *words, "--out", tmp_path / "f.npz")
    assert done.returncode == 2
    assert problem in done.stderr
    assert not (tmp_path / "f.npz").exists()


def features_of(*words: object, out: Path) -> tuple[np.ndarray, list[str]]:
    done = call_here("features", *words, "--out", out)
    assert done.returncode == 0, done.stderr
    with np.load(out, allow_pickle=False) as found:
        assert set(found) - {"labels", "classes", "is_test"} == {"features", "ids"}
        return found["features"], found["ids"].tolist()


def test_features_are_those_of_the_tokens_and_ids_are_paths_below_the_folder(
    file, folder, tmp_path
):
    found = {
        readout: features_of(
            file, folder, "--heads", 3, "--readout", readout, out=tmp_path / "f.npz"
        )
        for readout in ("class", "patch_mean", "tokens")
    }
    for _, ids in found.values():
        assert ids == ["1.npy", "b/2.npy"]
    with torch.no_grad():
        tokens = find_encoder(file, Stated(heads=3)).network()(chips(32).flip(0)).numpy()
    assert np.array_equal(found["tokens"][0], tokens)
    assert np.array_equal(found["class"][0], tokens[:, 0])
    np.testing.assert_allclose(found["patch_mean"][0], tokens[:, 1:].mean(1), atol=1e-6)


def test_the_stated_input_is_that_of_a_grid_and_another_scale_is_warned_of(file, folder, tmp_path):
    words = "--heads", 3, "--mean", "0.5,0.4,0.3", "--std", "0.25", "--channel", 1
    stated = Stated(heads=3, mean=(0.5, 0.4, 0.3), std=(0.25,), channel=1)
    found, _ = features_of(file, folder, *words, "--readout", "tokens", out=tmp_path / "f.npz")
    with np.load(tmp_path / "f.npz", allow_pickle=False) as arrays:
        assert set(arrays) == {"features", "ids"}  # images of a folder have no classes
    with torch.no_grad():
        tokens = find_encoder(file, stated).network()(chips(32).flip(0)).numpy()
    assert np.array_equal(found, tokens)
    done = call_here("weights", "inspect", file, *words)
    assert "mean (0.5, 0.4, 0.3), deviation 0.25" in done.stdout
    done = call_here("weights", "inspect", file, "--heads", 3, "--mean", "none", "--std", "none")
    assert "mean" not in done.stdout
    for mean, warned in (("none", 0), ("116", 1)):
        words = "--heads", 3, "--mean", mean, "--out", tmp_path / f"{mean}.npz"
        done = call_here("features", file, folder, *words)
        assert done.returncode == 0
        assert done.stderr.count("state others with --mean and --std") == warned


def test_bytes_are_divided_by_255_and_other_sizes_are_resized(file, tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    pixels = np.arange(64 * 48, dtype=np.uint8).reshape(64, 48)
    Image.fromarray(pixels).save(folder / "a.png")
    np.save(folder / "b.npy", (pixels / np.float32(255)).astype(np.float32))
    (first, second), _ = features_of(file, folder, "--heads", 3, out=tmp_path / "f.npz")
    np.testing.assert_allclose(first, second, atol=1e-5)


@pytest.mark.parametrize(
    ("chip", "problem"),
    [(np.full((8, 8), 200.0), "divide them by their full scale"), (np.full((8, 8), -1.0), "dB"),
     (np.full((8, 8), np.nan), "NaN")],
)  # fmt: skip
def test_chips_that_are_not_amplitude_are_refused(chip, problem, file, tmp_path):
    (tmp_path / "c").mkdir()
    np.save(tmp_path / "c" / "a.npy", chip)
    done = call_here("features", file, tmp_path / "c", "--heads", 3, "--out", tmp_path / "f.npz")
    assert done.returncode == 2
    assert problem.replace("dB", "decibels") in done.stderr
    assert not (tmp_path / "f.npz").exists()


def test_a_data_set_of_the_registry_is_named(file, tmp_path):
    link_synthetic(Store(tmp_path / "runs"))
    words = (file, "synthetic", "--heads", 3, "--input-px", 32, "--runs", tmp_path / "runs")
    found, ids = features_of(*words, out=tmp_path / "f.npz")
    assert found.shape == (1600, 48)
    assert len(set(ids)) == 1600
    with np.load(tmp_path / "f.npz", allow_pickle=False) as arrays:
        classes, labels, is_test = (arrays[name] for name in ("classes", "labels", "is_test"))
        chips = prepare("synthetic", tmp_path, tmp_path / "runs" / "prepared").chips
        assert ids == chips.ids.tolist()
        assert classes.tolist() == list(chips.classes)
        assert (labels.tolist(), is_test.tolist()) == (
            chips.labels.tolist(), chips.is_test.tolist()
        )  # fmt: skip


def test_a_readout_that_the_encoder_lacks_is_refused(folder, tmp_path):
    torch.save(published("i_jepa_encoder"), tmp_path / "a.pth")
    words = ("features", tmp_path / "a.pth", folder, "--heads", 3, "--out", tmp_path / "f.npz")
    for readout, problem in (("class", "use --readout patch_mean"), ("max", "allowed: class")):
        done = call_here(*words, "--readout", readout)
        assert done.returncode == 2
        assert problem in done.stderr


def test_features_of_a_key_are_those_of_its_encoder(folder, tmp_path):
    store = Store(tmp_path / "runs")
    identity = identity_of("mae", recipe=None, pool=[])
    pretrain(identity, None, store, Resources())
    runs = ("--runs", store.root, "--readout", "tokens")
    found, _ = features_of(identity.key[:12], folder, *runs, out=tmp_path / "f.npz")
    of_file, _ = features_of(
        store.encoder(identity.key), folder, "--readout", "tokens", out=tmp_path / "g.npz"
    )
    assert found.shape == (2, 197, 64)
    np.testing.assert_allclose(found, of_file, atol=1e-5)
    for words, problem in (
        ((identity.key[:12], folder, "--heads", 3), "is a key"),
        ((identity.key[:12], folder, "--mean", "none"), "leave --mean out"),
        (("0" * 12, folder), "no pretraining has a key beginning with 000000000000"),
        (("nothing.pth", folder), "No such file"),
        ((identity.key, tmp_path / "runs" / "pretrain"), "holds no image"),
        ((identity.key, "mstar_sox"), "Did you mean"),
    ):
        done = call_here("features", *words, *runs, "--out", tmp_path / "h.npz")
        assert done.returncode == 2, words
        assert problem in done.stderr


def test_the_card_of_an_imported_file_names_it_and_what_was_declared(file, tmp_path):
    on_store = "--runs", tmp_path / "runs"
    declared = "--label", "My MAE", "--seen", "imagenet-1k", "--seen", "x", "--no-labels"
    done = call_here("weights", "import", file, "--heads", 3, *declared, *on_store)
    assert done.returncode == 0, done.stderr
    out = tmp_path / "out.safetensors"
    call_here("weights", "export", done.stdout.strip(), "--out", out, *on_store)
    card = out.with_suffix(".md").read_text()
    assert card.startswith("# My MAE, encoder ")
    for text in ("| file | mae.pth |", "layout mae", "imported: imagenet-1k, x, without labels."):
        assert text in card
    assert "that of the file" not in card
    done = call_here("weights", "import", file, "--heads", 3, "--label", " ", *on_store)
    assert (done.returncode, "not printable text" in done.stderr) == (2, True)


def edit_weights(path: Path) -> None:
    """Add 1 to a bias of a stored encoder; its header stays."""
    with safe_open(path, framework="pt") as opened:
        header = opened.metadata()
        tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
    tensors["norm.bias"] = tensors["norm.bias"] + 1
    save_file(tensors, path, header)


def test_weights_of_the_store_that_were_edited_are_refused_by_their_key(folder, file, tmp_path):
    store = Store(tmp_path / "runs")
    key = store_given(find_encoder(file, Stated(heads=3)), store, Resources()).key
    words = ("features", key, folder, "--runs", store.root, "--out")
    assert call_here(*words, tmp_path / "f.npz").returncode == 0
    edit_weights(store.encoder(key))
    done = call_here(*words, tmp_path / "g.npz")
    assert done.returncode == 2
    assert "is not the file that its record describes" in done.stderr
    assert not (tmp_path / "g.npz").exists()
    with pytest.raises(CheckpointMismatchError, match="is not the file that its record"):
        backbone_named(key[:12], store).open()[0](0.0)


def test_given_weights_are_not_a_method_of_a_grid(tmp_path):
    (tmp_path / "g.toml").write_text(
        'name = "g"\nmethods = ["given"]\n[pretrain]\npool = ["synthetic"]\n'
        '[evaluate]\ndatasets = ["synthetic"]\nprotocols = {knn = ["all"]}\n'
    )
    done = call_here("plan", tmp_path / "g.toml", "--runs", tmp_path / "runs")
    assert done.returncode == 2
    assert 'encoders = [{weights = "FILE", label = "NAME"}]' in done.stderr


@pytest.mark.parametrize("readout", ["patch_mean", "tokens"])
def test_features_that_are_not_finite_are_not_written(readout, folder, tmp_path):
    content = published("mae")
    for name in ("blocks.0.mlp.fc1.weight", "blocks.0.mlp.fc2.weight"):
        content["model"][name] *= 1e30  # finite, but their product is not
    torch.save(content, tmp_path / "a.pth")
    words = ("features", tmp_path / "a.pth", folder, "--heads", 3, "--readout", readout)
    done = call_here(*words, "--out", tmp_path / "f.npz")
    assert done.returncode == 2
    assert "2 of 2 chips have features that are not finite" in done.stderr
    assert not (tmp_path / "f.npz").exists()
