"""The files of a prepared set, opened without copying; `write_packed` writes them.

A prepared set is a folder with `pixels.bin` (all chips one after the other), `index.npz` (one row
per chip) and `summary.json`.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from pydantic import TypeAdapter

from .checked_pixels import PIXELS, pixels_hold
from .chips import Chips
from .facts import Facts
from .files import ARCHIVE_ERRORS
from .images import FULL_SCALE
from .packing import rendering_of
from .source import Card

NEEDED = ("ids", "labels", "is_test", "offset", "size", "source_size", "content")  # arrays
INDEX, SUMMARY = "index.npz", "summary.json"
Progress = Callable[[int, int], None]


class DamagedPreparedError(ValueError):
    """Prepared files that do not match each other."""

    failure_class = "data"


@dataclass(frozen=True)
class Summary:
    """Counts and digests of a prepared data set or pool.

    Attributes:
        name: As in `Chips`.
        kind: `dataset` or `pool`.
        count: Number of chips.
        counts: `{"train": {class: n}, "test": {class: n}}`; both sides empty for a pool.
        data_digest: As in `Chips`.
        split_digest: As in `Chips`.
        rendering: As in `Chips`.
        transform: As in `Card`.
        crop_px: Side of the central square that was kept; None for whole chips.
        dtype: Stored type of the pixels.
        classes: Class names in the order of the labels.
    """

    name: str
    kind: str
    count: int
    counts: dict[str, dict[str, int]]
    data_digest: str
    split_digest: str
    rendering: str
    transform: str
    crop_px: int | None
    dtype: str
    classes: tuple[str, ...]


class Prepared(NamedTuple):
    """An open prepared set."""

    chips: Chips
    summary: Summary


def packed_folder(prepared_dir: Path, name: str, data_digest: str, split: str) -> Path:
    """Return the folder of the set with these digests; `split` is empty for a pool."""
    parts = (name.replace("/", "-"), data_digest[:12], split[:12])
    return prepared_dir / "-".join(filter(None, parts))


def is_packed_set(folder: Path) -> bool:
    """Return whether a folder is a prepared set: its summary is written last."""
    return (folder / SUMMARY).is_file()


def stored_summaries(prepared_dir: Path) -> Iterator[dict[str, Any]]:
    """Yield the stored summary of every prepared set; one that cannot be read is skipped."""
    for path in sorted(prepared_dir.glob(f"*/{SUMMARY}")):
        with suppress(OSError, ValueError):
            yield json.loads(path.read_text("utf-8"))


def read_summary(card: Card, folder: Path) -> Summary:
    """Read the summary of a prepared set.

    Raises:
        DamagedPreparedError: The file cannot be read.
    """
    try:
        return summary_from_json(card, json.loads((folder / SUMMARY).read_text("utf-8")))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _damaged(folder, str(error)) from error


def summary_from_json(card: Card, stored: dict[str, Any]) -> Summary:
    """Return a stored summary; raise ValueError, KeyError or TypeError if it is damaged."""
    known = {name: stored[name] for name in Summary.__dataclass_fields__}
    # a later version of sarbench may know a rendering that was unknown when the set was packed
    rendering = rendering_of(card, known["data_digest"])
    text = json.dumps(known | {"rendering": rendering})
    return TypeAdapter(Summary).validate_json(text, strict=True)


def open_packed(card: Card, folder: Path) -> Prepared:
    """Open a prepared set; pixels are read from the disk when they are used.

    Raises:
        DamagedPreparedError: Its files do not match each other.
    """
    described = read_summary(card, folder)
    try:
        with (
            (folder / INDEX).open("rb") as file,  # np.load leaves a damaged one open
            np.load(file, allow_pickle=False) as stored,
        ):
            index = {key: stored[key] for key in {*NEEDED, *stored.files}}
        pixels = np.memmap(folder / PIXELS, described.dtype, "r")
        expected = int(index["offset"][-1] + index["size"][-1].prod())
    except (*ARCHIVE_ERRORS, KeyError) as error:
        raise _damaged(folder, str(error)) from error
    if len(pixels) != expected or len(index["ids"]) != described.count:
        raise _damaged(folder, f"{expected} pixels expected, {len(pixels)} found")
    packed = replace(card, transform=described.transform, crop_px=described.crop_px)
    if not pixels_hold(packed, folder, described.data_digest, index, pixels):
        raise _damaged(folder, "its pixels are not those of its digest")
    chips = Chips(
        name=card.name,
        ids=index["ids"],
        labels=index["labels"],
        classes=described.classes,
        is_test=index["is_test"],
        pixels=pixels,
        offset=index["offset"],
        height=index["size"][:, 0],
        width=index["size"][:, 1],
        source_size=index["source_size"],
        content=index["content"],
        full_scale=FULL_SCALE[described.dtype],
        data_digest=described.data_digest,
        split_digest=described.split_digest,
        rendering=described.rendering,
        group=index["group"] if len(index.get("group", ())) else None,
        facts=_facts(index),
    )
    return Prepared(chips, described)


def _facts(index: dict[str, np.ndarray]) -> Facts | None:
    """Return the facts in an index; None if it has none."""
    if not index.keys() & {"azimuth_deg", "depression_deg", "serial"}:
        return None
    count = len(index["ids"])
    unknown = np.full(count, np.nan)
    return Facts(
        index.get("azimuth_deg", unknown),
        index.get("depression_deg", unknown),
        index.get("serial", np.full(count, "")),
        index["source_size"],
    )


def _damaged(folder: Path, reason: str) -> DamagedPreparedError:
    return DamagedPreparedError(
        f"the prepared files in {folder} are damaged ({reason}); `sarbench data prepare` packs "
        "them again"
    )
