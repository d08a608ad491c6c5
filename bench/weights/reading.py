"""Read a file of weights as a flat dict of tensors, without running code from it.

The format is recognised by the content, not by the name. Tensors are memory-mapped, so a file that
is larger than the memory can be read as long as its encoder is not.
"""

import argparse
import pickle
import re
import stat
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from .pickle_scan import AbsurdPickleError, scan_legacy, scan_zip

DEEPEST = 8  # dicts in dicts; optimisers need 4
MOST_TENSORS = 100_000
MOST_VALUES = 500_000  # of dicts and lists, counted again where one is shared
LONGEST_NAME = 1000
MOST_EXPANDED = 64 << 20  # bytes of a tensor that repeats fewer stored values (`Tensor.expand`)
CONVERT = (
    'convert it where it was made (in a dict, "model" stands for the key of the weights):\n'
    '  weights = torch.load("FILE", weights_only=False)  # runs code of the file; trust it first\n'
    '  weights = weights["model"] if isinstance(weights, dict) else weights.state_dict()\n'
    '  torch.save(weights, "weights.pth")  # a dict of tensors'
)
SCRIPT = (
    "is a TorchScript file, whose code would run; it was not loaded. Save its weights:\n"
    '  model = torch.jit.load("FILE", "cpu")  # runs code of the file; trust it first\n'
    '  torch.save(model.state_dict(), "weights.pth")  # a dict of tensors'
)
CONTENTS = {  # first bytes of a file that is something else
    b"\x89HDF": "an HDF5 file (Keras or MATLAB)",
    b"\x1f\x8b": "a gzip archive; unpack it first",
    b"GGUF": "a GGUF file",
    b"\x93NUMPY": "a NumPy array",
    b"\x89PNG": "a PNG image",
    b"\xff\xd8\xff": "a JPEG image",
    b"version https://git-lfs": "a Git LFS pointer; fetch the file itself with `git lfs pull`",
}


class WeightsFileError(ValueError):
    """A file that cannot be read as weights."""

    failure_class = "data"


@dataclass(frozen=True)
class WeightsFile:
    """The tensors of a file.

    Attributes:
        path: The file.
        tensors: By name; the names of nested dicts are joined by dots.
        metadata: Text values in the header of a safetensors file.
    """

    path: Path
    tensors: dict[str, Tensor]
    metadata: dict[str, str] = field(default_factory=dict)


def read_tensors(path: Path) -> WeightsFile:
    """Return the tensors of a file; nothing in it is executed.

    Raises:
        WeightsFileError: The file is missing, damaged, or not a file of tensors and plain values.
    """
    size, start = _look_at(path)
    if _is_safetensors(start, size):
        return _read_safetensors(path)
    if start.startswith(b"PK") or start[:1] == b"\x80":
        return _read_torch(path, zipped=start.startswith(b"PK"))
    found = next((what for magic, what in CONTENTS.items() if start.startswith(magic)), None)
    if found is None and _is_onnx(start):
        found = (
            "an ONNX file; convert it to a dict of tensors with the package onnx "
            "(onnx.numpy_helper.to_array of graph.initializer) and save it with torch.save"
        )
    elif found is None and _is_text(start):
        found = f"text, beginning with {start[:40].decode(errors='replace')!r}"
    raise WeightsFileError(
        f"{path} is {found or 'in an unknown format'}. Weights are read from .pth, .pth.tar, .pt "
        "and .safetensors files, also without a suffix"
    )


def _look_at(path: Path) -> tuple[int, bytes]:
    """Return size and first bytes of a file; a pipe or a device is not opened."""
    try:
        str(path).encode()
    except UnicodeEncodeError as error:
        raise WeightsFileError(
            f"the path {str(path)!a} is not UTF-8 text, which PyTorch and safetensors need; rename "
            "the file or its folder"
        ) from error
    try:
        found = path.stat()
        if stat.S_ISDIR(found.st_mode):
            raise WeightsFileError(f"{path} is a folder; give the file of weights in it")
        if not stat.S_ISREG(found.st_mode):
            raise WeightsFileError(f"{path} is a pipe or a device; give a regular file")
        if not found.st_size:
            raise WeightsFileError(f"{path} is empty (0 bytes); fetch it again")
        with path.open("rb") as file:
            return found.st_size, file.read(512)
    except OSError as error:
        raise WeightsFileError(f"{path} cannot be read: {error.strerror}") from error


def _is_safetensors(start: bytes, size: int) -> bool:
    """Return whether a file begins with the length of a JSON header and the header."""
    length = int.from_bytes(start[:8], "little")
    return start[8:9] == b"{" and 0 < length < 2**40 and size > 8


def _is_onnx(start: bytes) -> bool:
    """Return whether a file begins with the fields `ir_version` and then a text or an opset."""
    return start[:1] == b"\x08" and start[1:2] < b"\x20" and start[2:3] in (b"\x12", b"\x3a", b"B")


def _is_text(start: bytes) -> bool:
    return all(byte >= 32 or byte in b"\t\n\r" for byte in start)


def _read_safetensors(path: Path) -> WeightsFile:
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            return _checked(WeightsFile(path, tensors, file.metadata() or {}))
    except (SafetensorError, OSError) as error:
        raise WeightsFileError(
            f"{path} is a damaged or truncated safetensors file ({error}); fetch it again"
        ) from error


def _read_torch(path: Path, zipped: bool) -> WeightsFile:
    try:
        mapped = scan_zip(path) if zipped else False  # a compressed member cannot be mapped
        if not zipped:
            scan_legacy(path)
        with (
            torch.serialization.safe_globals([argparse.Namespace]),
            warnings.catch_warnings(action="ignore"),  # a file that cannot be read is an error
        ):
            if path.suffix == ".safetensors":  # torch believes the name of a path
                with path.open("rb") as opened:
                    content = torch.load(opened, map_location="cpu", weights_only=True)
            else:
                content = torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
    except AbsurdPickleError as error:
        raise WeightsFileError(
            f"{path}: {error}, which no training writes. It was not loaded; {CONVERT}"
        ) from error
    except pickle.UnpicklingError as error:
        named = re.search(r"GLOBAL (\S+)|(WeightsUnpickler error: .*\S)", str(error))
        what = f" ({(named[1] or named[2])[:200]})" if named else ""
        raise WeightsFileError(
            f"{path} holds something besides tensors and plain values{what}, which could run code "
            f"when it is loaded. It was not loaded; {CONVERT}"
        ) from error
    except Exception as error:  # a damaged file raises anything
        members = _members(path) if zipped else []
        if any(name.endswith("/constants.pkl") for name in members):
            raise WeightsFileError(f"{path} {SCRIPT}") from error
        if members and not any(name.endswith("data.pkl") for name in members):
            raise WeightsFileError(
                f"{path} is a zip archive, but torch did not write it; give the file of weights"
            ) from error
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise WeightsFileError(
            f"{path} is damaged or truncated ({reason[:200]}); fetch it again"
        ) from error
    if isinstance(content, Tensor):
        raise WeightsFileError(
            f"{path} holds one tensor without a name, not the weights of a model"
        )
    tensors: dict[str, Tensor] = {}
    try:
        for name, tensor in _flat(content, "", DEEPEST, count()):
            if name in tensors:
                raise WeightsFileError(f"two tensors have the joined name {name!r}; rename one")
            tensors[name] = tensor
            if len(tensors) > MOST_TENSORS:
                raise WeightsFileError(f"it holds more than {MOST_TENSORS} tensors")
    except WeightsFileError as error:
        raise WeightsFileError(f"{path}: {error}") from error
    return _checked(WeightsFile(path, tensors))


def _members(path: Path) -> list[str]:
    """Return the names in a zip archive; none if it is damaged."""
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.namelist()
    except (zipfile.BadZipFile, ValueError):
        return []


def _flat(
    value: Any, name: str, depth: int, visited: Iterator[int]
) -> Iterator[tuple[str, Tensor]]:
    """Yield the tensors of nested dicts and lists with their joined names."""
    if isinstance(value, Tensor):
        yield name, value
    elif isinstance(value, Mapping | list | tuple):
        if not depth:
            raise WeightsFileError(f"{name[:80]!r}: more than {DEEPEST} dicts in one another")
        items = value.items() if isinstance(value, Mapping) else enumerate(value)
        for key, one in items:
            if next(visited) > MOST_VALUES:
                raise WeightsFileError(
                    f"its dicts and lists have more than {MOST_VALUES:,} values; save its weights "
                    "alone"
                )
            if isinstance(one, Tensor | Mapping | list | tuple):
                yield from _flat(one, f"{name}.{key}" if name else str(key), depth - 1, visited)


def _checked(file: WeightsFile) -> WeightsFile:
    if not file.tensors:
        raise WeightsFileError(f"{file.path} holds no tensor")
    for name, tensor in file.tensors.items():
        if not name.isprintable() or len(name) > LONGEST_NAME:
            raise WeightsFileError(
                f"{file.path}: the name {name[:80]!a} of a tensor is not printable text of at "
                f"most {LONGEST_NAME} letters; rename it and save the file again"
            )
        if tensor.layout != torch.strided or tensor.is_quantized or tensor.is_complex():
            raise WeightsFileError(
                f"{file.path}: {name} is sparse, quantised or complex; save it as plain float32"
            )
        size = tensor.numel() * tensor.element_size()
        held = 0 if tensor.is_meta else max(tensor.untyped_storage().nbytes(), MOST_EXPANDED)
        if not 0 < size <= held:
            shape = " x ".join(map(str, tensor.shape))
            raise WeightsFileError(
                f"{file.path}: {name} ({shape}) is empty, or the file has fewer values than its "
                "shape says; save the file again without it, or with `tensor.clone()`"
            )
    return file
