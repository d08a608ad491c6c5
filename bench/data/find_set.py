"""Find the version of a data set or pool that a command needs, by digest and not by path.

The set packed from the data folder comes first, then the versions that the store describes or holds
packed. So a command that only reads needs neither raw nor prepared data.
"""

import re
import shlex
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ..store.records import Store, StoreError
from .chips import Chips
from .facts import Facts
from .names import card_of, full_name, split_name, stored_name
from .packed import Progress, Summary, stored_summaries, summary_from_json
from .prepare import is_packed, open_version, prepare, source_exists, summary
from .registry import card
from .set_descriptions import (
    FOLDER,
    SetDescription,
    add_stored_cards,
    descriptions_of,
    facts_of,
    read_checked_set,
    set_path,
    write_description,
)
from .splits import DamagedSetError, Split, shipped

DIGEST = re.compile(r"[0-9a-f]{64}")


class AmbiguousSetError(ValueError):
    """Several versions of a set in a store, of which the user must choose one."""


@dataclass(frozen=True)
class FoundSet:
    """The version of a set that a command uses.

    Attributes:
        summary: Its counts and digests.
        packed: True if its pixels are in the store, for new runs.
        compared: False if the data folder holds files that were not compared with it yet.
    """

    summary: Summary
    packed: bool
    compared: bool = True


def store_at(runs: Path) -> Store:
    """Return the store in a folder, which is created by the first write.

    Raises:
        StoreError: A part of the path is a file.
    """
    root = runs.expanduser().resolve()
    nearest = next(path for path in (root, *root.parents) if path.exists())
    if not nearest.is_dir():
        raise StoreError(f"{nearest} is a file; name a folder with --runs or SARBENCH_RUNS")
    add_stored_cards(root)
    return Store(root)


def find_set(
    given: str, data_dir: Path, root: Path, chosen: Mapping[str, str] | None = None
) -> FoundSet | None:
    """Return the version of a set, or None if neither data folder nor store has one.

    Args:
        given: Name of the set; a pool is written `pool:<name>`.
        data_dir: The data folder of the command; it need not exist.
        root: The store's folder.
        chosen: Name of a set -> first digits of the pixel digest of its version.

    Raises:
        AmbiguousSetError: The store has several versions and `chosen` does not name one.
    """
    given = full_name(given)
    name, pool = split_name(given)
    prefix = (chosen or {}).get(stored_name(given))
    packed = summary(name, data_dir, Store(root).prepared, pool=pool)
    if packed is not None and prefix is None:
        return FoundSet(packed, True)
    versions = _versions(given, root)
    if prefix is not None:
        versions = [one for one in versions if one.data_digest.startswith(prefix)]
        if not versions:
            raise AmbiguousSetError(
                f"the store {root} has no version of {given} whose digest starts with {prefix!r}; "
                f"it has: {_listed(_versions(given, root))}"
            )
    if len(versions) > 1:
        raise AmbiguousSetError(
            f"the store {root} has {len(versions)} versions of {given}: {_listed(versions)}. "
            f"Choose one with --pixels {given}=DIGEST, or name the folder of its files with --data"
        )
    if not versions:
        return None
    uncompared = prefix is None and source_exists(card_of(given), data_dir)
    return FoundSet(versions[0], is_packed(versions[0], Store(root).prepared), not uncompared)


def describe_set(given: str, found: Summary, root: Path) -> None:
    """Describe a packed set in the store, so that results can be read without its pixels."""
    path = set_path(root, full_name(given), found.data_digest, found.split_digest)
    if not path.exists() and is_packed(found, Store(root).prepared):
        write_description(root, full_name(given), open_set(given, found, root), found)


def prepare_set(
    given: str,
    data_dir: Path,
    store: Store,
    progress: Progress | None = None,
    processes: int = 1,
) -> tuple[Chips, str]:
    """Pack a set, named as in a grid, unless it is packed, and describe it in the store.

    Arguments and errors are those of `prepare`. Return it, and the sentence of `write_description`.
    """
    name, pool = split_name(given)
    chips, counts = prepare(
        name, data_dir, store.prepared, pool=pool, progress=progress, processes=processes
    )
    return chips, write_description(store.root, full_name(given), chips, counts)


def open_set(given: str, found: Summary, root: Path) -> Chips:
    """Open the version of a set with this summary.

    Raises:
        NotPreparedError: It is not packed in the store.
    """
    digests = found.data_digest, found.split_digest
    return open_version(card_of(given), *digests, Store(root).prepared)


class Splits:
    """Look-up of splits by digest: known without files, described in stores, or prepared.

    Attributes:
        damaged: Reason why a description cannot be used, by the digests of its pixels and split.
    """

    def __init__(self, roots: Sequence[Path], prepared: Path | None = None) -> None:
        """Keep the folders; nothing is read before it is needed.

        Args:
            roots: Stores.
            prepared: Folder of packed sets, for stores that do not describe them.
        """
        self._roots, self._prepared = tuple(roots), prepared
        self._found: dict[tuple[str, str, str], Split | None] = {}
        self.damaged: dict[tuple[str, str], str] = {}

    def find(self, dataset: str, data_digest: str, digest: str) -> Split | None:
        """Return the split with this digest, or None if it is not known."""
        key = (dataset, data_digest, digest)
        if key not in self._found:
            self._found[key] = self._search(*key)
        return self._found[key]

    def why_not(self, dataset: str, data_digest: str, digest: str) -> str:
        """Return the reason why a split was not found, and the advice to the user."""
        damaged = self.damaged.get((data_digest, digest))
        return (
            f"the classes of its test chips are not known here ({dataset}, split {digest[:12]}): "
            + (f"{damaged}; " if damaged else "")
            + f"run `sarbench data prepare {shlex.quote(dataset)}`, or copy {FOLDER}/ from the "
            "store of the run"
        )

    def _search(self, dataset: str, data_digest: str, digest: str) -> Split | None:
        if not (DIGEST.fullmatch(data_digest) and DIGEST.fullmatch(digest)):
            return None
        ours = shipped(dataset)
        if ours is not None and ours[0] == digest:
            return ours[1]
        for root in self._roots:
            known = self.described(root, data_digest, digest, dataset)
            if known is not None:
                return known.split
        if self._prepared is None:
            return None
        try:
            chips = open_version(card(dataset), data_digest, digest, self._prepared)
        except (OSError, LookupError, ValueError):
            return None
        return Split(
            chips.ids, chips.labels, chips.is_test, chips.classes, chips.group,
            facts_of(chips, dataset),
        )  # fmt: skip

    def facts(self, dataset: str, data_digest: str, digest: str) -> Facts | None:
        """Return the facts about the chips of a version of a set; None if it is not known here."""
        for root in self._roots:
            known = self.described(root, data_digest, digest, dataset)
            if known is not None and known.split.facts is not None:
                return known.split.facts
        found = self.find(dataset, data_digest, digest)
        return None if found is None else facts_of(found, dataset)

    def described(
        self, root: Path, data_digest: str, digest: str, name: str = ""
    ) -> SetDescription | None:
        """Return the checked description of a set in one store, of this name if there is one.

        `digest` is empty for a pool. Folders of other names may hold the same chips.
        """
        first: SetDescription | None = None
        pattern = f"*-{data_digest[:12]}-{digest[:12] or 'pool'}.json"
        for path in sorted((root / FOLDER).glob(pattern)):
            try:
                known = read_checked_set(path)
            except DamagedSetError as error:
                self.damaged[data_digest, digest] = str(error)
                continue
            if (known.summary.data_digest, known.summary.split_digest) == (data_digest, digest):
                if name in ("", known.given):
                    return known
                first = first or known
        return first


def _versions(given: str, root: Path) -> list[Summary]:
    """Return every version that the store describes or holds packed."""
    known = [one.summary for one in descriptions_of(root, given)]
    if not given.startswith("pool:folder:"):  # all packed folders have one name
        known += _packed_versions(given, Store(root).prepared)
    return list({(one.data_digest, one.split_digest): one for one in known}.values())


def _packed_versions(given: str, prepared: Path) -> list[Summary]:
    found, wanted = [], card_of(given)
    for stored in stored_summaries(prepared):
        with suppress(ValueError, KeyError, TypeError):
            if (stored["name"], stored["kind"]) == (wanted.name, wanted.kind):
                found.append(summary_from_json(wanted, stored))
    return found


def _listed(versions: list[Summary]) -> str:
    if not versions:
        return "none"
    return ", ".join(
        f"{one.data_digest[:12]} ({one.rendering or f'{one.count} chips'})" for one in versions
    )
