"""Writes chips as the Phoenix files in which their owner ships MSTAR."""

import numpy as np


def phoenix_file(
    magnitude: np.ndarray, *, version: str = "01.04", native: bytes = b"", **fields: object
) -> bytes:
    """Return a file with this magnitude and a phase of zero; `fields` are added or replaced."""
    rows, columns = magnitude.shape
    body = magnitude.astype(">f4").tobytes() + bytes(4 * rows * columns)
    first = {
        "PhoenixHeaderLength": "00000", "PhoenixSigSize": "0000000000", "PhoenixSigNum": "0001",
        "native_header_length": len(native), "NumberOfColumns": columns, "NumberOfRows": rows,
    }  # fmt: skip
    text = _header(version, first | fields)
    length = {"PhoenixHeaderLength": f"{len(text):05d}"}
    length["PhoenixSigSize"] = f"{len(text) + len(native) + len(body):010d}"
    return _header(version, first | length | fields) + native + body


def _header(version: str, fields: dict[str, object]) -> bytes:
    lines = [f"[PhoenixHeaderVer{version}]", *(f"{key}= {fields[key]}" for key in fields)]
    return ("\n" + "\n".join([*lines, "[EndofPhoenixHeader]"]) + "\n").encode()
