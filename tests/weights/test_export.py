"""Exported encoders, loaded in a process that has no sarbench, give their tokens."""

import json
import pickle
import subprocess
import sys
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from commands import call_here
from filelock import FileLock
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from small_pretrainings import identity_of
from stores import Shared, provenance
from torch import Tensor, nn

from parity.encoders.drawn import chips, fixture, published, weight
from sarbench.bench.given_file import Stated
from sarbench.bench.identity import Pretraining, Resources
from sarbench.bench.method_facts.build import build_method
from sarbench.bench.store.atomic import write_all
from sarbench.bench.store.records import Store
from sarbench.bench.store.weights import save_encoder
from sarbench.bench.suggest import RequestError
from sarbench.bench.weights.export import companions
from sarbench.bench.weights.find_encoder import find_encoder
from sarbench.bench.weights.reading import WeightsFileError
from sarbench.bench.weights.storing import store_given
from sarbench.methods import Encoder, get, names
from sarbench.methods._encoders import GivenConfig, TimmConfig, encoder_json, encoder_named
from sarbench.results.record import PretrainRecord

SIZE = encoder_named("vit:32x2x2@64/8")
TABLES = GivenConfig(  # of biases, as in the fine-tuning files of SARATR-X
    64, 16, 32, 2, 2, hidden=128, class_token=False, stem_blocks=1, stem_hidden=24, family="hivit",
    bias_tables=True,
)  # fmt: skip
# A method of each kind of encoder, and networks of timm.
OURS = ("mae", "i_jepa", "lomar")
TIMM = ("test_resnet", "test_vit3")
# Published files: one channel and three with mean and deviation, registers, layer scale, gated
# MLPs, no class token, relative positions, HiViT. The tokens are those of the authors' code.
PUBLISHED = (
    "mae", "sar_jepa", "lomar", "i_jepa_encoder", "dinov2_registers", "dinov2_gated", "itpn"
)  # fmt: skip
WITHOUT_SARBENCH = """
import re, sys
sys.path += {paths}
sys.modules["sarbench"] = None
import os, torch
os.chdir({folder!r})
chips = torch.load("chips.pt")
found = {{}}
for name in {names}:
    card = open(name + ".md", encoding="utf-8").read()
    code = re.search("```python\\n(.*?)```", card, re.S)[1]
    code = re.sub(r"torch\\.rand\\(2, 1, (\\d+), \\1\\)", r"given[\\1]", code)
    place = {{"given": chips}}
    exec(code, place)
    found[name] = place["tokens"]
torch.save(found, "tokens.pt")
"""


def drawn(network: nn.Module) -> nn.Module:
    """Set every weight to the one of its name; running means stay."""
    with torch.no_grad():
        for name, one in network.named_parameters():
            one.copy_(weight(name, tuple(one.shape)))
    return network.eval()


def store_encoder(store: Store, identity: Pretraining) -> nn.Module:
    """Store an encoder with drawn weights as that of a pretraining; return it."""
    network = drawn(build_method(identity).encoder)
    store.folder("pretrain", identity.key).mkdir(parents=True)
    path = store.encoder(identity.key)
    store.write("pretrain", PretrainRecord(
        key=identity.key, identity=identity.to_json(), provenance=provenance(),
        weights_digest=save_encoder(path, network, identity), steps=1, images_per_s=1.0,
        final_loss=0.5, feature_spread=0.3,
    ))  # fmt: skip
    return network


def timm_identity(name: str) -> Pretraining:
    return identity_of("simclr", encoder=encoder_json(TimmConfig(f"timm:{name}@64", 64)))


def export(store: Store, key: str, path: Path) -> None:
    done = call_here("weights", "export", key[:12], "--out", path, "--runs", store.root)
    assert (done.returncode, done.stderr) == (0, "")


class Outcome:
    """The exports of all encoders, their tokens, and those computed without sarbench."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.store = folder, Store(folder / "runs")
        self.expected: dict[str, Tensor] = {}
        self.keys: dict[str, str] = {}
        with torch.no_grad():
            for name in OURS:
                self._ours(name, identity_of(name, encoder=encoder_json(SIZE)))
            for name in TIMM:
                self._ours(name, timm_identity(name))
            untrained = identity_of("random_init", config={"like": "given"})
            self._ours("tables", replace(untrained, encoder=encoder_json(TABLES)))
        for name in PUBLISHED:
            torch.save(published(name), folder / "file.pth")
            part = "encoder" if name == "i_jepa_encoder" else None
            found = find_encoder(folder / "file.pth", Stated(heads=3, part=part))
            label = f"given_{name}"
            self.keys[label] = store_given(found, self.store, Resources()).key
            self.expected[label] = torch.from_numpy(fixture(name)["tokens"])
        self._given_timm()
        for label, key in self.keys.items():
            export(self.store, key, self.path(label))
        self.tokens = self._run()

    def path(self, label: str) -> Path:
        return self.folder / f"{label}.safetensors"

    def _ours(self, name: str, identity: Pretraining) -> None:
        self.keys[name] = identity.key
        self.expected[name] = store_encoder(self.store, identity)(chips(64))

    @torch.no_grad()
    def _given_timm(self) -> None:
        """Store a network of timm for three channels, of which a chip is the second."""
        network: Any = drawn(timm.create_model("test_resnet", num_classes=0, global_pool=""))
        torch.save(network.state_dict(), self.folder / "file.pth")
        stated = Stated(
            encoder="timm:test_resnet@64", channel=1, mean=(0.1, 0.5, 0.9), std=(0.2, 0.5, 2.0)
        )
        found = find_encoder(self.folder / "file.pth", stated)
        self.keys["given_timm"] = store_given(found, self.store, Resources()).key
        images = torch.zeros(2, 3, 64, 64)
        images[:, 1] = (chips(64)[:, 0] - 0.5) / 0.5
        self.expected["given_timm"] = network(images).flatten(2).mT

    def _run(self) -> dict[str, Tensor]:
        """Run the Python of each card in one process that cannot import sarbench."""
        torch.save({px: chips(px) for px in (32, 64)}, self.folder / "chips.pt")
        code = WITHOUT_SARBENCH.format(
            paths=[one for one in sys.path if one.endswith("-packages")],
            folder=str(self.folder), names=list(self.keys),
        )  # fmt: skip
        words = [sys.executable, "-S", "-I", "-c", code]  # no site, so no editable packages
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr[-3000:]
        return torch.load(self.folder / "tokens.pt")


@pytest.fixture(scope="module")
def outcome() -> Outcome:
    """Return the outcome that one process of the session makes; only read its folder."""
    folder = Shared.session / "export"
    made = folder / "outcome.pkl"
    with FileLock(f"{folder}.lock"):
        if not made.exists():
            folder.mkdir()
            made.write_bytes(pickle.dumps(Outcome(folder)))
    return pickle.loads(made.read_bytes())


LABELS = (*OURS, *TIMM, "tables", *(f"given_{name}" for name in PUBLISHED), "given_timm")


@pytest.mark.parametrize("label", LABELS)
def test_an_exported_encoder_gives_its_tokens_in_a_process_without_sarbench(outcome, label):
    found, expected = outcome.tokens[label], outcome.expected[label]
    assert found.shape == expected.shape
    assert (found - expected).abs().max() <= 1e-5 * expected.abs().max()


def test_every_method_has_an_encoder_of_a_kind_that_is_exported_here():
    def kind_of(name: str) -> tuple[Any, ...]:
        network = get(name).build_encoder(get(name).Config(), SIZE)
        assert type(network) is Encoder, name
        return network.kind, network.standardise is None

    ours = {name for name in names() if get(name).evaluation_input == "encoder"} - {"given"}
    assert {kind_of(name) for name in ours} == {kind_of(name) for name in OURS}


@torch.no_grad()
@pytest.mark.parametrize("label", LABELS)
def test_an_exported_file_is_read_back_with_equal_tokens(outcome, label):
    found = find_encoder(outcome.path(label))
    assert (found.layout, found.account.complete) == ("exported", True)
    assert any(outcome.keys[label][:12] in note for note in found.notes)
    tokens, expected = found.network()(chips(found.encoder.input_px)), outcome.expected[label]
    assert (tokens - expected).abs().max() <= 1e-5 * expected.abs().max()


@pytest.mark.parametrize("label", ["mae", "test_resnet"])
def test_an_edited_export_is_noted_and_edited_arguments_are_refused(outcome, label, tmp_path):
    with safe_open(outcome.path(label), framework="pt") as file:
        header = file.metadata()
    tensors = load_file(outcome.path(label))
    name = max(one for one in tensors if one.endswith("bias"))
    save_file(tensors | {name: tensors[name] + 1}, tmp_path / "a", header)
    assert any("they were edited" in note for note in find_encoder(tmp_path / "a").notes)
    assert not any("edited" in note for note in find_encoder(outcome.path(label)).notes)
    values = json.loads(header["exported"])
    values["arguments"]["in_chans"] = 7
    save_file(tensors, tmp_path / "b", {"exported": json.dumps(values)})
    with pytest.raises(WeightsFileError, match="argument in_chans is 7, but its encoder has 1"):
        find_encoder(tmp_path / "b")


def test_files_that_timm_loads_have_no_loader_and_others_have_one(outcome):
    with_loader = {label for label in LABELS if companions(outcome.path(label))[1].exists()}
    assert with_loader == {"lomar", "tables", "given_sar_jepa", "given_lomar", "given_itpn"}
    for label in with_loader:
        assert "sarbench" not in companions(outcome.path(label))[1].read_text()


def test_positions_have_a_row_of_zeros_for_the_class_token(outcome):
    table = load_file(outcome.path("mae"))["pos_embed"]
    assert table.shape == (1, 65, 32)
    assert not table[0, 0].any()
    # patch in row 1, column 2: half for the column, half for the row; the first of each is a sine
    assert table[0, 1 + 8 + 2, 0].item() == pytest.approx(torch.tensor(2.0).sin().item())
    assert table[0, 1 + 8 + 2, 16].item() == pytest.approx(torch.tensor(1.0).sin().item())


def test_the_card_says_what_the_encoder_is(outcome):
    text = (outcome.folder / "i_jepa.md").read_text()
    identity = identity_of("i_jepa", encoder=encoder_json(SIZE))
    record = outcome.store.read("pretrain", identity.key)
    digest = find_encoder(outcome.path("i_jepa")).config.digest
    for words in ("I-JEPA", "2301.08243", identity.key, record.weights_digest, digest,
                  "32 wide, 2 blocks, 2 heads", "no class token", "| `speckle` | 9 | `d` |",
                  "batch 4", "64 x 64 px", f"sarbench {version('sarbench')}",
                  "no run of this encoder"):  # fmt: skip
        assert words in text, words
    given = (outcome.folder / "given_timm.md").read_text()
    theirs = timm.create_model("test_resnet", num_classes=0)
    assert f"| parameters | {sum(one.numel() for one in theirs.parameters()):,} |" in given
    for words in ("3 channels: 1 is the chip", "0.1, 0.5, 0.9", "0.2, 0.5, 2"):
        assert words in given, words


def test_a_key_is_refused_that_names_no_encoder(outcome, tmp_path):
    store = Store(tmp_path / "runs")
    for name in ("ab" * 32, "ab" * 31 + "cd"):
        store.folder("pretrain", name).mkdir(parents=True)
    control = identity_of("raw_pixels", recipe=None, pool=[], encoder=None)
    store.folder("pretrain", control.key).mkdir()
    store.write("pretrain", PretrainRecord(
        key=control.key, identity=control.to_json(), provenance=provenance(), weights_digest="",
        steps=0, images_per_s=0.0, final_loss=None, feature_spread=None,
    ))  # fmt: skip
    for key, problem in (
        ("0" * 12, "no pretraining has a key beginning with 000000000000"),
        ("ab" * 6, "2 pretrainings have keys beginning with"),
        ("ab" * 32, "is not finished; run the grid first"),
        ("mae", "'mae' is not a key"),
        (control.key[:12], "raw_pixels"),
    ):
        done = call_here(
            "weights", "export", key, "--out", tmp_path / "a.safetensors", "--runs", store.root
        )
        assert done.returncode == 2, key
        assert problem in done.stderr
    assert not list(tmp_path.glob("a.*"))


def test_a_target_is_refused_that_exists_or_is_not_a_safetensors_file(outcome, tmp_path):
    (tmp_path / "there.py").write_text("mine")
    (tmp_path / "folder.safetensors").mkdir()
    (tmp_path / "file").write_text("")
    for name, problem in (
        ("a.pth", "does not end with .safetensors"),
        ("there.safetensors", "there.py exists; files are not replaced"),
        ("folder.safetensors", "is a folder; give the name of a file"),
        ("file/a.safetensors", "which is a file; give another path"),
    ):
        words = ("weights", "export", outcome.keys["lomar"], "--out", tmp_path / name)
        done = call_here(*words, "--runs", outcome.store.root)
        assert done.returncode == 2, name
        assert problem in done.stderr
    assert (tmp_path / "there.py").read_text() == "mine"
    assert {one.name for one in tmp_path.iterdir()} == {"there.py", "folder.safetensors", "file"}


def test_weights_that_are_missing_or_edited_are_not_exported(tmp_path):
    store, identity = Store(tmp_path / "runs"), identity_of("mae", encoder=encoder_json(SIZE))
    store_encoder(store, identity)
    path = store.encoder(identity.key)
    words = ("weights", "export", identity.key, "--out", tmp_path / "a.safetensors")
    path.write_bytes(path.read_bytes()[:-4] + b"abcd")
    edited = call_here(*words, "--runs", store.root)
    path.unlink()
    missing = call_here(*words, "--runs", store.root)
    assert (edited.returncode, missing.returncode) == (2, 2)
    assert "does not have the digest of its record" in edited.stderr
    assert "has no weights of pretraining" in missing.stderr
    assert not list(tmp_path.glob("a.*"))


def test_a_network_that_only_its_method_builds_is_refused(tmp_path, monkeypatch):
    class Own(Encoder):
        pass

    monkeypatch.setattr(
        get("mae"), "build_encoder", staticmethod(lambda config, size, drop_path=0.0: Own(size))
    )
    store, identity = Store(tmp_path / "runs"), identity_of("mae", encoder=encoder_json(SIZE))
    store_encoder(store, identity)
    words = ("weights", "export", identity.key, "--out", tmp_path / "a.safetensors")
    done = call_here(*words, "--runs", store.root)
    assert done.returncode == 2
    assert "builds a network of its own kind" in done.stderr


def test_all_files_of_an_export_are_written_or_none(tmp_path):
    (tmp_path / "b").write_text("mine")
    with pytest.raises(RequestError, match="exists"):
        write_all({tmp_path / "a": b"1", tmp_path / "b": b"2"})
    assert [one.name for one in tmp_path.iterdir()] == ["b"]
    assert (tmp_path / "b").read_text() == "mine"


def test_a_damaged_header_of_an_exported_file_is_refused(outcome, tmp_path):
    with safe_open(outcome.path("mae"), framework="pt") as file:
        assert set(file.metadata()) == {"exported", "format"}
    for text in ("{", "{}", '{"key": "a", "encoder": {"name": "x"}, "input": {}}'):
        path = tmp_path / "a.safetensors"
        save_file(load_file(outcome.path("mae")), path, {"exported": text})
        done = call_here("weights", "inspect", path)
        assert done.returncode == 2
        assert "the header is not that of an exported file" in done.stderr
