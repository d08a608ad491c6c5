"""The files of a prepared set: written whole or not at all, opened without copying.

A prepared set is a folder with `pixels.bin` (all chips one after the other), `index.npz` (one row
per chip) and `summary.json`.
"""

import errno
import json
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int
from pydantic import TypeAdapter

from ..store.atomic import ABANDONED_S, is_full, no_space, sync
from .checked_pixels import PIXELS, note_checked, pixels_hold
from .chips import Chips
from .facts import Facts
from .files import ARCHIVE_ERRORS
from .images import FULL_SCALE
from .listing import DatasetMismatchError
from .packing import DataDigest, PackedChip, rendering_of
from .source import Card, count
from .splits import split_digest

NEEDED = ("ids", "labels", "is_test", "offset", "size", "source_size", "content")  # arrays
FLUSH_EVERY = 4096  # chips
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


def write_packed(
    card: Card,
    pack: Callable[[Path], Iterable[PackedChip]],
    total: int,
    prepared_dir: Path,
    progress: Progress | None,
) -> Path:
    """Write a prepared set and return its folder, named by its digests.

    Args:
        card: The set to pack.
        pack: Writes the pixels of its chips into a new file, and yields the chips without them, in
            the order of their ids.
        total: Their number.
        prepared_dir: Where packed sets are kept.
        progress: Called with (done, total) after every hundred chips.

    Raises:
        NoSpaceError: The disk is full; the new set is removed.
        DatasetMismatchError: The set is empty, or its chips differ in type or size.
    """
    with _temporary(prepared_dir, card) as new:
        rows: list[PackedChip] = []
        digest: DataDigest | None = None
        for chip in _flushed(pack(new / PIXELS), new / PIXELS):
            if digest is None:
                digest = DataDigest(card, chip.pixels.dtype)
            else:
                check_like(card, rows[0], chip)
            digest.update(chip)
            rows.append(chip)
            if progress is not None and (len(rows) % 100 == 0 or len(rows) == total):
                progress(len(rows), total)
        if digest is None:
            raise DatasetMismatchError(f"{card.name} holds no image")
        if problem := card.source.problem(card, rows):
            raise DatasetMismatchError(f"{card.name}: {problem}")
        note_checked(new)
        _write_index(new / "index.npz", card, rows)
        described = _summarise(card, rows, digest.hexdigest())
        (new / "summary.json").write_text(json.dumps(asdict(described), indent=1), "utf-8")
        sync(new / "summary.json")
        folder = packed_folder(
            prepared_dir, card.name, described.data_digest, described.split_digest
        )
        _put_in_place(new, folder, card)
    return folder


def _flushed(chips: Iterable[PackedChip], path: Path) -> Iterator[PackedChip]:
    """Yield chips whose pixels are written to a file, and flush it meanwhile and at the end."""
    with ThreadPoolExecutor(1) as flusher:
        flushing: Future[None] | None = None
        for number, chip in enumerate(chips, start=1):
            yield chip
            if number % FLUSH_EVERY == 0 and (flushing is None or flushing.done()):
                if flushing is not None:
                    flushing.result()
                flushing = flusher.submit(sync, path)
        if flushing is not None:
            flushing.result()
    sync(path)


def packed_folder(prepared_dir: Path, name: str, data_digest: str, split: str) -> Path:
    """Return the folder of the set with these digests; `split` is empty for a pool."""
    parts = (name.replace("/", "-"), data_digest[:12], split[:12])
    return prepared_dir / "-".join(filter(None, parts))


def check_like(card: Card, first: PackedChip, chip: PackedChip) -> None:
    """Compare type and size of a chip with those of the first.

    Raises:
        DatasetMismatchError: They differ.
    """
    if chip.pixels.dtype != first.pixels.dtype:
        raise DatasetMismatchError(
            f"{card.name}: {first.chip_id} is {first.pixels.dtype} and {chip.chip_id} is "
            f"{chip.pixels.dtype}; all chips of a set have one type: put them into two folders"
        )
    if card.kind == "dataset" and chip.pixels.shape != first.pixels.shape:
        raise DatasetMismatchError(
            f"{card.name}: {first.chip_id} has {first.pixels.shape} pixels and {chip.chip_id} has "
            f"{chip.pixels.shape}; all whole chips of a data set have one size: fetch them again"
        )


def _summarise(card: Card, rows: list[PackedChip], data_digest: str) -> Summary:
    counts = count(Counter((chip.class_name, chip.is_test) for chip in rows))
    is_pool = card.kind == "pool"
    split = "" if is_pool else split_digest((c.chip_id, c.class_name, c.is_test) for c in rows)
    return Summary(
        name=card.name,
        kind=card.kind,
        count=len(rows),
        counts={"train": {}, "test": {}} if is_pool else counts,
        data_digest=data_digest,
        split_digest=split,
        rendering="",
        transform=card.transform,
        crop_px=card.crop_px,
        dtype=rows[0].pixels.dtype.name,
        classes=() if is_pool else _classes(rows),
    )


def _classes(rows: list[PackedChip]) -> tuple[str, ...]:
    return tuple(sorted({chip.class_name for chip in rows}))


def _write_index(path: Path, card: Card, rows: list[PackedChip]) -> None:
    label = {name: index for index, name in enumerate(_classes(rows))}
    sizes = np.array([chip.pixels.shape for chip in rows], np.int64)
    areas = sizes.prod(axis=1)
    is_pool = card.kind == "pool"
    facts: dict[str, Any] = {**Facts.of(chip.facts for chip in rows).columns()}
    with path.open("wb") as target:
        np.savez(
            target,
            ids=np.array([chip.chip_id for chip in rows]),
            labels=np.array([-1 if is_pool else label[c.class_name] for c in rows], np.int64),
            is_test=np.array([chip.is_test for chip in rows], bool),
            offset=np.cumsum(areas) - areas,
            size=sizes,
            source_size=np.array([chip.source_size for chip in rows], np.int64),
            content=np.array([chip.content for chip in rows], np.uint64),
            group=_groups(rows),
            **facts,
        )
    sync(path)


def _groups(rows: list[PackedChip]) -> Int[np.ndarray, " N"]:
    """Return the number of the group of each chip; empty if no chip has a group."""
    if not any(chip.group for chip in rows):
        return np.empty(0, np.int64)
    names = [(chip.group, "" if chip.group else chip.chip_id) for chip in rows]
    number = {name: index for index, name in enumerate(sorted(set(names)))}
    return np.array([number[name] for name in names], np.int64)


def read_summary(card: Card, path: Path) -> Summary:
    """Read a summary.

    Raises:
        DamagedPreparedError: The file cannot be read.
    """
    try:
        return summary_from_json(card, json.loads(path.read_text("utf-8")))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _damaged(path.parent, str(error)) from error


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
    described = read_summary(card, folder / "summary.json")
    try:
        with (
            (folder / "index.npz").open("rb") as file,  # np.load leaves a damaged one open
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


@contextmanager
def _temporary(prepared_dir: Path, card: Card) -> Iterator[Path]:
    """Yield a new temporary folder, removed at the end; remove those of killed processes too."""
    prefix = f".{card.name.replace('/', '-')}-"
    new: Path | None = None
    try:
        prepared_dir.mkdir(parents=True, exist_ok=True)
        for left in prepared_dir.glob(f"{prefix}*"):
            with suppress(FileNotFoundError):
                if time.time() - left.stat().st_mtime > ABANDONED_S:
                    shutil.rmtree(left, ignore_errors=True)
        new = Path(tempfile.mkdtemp(prefix=prefix, dir=prepared_dir))
        yield new
    except OSError as error:
        if is_full(error):
            raise no_space(prepared_dir / card.name) from error
        raise
    finally:
        if new is not None:
            shutil.rmtree(new, ignore_errors=True)


def _put_in_place(new: Path, folder: Path, card: Card) -> None:
    """Rename a complete set to its final name; of an intact copy, replace the index only."""
    with suppress(DamagedPreparedError):
        open_packed(card, folder)
        (new / "index.npz").replace(folder / "index.npz")  # facts are in no digest
        return
    new.chmod(0o755)
    old = new.with_name(f"{new.name}-old")
    with suppress(FileNotFoundError):
        folder.rename(old)
    try:
        new.rename(folder)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise  # else another process was faster and packed the same content
    shutil.rmtree(old, ignore_errors=True)
