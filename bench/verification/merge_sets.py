"""Copy the descriptions of data sets and pools of another store into ours, with the records."""

from pathlib import Path
from typing import TYPE_CHECKING

from ...results.record import PretrainRecord, RunRecord
from ..data.find_set import DIGEST, Splits
from ..data.set_descriptions import FOLDER, SetDescription, set_path, write_description, write_set
from ..data.set_union import DifferentSetError, united
from ..store.records import Store

if TYPE_CHECKING:
    from .merge import Merged


class SetMerge:
    """The descriptions of a merge; each is copied once, or adds what ours lacks."""

    def __init__(
        self, splits: Splits, other: Store, mine: Store, result: "Merged", *, dry_run: bool
    ) -> None:
        """Take the stores of a merge, and its result, to which the outcome is added."""
        self._splits, self._other, self._mine = splits, other, mine
        self._result, self._dry_run = result, dry_run
        self._seen: set[tuple[str, str, str]] = set()
        self._united: set[Path] = set()

    def of_record(self, record: PretrainRecord | RunRecord) -> None:
        """Copy what describes the data set, or the pools, of a record."""
        identity = record.identity
        if isinstance(record, RunRecord):
            digests = identity["data_digest"], identity["split_digest"]
            self._copy(identity["dataset"], *digests, None)
        else:
            for one in identity.get("pool") or []:
                self._copy("", one["digest"], one.get("split", ""), one["count"])

    def _copy(self, name: str, data_digest: str, split: str, count: int | None) -> None:
        """Copy the description of a set, or add its groups and facts to ours.

        Args:
            name: Its name; empty for a member of a pool, whose name says how it is read.
            data_digest: Digest of its pixels.
            split: Digest of its split; empty for a pool.
            count: Number of chips that a pretraining claims; None for a data set.
        """
        wanted = name, data_digest, split
        valid = [DIGEST.fullmatch(one) for one in (data_digest, split or data_digest)]
        if wanted in self._seen or not all(valid):
            return
        self._seen.add(wanted)
        ours, known = (
            self._splits.described(store.root, data_digest, split, name)
            for store in (self._mine, self._other)
        )
        if known is None:
            why = self._splits.damaged.get((data_digest, split))
            if ours is None and why:
                self._result.refused.append((f"{FOLDER}/*-{data_digest[:12]}-*", why))
            return
        if ours is not None and known.given == ours.given:
            self._unite(ours, known)
            return
        if ours is not None and known.given != name:  # ours has it by another name
            return
        claimed = int((~known.split.is_test).sum()) if split else known.summary.count
        if count is not None and claimed != count:
            why = f"it claims {claimed} chips, the pretrainings on it {count}"
            self._result.refused.append((f"{FOLDER}/{known.given[:40]}", why))
            return
        if not self._dry_run:
            write_description(self._mine.root, known.given, known.split, known.summary)
        self._result.sets.append(known.given)

    def _unite(self, ours: SetDescription, known: SetDescription) -> None:
        """Add the groups and facts that ours lacks; a contradiction is a conflict."""
        digests = ours.summary.data_digest, ours.summary.split_digest
        path = set_path(self._mine.root, ours.given, *digests)
        if path in self._united or ours.summary != known.summary:
            return
        self._united.add(path)
        try:
            whole = united(ours, known, (str(self._mine.shown), str(self._other.shown)))
        except DifferentSetError as error:
            self._result.conflicts.append((f"{FOLDER}/{ours.given[:40]}", str(error)))
            return
        if whole is ours:
            return
        if not self._dry_run:
            write_set(path, whole)
        self._result.sets.append(ours.given)
        if ours.split.group is None and whole.split.group is not None:
            self._result.grouped.append(ours.given)
