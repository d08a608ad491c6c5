"""Made-up files of weights end with a reason, without a traceback and without delay."""

import json
import pickle
import time
import zipfile
from pathlib import Path

import pytest
import torch
from commands import call_here
from given_files import grid_text
from safetensors.torch import save_file
from small_grids import grid_of

from parity.encoders.drawn import published
from sarbench.bench.given_file import Stated
from sarbench.bench.grid.schema import GridError
from sarbench.bench.plan.given_files import find_given
from sarbench.bench.plan.plan import make_plan
from sarbench.bench.store.records import Store
from sarbench.bench.weights import reading
from sarbench.bench.weights.find_encoder import find_encoder
from sarbench.bench.weights.reading import WeightsFileError

BIAS = "blocks.0.attn.qkv.bias"
MAGIC = 0x1950A86A20F9469CFC6C  # of files from before torch 1.6
SIZES = {"name": "x", "input_px": 8, "patch_px": 8, "width": 8, "depth": 1, "heads": 1}
IDENTITY = {
    "method": "mae", "method_version": 1, "config": {}, "precision": "fp32", "pool": [],
    "pool_cap": None, "pool_fraction": 1.0, "recipe": None, "seed": 0,
}  # fmt: skip


def write(path: Path, changes: dict) -> Path:
    content = published("mae_1")
    torch.save(content.get("model", content) | changes, path)
    return path


def shared_lists() -> list:
    found: list = [1]
    for _ in range(5):
        found = [found] * 1000
    return found


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({BIAS: torch.zeros(0)}, "is empty"),
        ({"patch_embed.proj.weight": torch.zeros(16, 1, 0, 0)}, "is empty"),
        ({"head.weight": torch.zeros(3, device="meta")}, "fewer values than its shape"),
        ({BIAS: torch.zeros(1).expand(10**9, 64)}, "fewer values than its shape"),
        ({"bad\ud800": torch.zeros(3)}, r"'bad\\ud800' of a tensor is not printable"),
        ({"x\x1b[2J\nlayout": torch.zeros(3)}, r"'x\\x1b\[2J\\nlayout' of a tensor"),
        ({f"blocks.{'9' * 6000}.norm": torch.zeros(3)}, "not printable text of at most 1000"),
        ({BIAS: torch.zeros(3, dtype=torch.int8)}, "int8 values, but weights are floating"),
        ({BIAS: torch.zeros(144).to(torch.float8_e4m3fn)}, "e4m3fn values, which need scales"),
        ({BIAS: torch.zeros(3, dtype=torch.bool)}, "bool values, but weights are floating"),
        ({"a": shared_lists()}, r"more than 5,000 values"),
        ({"norm": {"bias": torch.zeros(3)}}, "two tensors have the joined name 'norm.bias'"),
    ],
)  # fmt: skip
def test_a_tensor_that_no_training_writes_is_refused(changes, expected, tmp_path, monkeypatch):
    monkeypatch.setattr(reading, "MOST_VALUES", 5000)
    start = time.monotonic()
    with pytest.raises(WeightsFileError, match=expected) as error:
        find_encoder(write(tmp_path / "a.pth", changes))
    assert str(tmp_path) in str(error.value)
    assert time.monotonic() - start < 10


def nested_key(depth: int) -> bytes:
    """Return the pickle of a dict with a tuple, nested some times, as a key."""
    return b"\x80\x02}" + b")" + b"\x85" * depth + b"}s."


def doubled_key(times: int) -> bytes:
    """Return the pickle of a dict with a tuple that holds the tuple before it twice, as a key."""
    return b"\x80\x02})q\x00" + b"h\x00\x86q\x00" * times + b"}s."


@pytest.mark.parametrize(
    "content",
    [nested_key(3_000_000), nested_key(20_000), doubled_key(40)],
    ids=["deepest", "deep", "doubled"],
)
@pytest.mark.parametrize("legacy", [False, True])
def test_a_key_of_nested_tuples_is_refused_before_it_is_read(content, legacy, tmp_path):
    """The reader would crash on 3,000,000, and take for ever with doubled ones."""
    path = tmp_path / "a.pth"
    if legacy:
        path.write_bytes(b"".join(pickle.dumps(one, 2) for one in (MAGIC, 1001, {})) + content)
    else:
        torch.save({}, path)
        with zipfile.ZipFile(path) as archive:
            members = {one: archive.read(one) for one in archive.namelist()}
        with zipfile.ZipFile(path, "w") as archive:
            for name, one in members.items():
                archive.writestr(name, content if name.endswith("data.pkl") else one)
    with pytest.raises(WeightsFileError, match="16 tuples in one another"):
        find_encoder(path)


def test_a_compressed_file_is_read_as_the_one_that_torch_wrote(tmp_path):
    path = write(tmp_path / "a.pth", {})
    wanted = find_encoder(path, Stated(heads=3)).config.digest
    with zipfile.ZipFile(path) as archive:
        members = {one: archive.read(one) for one in archive.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, one in members.items():
            archive.writestr(name, one)
    assert find_encoder(path, Stated(heads=3)).config.digest == wanted


def test_a_name_that_is_not_utf_8_is_refused_with_the_reason(tmp_path):
    path = tmp_path / "a\udcff.pth"
    write(tmp_path / "a.pth", {}).rename(path)
    with pytest.raises(WeightsFileError, match=r"a\\udcff\.pth' is not UTF-8 text.*rename"):
        find_encoder(path)


def test_a_number_sign_in_a_key_is_unexpected(tmp_path):
    changes = {f"{BIAS}#7": torch.zeros(3), "x#abc": torch.zeros(3)}
    found = find_encoder(write(tmp_path / "a.pth", changes), Stated(heads=3))
    assert set(found.account.unexpected) == set(changes)


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ({"depth": 10**6}, "depth is 1000000; it must be a whole number from 1 to 200"),
        ({"width": 2**40}, "width is 1099511627776; it must be a whole number"),
        ({"width": -8}, "width is -8"),
        ({"width": "8"}, "width is 8; it must be a whole number"),
        ({"width": 8.0}, r"width is 8\.0"),
        ({"width": True}, "width is True"),
        ({"width": 12, "heads": 5}, "a multiple of its heads, 5"),
        ({"input_px": 8 * 10**6}, "input_px is 8000000"),
        ({"input_px": 9984, "patch_px": 1, "width": 2**14}, "for fewer patches"),
        ({"input_px": 12}, "a multiple of its patches, 8 px"),
        ({"patch_px": 0}, "patch_px is 0"),
        ({"hidden": 8, "family": "x"}, "family is x; it must be vit or hivit"),
        ({"hidden": 8, "gated": 1}, "gated is 1; it must be true or false"),
        ({"hidden": 8, "input": 3}, "input is 3"),
        ({"name": "timm:nosuch"}, "width"),
    ],
)  # fmt: skip
def test_sizes_in_a_header_are_checked_before_a_network_is_built(sizes, expected, tmp_path):
    encoder = SIZES | sizes
    exported = {"key": "0" * 64, "encoder": encoder, "input": {}}
    headers = {"pretraining": IDENTITY | {"encoder": encoder}, "exported": exported}
    for name, header in headers.items():
        save_file({"a": torch.zeros(1)}, tmp_path / "a", {name: json.dumps(header)})
        # the tests check types of arguments, so a wrong one may end before
        with pytest.raises(WeightsFileError, match=f"{expected}|type hint|patch_px"):
            find_encoder(tmp_path / "a")


@pytest.mark.parametrize(
    "text",
    [
        "[" * 200_000, "[]", "{}", "[1]", "3", json.dumps(IDENTITY | {"encoder": [1]}),
        json.dumps(IDENTITY | {"encoder": SIZES, "config": [1]}),
        json.dumps(IDENTITY | {"encoder": SIZES, "method": ["x"]}),
        json.dumps(IDENTITY | {"encoder": {"name": "timm:nosuch", "input_px": 32}}),
        json.dumps({"key": 7, "encoder": SIZES | {"hidden": 8}, "input": {}}),
        json.dumps({"key": "7", "encoder": SIZES | {"hidden": 8}, "input": {"std": "x"}}),
    ],
)  # fmt: skip
def test_a_header_of_another_form_is_refused(text, tmp_path):
    for name in ("pretraining", "exported"):
        save_file({"a": torch.zeros(1)}, tmp_path / "a", {name: text})
        with pytest.raises(WeightsFileError, match="header"):
            find_encoder(tmp_path / "a")


def test_a_plan_names_every_entry_that_cannot_be_read(tmp_path, monkeypatch):
    write(tmp_path / "a.pth", {BIAS: torch.zeros(0)})
    write(tmp_path / "b.pth", {})

    def find(path, stated):
        raise RuntimeError(f"odd {path.name}")

    grid, store = grid_of(tmp_path, grid_text('"a.pth", "b.pth"')), Store(tmp_path / "runs")
    with pytest.raises(GridError, match=r"encoders: a: .*is empty"):
        find_given(grid, {}, store)
    monkeypatch.setattr("sarbench.bench.weights.find_encoder.find_encoder", find)
    with pytest.raises(GridError, match=r"a: .*odd a\.pth.*\nencoders: b: .*odd b\.pth"):
        find_given(grid, {}, store)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ("input_px = 100000", "4096"), ("mean = nan", "finite"), ("std = [inf]", "finite"),
    ],
)  # fmt: skip
def test_a_value_that_no_input_has_is_refused_before_the_file_is_read(values, expected, tmp_path):
    entry = f'{{ weights = "a.pth", {values} }}'
    with pytest.raises(GridError, match=expected):
        make_plan(grid_of(tmp_path, grid_text(entry)), Store(tmp_path / "runs"), tmp_path)


def test_an_entry_without_a_path_is_refused(tmp_path):
    for entry in ('""', '{ weights = "" }'):
        with pytest.raises(GridError, match="path of given weights is empty"):
            grid_of(tmp_path, grid_text(entry))


@pytest.mark.parametrize("values", [r'label = "a\u001b[31m"', r'seen = ["x\u001b[2J"]'])
def test_a_label_with_control_characters_is_refused_and_escaped(values, tmp_path):
    entry = f'{{ weights = "a.pth", {values} }}'
    with pytest.raises(GridError, match=r"\\x1b\[.*not printable text") as error:
        make_plan(grid_of(tmp_path, grid_text(entry)), Store(tmp_path / "runs"), tmp_path)
    assert "\x1b" not in str(error.value)


def test_control_characters_in_a_path_are_escaped_in_messages(tmp_path):
    done = call_here("weights", "inspect", tmp_path / "a\x1b[31m\udc80.pth")
    assert done.returncode == 2
    assert r"a\x1b[31m\udc80.pth" in done.stderr
