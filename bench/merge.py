"""Records of another store taken into ours: validated strictly, nothing overwritten."""

import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..results.record import PretrainRecord, RunRecord
from .store import DamagedRecordError, Kind, Store, file_digest, write_atomic

KEY = re.compile(r"[0-9a-f]{64}")
# What is copied beside a record, and the digest of it that the record holds.
ARTEFACTS = {
    "pretrain": {"encoder.safetensors": "weights_digest"},
    "evaluate": {"predictions.npz": "predictions_digest"},
}
EXTRAS = {"pretrain": ("history.jsonl",), "evaluate": ()}
LARGEST_RECORD = 2**20  # bytes

# Labels and number of classes of a data set with these digests, or None where it is not here.
Labels = Callable[[dict[str, Any]], "tuple[np.ndarray, int] | None"]


class MergeError(ValueError):
    """What is to be merged is not a store."""


@dataclass
class Merged:
    """What became of every record of the other store; keys with a reason.

    Attributes:
        added: Taken in (or would be, in a trial).
        same: Here already, with the same outcome.
        conflicts: Here already, with another outcome; ours is kept.
        refused: Not valid, or not consistent.
    """

    added: list[str] = field(default_factory=list)
    same: list[str] = field(default_factory=list)
    conflicts: list[tuple[str, str]] = field(default_factory=list)
    refused: list[tuple[str, str]] = field(default_factory=list)


def merge(other: Store, mine: Store, labels_of: Labels, *, trial: bool = False) -> Merged:
    """Take the records of another store into ours.

    Args:
        other: Read only; nothing of it is trusted.
        mine: Gets what is valid and not there yet; keeps what it has.
        labels_of: Labels of a run's test chips, to score its predictions again.
        trial: Only say what would happen.

    Raises:
        MergeError: `other` holds no records, or is ours.
    """
    if other.root.resolve() == mine.root.resolve():
        raise MergeError(f"{other.root} is the store itself; name another one")
    if not any((other.root / kind).is_dir() for kind in ARTEFACTS):
        raise MergeError(
            f"{other.root} is no store: it has neither a folder pretrain/ nor evaluate/"
        )
    result = Merged()
    taken: dict[str, str] = {}  # weights of pretrainings taken in, by key
    for kind in ("pretrain", "evaluate"):
        for name in sorted(other.keys(kind)):
            folder = other.folder(kind, name)
            if not (folder / "record.json").exists():
                continue  # a failure or unfinished work: not a result
            what = f"{kind}/{name[:12]}"
            try:
                record = _checked(kind, name, folder, other, mine, taken, labels_of)
            except (DamagedRecordError, MergeError, OSError, ValueError) as error:
                result.refused.append((what, str(error)))
                continue
            if kind == "pretrain":
                taken[name] = record.weights_digest
            _take(kind, record, folder, mine, result, what, trial)
    return result


def _checked(
    kind: Kind,
    name: str,
    folder: Path,
    other: Store,
    mine: Store,
    taken: dict[str, str],
    labels_of: Labels,
) -> PretrainRecord | RunRecord:
    """Return a record whose every claim that can be checked was checked."""
    if not KEY.fullmatch(name):
        raise MergeError(f"{name!r} is not a key (64 hexadecimal digits)")
    for path in (folder, *folder.iterdir()):
        if path.is_symlink():
            raise MergeError(f"{path.name} is a link; links are not followed")
    if (folder / "record.json").stat().st_size > LARGEST_RECORD:
        raise MergeError("its record is larger than any record can be")
    record = other.read(kind, name)
    for file, digest_field in ARTEFACTS[kind].items():
        path = folder / file
        if not path.is_file():
            raise MergeError(f"{file} is missing beside its record")
        expected, found = getattr(record, digest_field), file_digest(path)
        if found != expected:
            raise MergeError(f"{file} has SHA-256 {found[:12]}, its record says {expected[:12]}")
    if isinstance(record, RunRecord):
        start = str(record.identity.get("start"))
        ours = mine.read("pretrain", start) if KEY.fullmatch(start) else None
        known = ours.weights_digest if ours else taken.get(start)
        if known is not None and known != record.weights_digest:
            raise MergeError(
                f"it was measured with weights {record.weights_digest[:12]}, but pretraining "
                f"{start[:12]} has {known[:12]}"
            )
        _check_scores(record, folder / "predictions.npz", labels_of)
    return record


def _check_scores(record: RunRecord, path: Path, labels_of: Labels) -> None:
    from ..results.metrics import METRICS

    with np.load(path, allow_pickle=False) as stored:
        if set(stored.files) != {"classes", "scores"}:
            raise MergeError(f"predictions.npz holds {stored.files}, not classes and scores")
        classes = stored["classes"]
    if classes.shape != (record.test_count,) or not np.issubdtype(classes.dtype, np.integer):
        raise MergeError(
            f"predictions.npz has {classes.shape} {classes.dtype} classes, the record "
            f"{record.test_count} test chips"
        )
    known = labels_of(record.identity)
    if known is None:
        return
    labels, count = known
    if labels.shape != classes.shape:
        raise MergeError(f"{len(classes)} predictions of {len(labels)} test chips")
    if classes.min() < 0 or classes.max() >= count:
        raise MergeError(f"it predicts a class outside 0..{count - 1}")
    for metric, score in METRICS.items():
        found, claimed = score(labels, classes.astype(np.int64)), getattr(record, metric)
        if abs(found - claimed) > 1e-9:
            raise MergeError(f"its predictions have {metric} {found:.6f}, it claims {claimed:.6f}")


def _take(
    kind: Kind,
    record: PretrainRecord | RunRecord,
    folder: Path,
    mine: Store,
    result: Merged,
    what: str,
    trial: bool,
) -> None:
    try:
        ours = mine.read(kind, record.key)
    except DamagedRecordError as error:
        result.conflicts.append((what, f"ours is damaged: {error}"))
        return
    if ours is not None:
        difference = _difference(ours, record)
        if difference:
            result.conflicts.append((what, difference))
        else:
            result.same.append(what)
        return
    target = mine.folder(kind, record.key)
    busy = [p.name for p in target.glob("*") if not p.name.startswith("attempt-")]
    if busy:
        result.conflicts.append((what, f"it is being computed here ({', '.join(sorted(busy))})"))
        return
    if not trial:
        for file in (*ARTEFACTS[kind], *EXTRAS[kind]):
            if (folder / file).is_file():
                write_atomic(target / file, lambda t, f=file: shutil.copyfile(folder / f, t))
        if not mine.write(kind, record):
            result.conflicts.append((what, "another process wrote it in the meantime"))
            return
    result.added.append(what)


def _difference(ours: Any, theirs: Any) -> str:
    """Return in what two records of one key differ, apart from how they were made."""
    kept = set(type(ours).model_fields) - {"provenance", "images_per_s"}
    parts = [
        f"{name} is {_short(getattr(ours, name))} here and {_short(getattr(theirs, name))} there"
        for name in sorted(kept)
        if getattr(ours, name) != getattr(theirs, name)
    ]
    return "; ".join(parts)


def _short(value: Any) -> str:
    return value[:12] if isinstance(value, str) else str(value)
