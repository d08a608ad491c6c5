"""Files that are not weights, or are damaged, are refused with a hint; no code of a file runs."""

import datetime
import os
import pickle
import zipfile
from argparse import Namespace
from collections import OrderedDict
from pathlib import Path
from textwrap import dedent

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from parity.encoders.drawn import published
from sarbench.bench.weights.reading import WeightsFileError, read_tensors


class Runs:
    """An object whose unpickling makes a folder."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


def refusal(path: Path) -> str:
    with pytest.raises(WeightsFileError) as error:
        read_tensors(path)
    return str(error.value)


def write(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("name", ["a.pth", "a.pth.tar", "a.pt", "checkpoint-last", "a.safetensors"])
def test_the_content_and_not_the_name_says_what_a_file_is(name, tmp_path):
    weights = {"norm.weight": torch.arange(3.0), "blocks.0.bias": torch.ones(2)}
    for write_file in (torch.save, save_file):
        write_file(weights, tmp_path / name)
        found = read_tensors(tmp_path / name).tensors
        assert found.keys() == weights.keys()
        assert torch.equal(found["norm.weight"], weights["norm.weight"])


def test_nested_dicts_are_joined_by_dots_and_plain_values_are_left_out(tmp_path):
    content = {
        "model": OrderedDict(a=torch.ones(1)), "optimizer": {"state": {0: {"step": torch.ones(1)}}},
        "args": Namespace(lr=0.1, name="x"), "epoch": 3, "history": [1.0, torch.ones(1)],
    }  # fmt: skip
    torch.save(content, tmp_path / "a.pth")
    assert set(read_tensors(tmp_path / "a.pth").tensors) == {
        "model.a", "optimizer.state.0.step", "history.1",
    }  # fmt: skip


def test_a_file_of_an_old_torch_is_read(tmp_path):
    torch.save({"a": torch.ones(2)}, tmp_path / "a.pth", _use_new_zipfile_serialization=False)
    assert torch.equal(read_tensors(tmp_path / "a.pth").tensors["a"], torch.ones(2))


def test_a_pickle_that_would_run_code_does_not_run_it(tmp_path):
    made = tmp_path / "made"
    pickle.loads(pickle.dumps(Runs(made)))
    assert made.is_dir()  # so it would run
    made.rmdir()
    for new in (True, False):
        torch.save(
            {"model": {"a": torch.ones(1)}, "x": Runs(made)}, tmp_path / "a.pth",
            _use_new_zipfile_serialization=new,
        )  # fmt: skip
        message = refusal(tmp_path / "a.pth")
        assert "could run code" in message
        assert "mkdir" in message
        assert 'torch.save(weights, "weights.pth")' in message
        assert not made.exists()
    message = refusal(write(tmp_path / "b.pth", pickle.dumps(Runs(made))))
    assert "could run code" in message or "damaged" in message
    assert not made.exists()


@pytest.mark.parametrize("whole", [True, False])
def test_the_advice_for_a_file_with_objects_works(tmp_path, monkeypatch, whole):
    monkeypatch.chdir(tmp_path)
    model = torch.nn.Linear(2, 3)
    saved = model if whole else {"model": model.state_dict(), "when": datetime.date(2020, 1, 1)}
    torch.save(saved, tmp_path / "FILE")
    lines = refusal(tmp_path / "FILE").partition("weights):\n")[2].splitlines()
    assert len(lines) == 3
    exec("\n".join(map(str.strip, lines)), {"torch": torch})
    found = read_tensors(tmp_path / "weights.pth").tensors
    assert found.keys() == {"weight", "bias"}
    assert torch.equal(found["weight"], model.weight)


def test_a_namespace_with_an_object_is_refused_too(tmp_path):
    made = tmp_path / "made"
    torch.save({"args": Namespace(x=Runs(made)), "a": torch.ones(1)}, tmp_path / "a.pth")
    assert "could run code" in refusal(tmp_path / "a.pth")
    assert not made.exists()


def test_a_truncated_file_is_refused(tmp_path):
    torch.save(published("mae"), tmp_path / "a.pth")
    save_file({"a": torch.ones(1000)}, tmp_path / "b.safetensors")
    torch.save({"a": torch.ones(1000)}, tmp_path / "c.pth", _use_new_zipfile_serialization=False)
    for name in ("a.pth", "b.safetensors", "c.pth"):
        whole = (tmp_path / name).read_bytes()
        for share in (0.2, 0.6, 0.99):
            message = refusal(write(tmp_path / "cut", whole[: int(share * len(whole))]))
            assert "truncated" in message, (name, share)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "empty"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 3\n", "git lfs pull"),
        (b"<!DOCTYPE html><html>Sign in</html>", "text, beginning with '<!DOCTYPE"),
        (b"\x08\x07\x12\x07pytorch\x1a\x051.9.0:", "ONNX"),
        (b"\x89HDF\r\n\x1a\n" + bytes(64), "HDF5"),
        (b"\x1f\x8b\x08" + bytes(64), "gzip"),
        (bytes(range(1, 200)), "unknown format"),
        (b"\x80\x04.", "damaged"),
        ((10**9).to_bytes(8, "little") + b'{"a"', "truncated"),
    ],
)
def test_a_file_of_another_kind_is_named(content, expected, tmp_path):
    message = refusal(write(tmp_path / "a.pth", content))
    assert expected in message
    assert str(tmp_path) in message


def test_an_archive_that_torch_did_not_write_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.pth", "w") as archive:
        archive.writestr("a.txt", "x")
    assert "torch did not write it" in refusal(tmp_path / "a.pth")
    np.savez(tmp_path / "b.npz", a=np.ones(3))
    assert "torch did not write it" in refusal(tmp_path / "b.npz")


@pytest.mark.filterwarnings("ignore:.*torch.jit", "ignore::DeprecationWarning")
def test_a_torchscript_file_is_named_and_the_advice_converts_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    model = nn.Linear(2, 3)
    torch.jit.trace(model, torch.ones(1, 2)).save("FILE")
    message = refusal(Path("FILE"))
    assert "is a TorchScript file" in message
    exec(dedent(message.split("\n", 1)[1]), {"torch": torch})
    read = read_tensors(Path("weights.pth")).tensors
    assert read.keys() == {"weight", "bias"}
    assert torch.equal(read["weight"], model.weight)


def test_a_folder_a_pipe_and_a_missing_file_are_refused(tmp_path):
    assert "is a folder" in refusal(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    assert "pipe" in refusal(tmp_path / "pipe")
    assert "No such file" in refusal(tmp_path / "nothing")


def test_tensors_that_are_not_plain_are_refused(tmp_path):
    for tensor in (torch.eye(3).to_sparse(), torch.ones(2, dtype=torch.complex64)):
        torch.save({"a": tensor}, tmp_path / "a.pth")
        assert "save it as plain float32" in refusal(tmp_path / "a.pth")


def test_content_without_named_tensors_is_refused(tmp_path):
    torch.save(torch.ones(3), tmp_path / "a.pth")
    assert "one tensor without a name" in refusal(tmp_path / "a.pth")
    torch.save({"epoch": 3}, tmp_path / "a.pth")
    assert "holds no tensor" in refusal(tmp_path / "a.pth")
    deep: dict = {}
    deep["a"] = deep
    torch.save(deep, tmp_path / "a.pth")
    assert "dicts in one another" in refusal(tmp_path / "a.pth")


@pytest.mark.parametrize("write_file", [torch.save, save_file])
def test_a_large_file_is_mapped_and_not_read(write_file, tmp_path):
    size = 2**25  # floats; the file has 128 MiB
    write_file({"small": torch.ones(2), "large": torch.zeros(size)}, tmp_path / "a")
    before = resident()
    found = read_tensors(tmp_path / "a").tensors
    assert torch.equal(found["small"], torch.ones(2))
    assert found["large"].shape == (size,)
    assert resident() - before < size  # bytes, a quarter of the file


def resident() -> int:
    """Return the resident memory of this process in bytes."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")
