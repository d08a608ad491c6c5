"""Checks that an archive holds what verifies its runs: predictions and test labels."""

from ...results.record import RunRecord
from ..data.packed import Summary
from ..data.set_descriptions import DELETE, FOLDER, read_set
from ..data.splits import DamagedSetError
from ..grid.expand import PlannedRun
from ..store.archive import AGAIN, ArchivedStore, ArchiveError
from .entry import Entry


def described(file: str, store: ArchivedStore) -> Summary:
    """Return the summary of a data set or pool.

    Raises:
        ArchiveError: Its description is damaged, or contradicts its split.
    """
    try:
        known = read_set(store.root / FOLDER / file)
    except DamagedSetError as error:
        raise ArchiveError(store.in_words(error).replace(DELETE, AGAIN)) from error
    if problem := known.problem(card=False):
        raise ArchiveError(
            f"{store.path}: {problem} ({FOLDER}/{file}), so no run on it can be verified; {AGAIN}"
        )
    return known.summary


def refuse_unverifiable(
    runs: list[Entry[PlannedRun]], data: dict[str, Summary], store: ArchivedStore
) -> None:
    """Refuse finished runs whose predictions or test labels are not in the archive.

    `sarbench archive` writes both, so they were removed.

    Raises:
        ArchiveError: It names the first of them.
    """
    digests = {(known.data_digest, known.split_digest) for known in data.values()}
    lacking: dict[str, list[str]] = {}
    for record in (entry.record for entry in runs if isinstance(entry.record, RunRecord)):
        of_run = record.identity.get("data_digest"), record.identity.get("split_digest")
        if of_run not in digests:
            what = f"a description of {record.identity.get('dataset')} in {FOLDER}/"
            lacking.setdefault(what, []).append(record.key)
        elif not store.has_predictions(record.key):
            lacking.setdefault("predictions", []).append(record.key)
    for what, keys in lacking.items():
        which = f"run evaluate/{keys[0][:12]} is"
        if len(keys) > 1:
            which = f"{len(keys)} runs, such as evaluate/{keys[0][:12]}, are"
        raise ArchiveError(
            f"{store.path}: {which} without {what}, so nothing verifies the scores; {AGAIN}"
        )
