"""Splits and digests of known data sets, as `protocols/splits/` holds them."""

import json
from functools import cache
from importlib.resources import files
from typing import Any

from ... import protocols


@cache
def committed(name: str) -> dict[str, Any]:
    """Return the content of `protocols/splits/NAME.json`.

    `known` holds the digests of splits and of pixels, with the name of each rendering, by data set.
    """
    return json.loads((files(protocols) / "splits" / f"{name}.json").read_text("utf-8"))
