"""Copy valid records of another store into ours, without overwriting anything."""

from dataclasses import dataclass, field
from pathlib import Path

from ...results.record import PretrainRecord, RunRecord
from ..data.find_set import DIGEST, Splits
from ..data.set_descriptions import add_stored_cards
from ..identity import KINDS, Kind, Pretraining, from_json
from ..store.atomic import copy_once, write_atomic
from ..store.records import (
    ENCODER,
    HISTORY,
    UNWEIGHTED,
    DamagedRecordError,
    Store,
    record_difference,
)
from ..store.run_predictions import PREDICTIONS_FILE
from ..store.sample_predictions import SAMPLES_FILE, check_stored
from ..store.step_times import read_step_time, step_time_file, write_step_time
from .merge_sets import SetMerge
from .verify_pretraining import encoder_problems
from .verify_run import Problem, RunVerifier, start_problems

# Files that are copied with a record, if they exist.
COPIED = {"pretrain": (ENCODER, HISTORY, SAMPLES_FILE), "evaluate": (PREDICTIONS_FILE,)}
LARGEST_RECORD = 2**20  # bytes
LARGEST_HISTORY = 2**26


class MergeError(ValueError):
    """A folder that is not a store, or a record that cannot be merged."""


@dataclass
class Merged:
    """The outcome of a merge for every record of the other store.

    Attributes:
        added: Records that were copied (or would be, in a dry run).
        same: Records that our store has with the same values.
        conflicts: Records that our store has with other values and keeps, with the difference.
        refused: Invalid records, with the reason.
        unscored: Added records whose scores could not be computed again, with the reason.
        unweighted: Added pretrainings without weights, as in an archive.
        completed: Records that our store had without some of their files, which were copied.
        sets: Names of the data sets and pools whose descriptions were copied.
        grouped: Those of `sets` that ours describes without groups of near duplicates, which were
            added: intervals over their test chips change.
    """

    added: list[str] = field(default_factory=list)
    same: list[str] = field(default_factory=list)
    conflicts: list[tuple[str, str]] = field(default_factory=list)
    refused: list[tuple[str, str]] = field(default_factory=list)
    unscored: list[tuple[str, str]] = field(default_factory=list)
    unweighted: list[str] = field(default_factory=list)
    completed: list[str] = field(default_factory=list)
    sets: list[str] = field(default_factory=list)
    grouped: list[str] = field(default_factory=list)

    def extend(self, other: "Merged") -> None:
        """Add the outcome of another merge."""
        for name, found in vars(other).items():
            getattr(self, name).extend(found)


def merge(
    other: Store,
    mine: Store,
    *,
    dry_run: bool = False,
    allow_unscored: bool = False,
) -> Merged:
    """Copy the valid records of another store into ours.

    Args:
        other: The other store; it is only read, and every claim in it is checked.
        mine: Our store; its own records are kept.
        dry_run: Return the outcome without copying.
        allow_unscored: Copy runs whose test labels are unknown too.

    Raises:
        MergeError: `other` is not a store, or is our store.
    """
    if other.root.resolve() == mine.root.resolve():
        raise MergeError(f"{other.root} is the store itself; name another store")
    if not other.has_results:
        raise MergeError(
            f"{other.root} is not a store: it has neither a folder pretrain/ nor evaluate/; name a "
            "store"
        )
    if not dry_run:
        mine.check_writable()
    add_stored_cards(other.root)
    work = _Merge(other, mine, dry_run, allow_unscored)
    for kind in KINDS:
        for name in sorted(other.keys(kind)):
            if other.record(kind, name).exists():
                work.copy(kind, name)  # without a record: a failure, or unfinished work
    return work.result


class _Merge:
    """The state of a merge."""

    def __init__(self, other: Store, mine: Store, dry_run: bool, allow_unscored: bool) -> None:
        self.other, self.mine = other, mine
        self.dry_run, self.allow_unscored = dry_run, allow_unscored
        self.result = Merged()
        self.splits = Splits([mine.root, other.root], mine.prepared)
        self.verifier = RunVerifier(self.splits)
        self.starts: dict[str, PretrainRecord] = {}  # valid ones of the other store
        self.sets = SetMerge(self.splits, other, mine, self.result, dry_run=dry_run)

    def copy(self, kind: Kind, name: str) -> None:
        """Copy one record, or note the reason why not."""
        what, folder = f"{kind}/{name[:12]}", self.other.folder(kind, name)
        try:
            record = self._read(kind, name, folder)
            unscored = ""
            if isinstance(record, PretrainRecord):
                self._check_start(record, folder)
                self.starts[name] = record
            else:
                unscored = self._check_run(record, folder)
        except (OSError, ValueError) as error:
            self.result.refused.append((what, str(error)))
            return
        if self._copy_record(kind, record, folder, what, unscored):
            self.sets.of_record(record)
            if isinstance(record, PretrainRecord):
                self._copy_step_time(record)

    def _read(self, kind: Kind, name: str, folder: Path) -> PretrainRecord | RunRecord:
        if not DIGEST.fullmatch(name):
            raise MergeError(f"{name!r} is not a key (64 hexadecimal digits)")
        for path in (folder, *folder.iterdir()):
            if path.is_symlink():
                raise MergeError(f"{path.name} is a link; links are not followed: copy the file")
        if self.other.record(kind, name).stat().st_size > LARGEST_RECORD:
            raise MergeError(f"its record is larger than {LARGEST_RECORD >> 20} MB")
        return self.other.read(kind, name)

    def _check_start(self, record: PretrainRecord, folder: Path) -> None:
        _refuse(
            [one for one in encoder_problems(record, folder / ENCODER) if one.kind != "missing"]
        )
        history = folder / HISTORY
        if history.exists() and history.stat().st_size > LARGEST_HISTORY:
            raise MergeError(f"{HISTORY} is larger than {LARGEST_HISTORY >> 20} MB")
        check_stored(folder)

    def _check_run(self, record: RunRecord, folder: Path) -> str:
        """Return the reason why the scores of a run cannot be computed again; empty if they can."""
        key = str(record.identity.get("start"))
        ours = self.mine.read("pretrain", key) if DIGEST.fullmatch(key) else None
        start = ours or self.starts.get(key)
        found = self.verifier.problems(record, folder / PREDICTIONS_FILE)
        unscored = [one.text for one in found if one.kind == "unscored"]
        _refuse([
            *(one for one in found if one.kind != "unscored"),
            *start_problems(
                record,
                start and start.weights_digest,
                start and start.identity.get("method"),
                why="is in neither store, or was refused",
            ),
        ])  # fmt: skip
        here = self.mine.record("evaluate", record.key).exists()
        if unscored and not (self.allow_unscored or here):
            raise MergeError(f"{unscored[0]}; or copy it unchecked with --allow-unscored")
        return unscored[0] if unscored else ""

    def _copy_record(
        self,
        kind: Kind,
        record: PretrainRecord | RunRecord,
        folder: Path,
        what: str,
        unscored: str,
    ) -> bool:
        """Copy one record with its files; return whether ours now has it with the same values."""
        target = self.mine.folder(kind, record.key)
        files = [
            name
            for name in COPIED[kind]
            if (folder / name).is_file() and not (target / name).exists()
        ]
        try:
            ours = self.mine.read(kind, record.key)
        except DamagedRecordError as error:
            self.result.conflicts.append((what, f"ours is damaged: {error}"))
            return False
        if ours is not None:
            difference = record_difference(ours, record)
            if difference:
                self.result.conflicts.append((what, difference))
            else:
                self.result.same.append(what)
                if files:
                    self.result.completed.append(what)
                    self._copy_files(files, folder, target)
            return not difference
        busy = [p.name for p in target.glob("*") if not p.name.startswith("attempt-")]
        if busy:
            why = f"it is being computed here ({', '.join(sorted(busy))})"
            self.result.conflicts.append((what, why))
            return False
        first = self._copy_files(files, folder, target)
        if not (first and (self.dry_run or self.mine.write(kind, record))):
            why = "another process wrote it in the meantime"
            self.result.conflicts.append((what, why))
            return False
        self.result.added.append(what)
        if kind == "pretrain" and ENCODER not in files:
            self.result.unweighted.append(what)
            if not self.dry_run:  # `check` then knows that these weights are not lost
                write_atomic(target / UNWEIGHTED, f"{self.other.shown.name}\n")
        if unscored:
            self.result.unscored.append((what, unscored))
        return True

    def _copy_files(self, names: list[str], folder: Path, target: Path) -> bool:
        """Copy files that our store lacks; return False if another process wrote one first."""
        if self.dry_run:
            return True
        copied = all(copy_once(folder / one, target / one) for one in names)
        if ENCODER in names:
            (target / UNWEIGHTED).unlink(missing_ok=True)
        return copied

    def _copy_step_time(self, record: PretrainRecord) -> None:
        """Copy the time of a step, from which a budget in core-seconds solves for the epochs."""
        if not record.identity.get("recipe"):
            return
        identity = from_json(Pretraining, record.identity)
        theirs, ours = (read_step_time(one, identity) for one in (self.other, self.mine))
        target = step_time_file(self.mine, identity)
        if theirs and not ours and not self.dry_run:
            write_step_time(self.mine, identity, theirs)
        elif theirs and ours and theirs.seconds != ours.seconds:
            what = (
                f"a step takes {ours.seconds:.3g} s per chip here and {theirs.seconds:.3g} s "
                'there, so a grid with budget = "core_seconds" has other epochs; ours is kept'
            )
            self.result.conflicts.append((f"{target.parent.name}/{target.stem}", what))


def _refuse(problems: list[Problem]) -> None:
    """Raise MergeError with the first problem and the number of other problems."""
    if problems:
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        raise MergeError(problems[0].text + more)
