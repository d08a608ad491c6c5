"""A grid planned from a store and the archives of its parts."""

import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from ..data.find_set import AmbiguousSetError
from ..data.names import set_of
from ..data.registry import cards_in
from ..data.set_descriptions import FOLDER, add_stored_cards, every_set, read_checked_set, write_set
from ..data.set_union import DifferentSetError, united
from ..data.sharing import FOLDER as SHARING
from ..data.sharing import Sharing, counts_file, read_counts, write_counts
from ..data.splits import DamagedSetError
from ..grid.schema import Grid, GridError
from ..grid.seen_names import known_names
from ..identity import KINDS
from ..method_facts.method_info import cache_folder
from ..store.archive import AGAIN, ArchivedStore, ArchiveError, unpacked
from ..store.atomic import copy_once
from ..store.joined import JoinedStore
from ..store.records import Store
from ..store.step_times import FOLDER as STEP_TIMES
from ..suggest import shortened
from .archived import read_plan
from .entry import Cause, Entry
from .filters import Filters
from .given_files import remember
from .plan import Plan, make_plan

LISTED = 5  # conflicts that a message lists
COPIED = (SHARING, STEP_TIMES)  # folders that those of archives are added to


class PartsError(ValueError):
    """Sources that contradict each other."""


@dataclass(frozen=True)
class Parts:
    """A store and archives, read as one store.

    Attributes:
        store: All sources.
        plans: The plan of each archive.
    """

    store: JoinedStore
    plans: list[Plan]

    def plan(
        self, grid: Grid, data_dir: Path, filters: Filters, versions: Mapping[str, str]
    ) -> Plan:
        """Return the plan of a grid; arguments and errors as of `make_plan`.

        Raises:
            PartsError: Two sources have different records of a pretraining or run of the grid.
        """
        try:
            made = make_plan(grid, self.store, data_dir, filters, versions)
        except (GridError, AmbiguousSetError) as error:
            text = str(error).replace(str(self.store.root), str(self.store.shown))
            raise type(error)(text) from error
        entries = made.entries
        found = [self.store.conflicts.get(str(entry.key)) for entry in entries]
        if conflicts := list(filter(None, found)):
            raise PartsError(
                "records of the sources differ or are damaged, and a run has one number; leave "
                "out the source that is wrong:\n" + shortened(conflicts, LISTED, "\n")
            )
        self._add_states(made)
        for part in self.plans:
            _add_seen(made, part)
            made.failing.update(
                name for name in part.failing if part.methods.get(name) == made.methods.get(name)
            )
        return made

    def _add_states(self, made: Plan) -> None:
        """Take over the failures and stale results that the archives list."""
        known: dict[str | None, Entry] = {}
        for part in self.plans:
            for entry in part.entries:
                if entry.key and entry.state in ("failed", "stale"):
                    known.setdefault(entry.key, entry)
        for start, runs in made.grouped():
            _add_state(start, known)
            for run in runs:
                if run.state == "done":
                    continue
                if run.cause == Cause.NO_WEIGHTS:  # an archive has none
                    run.set("new", Cause.NOT_RUN)
                _add_state(run, known)
                if start.state == "failed":
                    cause = Cause.PRETRAINING_FAILED
                    run.set("failed", cause, start.reason, run.failure_class)
                elif run.cause == Cause.PRETRAINING_FAILED:
                    run.set("new", Cause.NOT_RUN)


def _add_state(entry: Entry, known: Mapping[str | None, Entry]) -> None:
    there = known.get(entry.key)
    if entry.state == "new" and there is not None:
        entry.set(there.state, there.cause, there.detail, there.failure_class)


@contextmanager
def open_parts(store: Store, paths: Sequence[Path]) -> Iterator[Parts]:
    """Yield a store and archives as one store.

    Args:
        store: The store; its folder need not exist. It is only read.
        paths: The archives.

    Raises:
        ArchiveError: A file is not a whole, unchanged archive, or two sources describe a data set
            or pool differently.
    """
    with ExitStack() as opened:
        archives = [opened.enter_context(unpacked(path, whole=True)) for path in paths]
        plans = [read_plan(one, Filters()) for one in archives]
        root = Path(opened.enter_context(TemporaryDirectory(prefix="sarbench-")))
        _link_caches(root, store)
        described: dict[str, str] = {}
        for source in (store, *archives):
            _add_sets(root, source, described)
        for archive, plan in zip(archives, plans, strict=True):
            _add_counts(root, archive, plan)
            _add_step_times(root, archive)
            starts = [one.planned for one in plan.pretrain]
            remember(plan.grid, plan.methods, starts, archive.path, root)
        yield Parts(JoinedStore(root, (store, *archives)), plans)


def _link_caches(root: Path, store: Store) -> None:
    """Link everything of a store but its records, or the user's caches without a store."""
    folder = cache_folder(store.root)
    for path in folder.iterdir() if folder.is_dir() else ():
        if path.name not in (*KINDS, FOLDER, *COPIED):
            (root / path.name).symlink_to(path.resolve())
    for name in COPIED:
        if (folder / name).is_dir():
            shutil.copytree(folder / name, root / name)


def _add_sets(root: Path, source: Store, described: dict[str, str]) -> None:
    """Copy the descriptions of sets; a damaged one of a store is skipped, as `plan` does.

    Args:
        root: Where they are put together.
        source: A store or archive.
        described: File of a description -> the sources that had it; this one is added.
    """
    add_stored_cards(source.root)
    for path in cards_in(source.root / FOLDER):
        copy_once(path, root / FOLDER / path.name)
    for path in every_set(source.root):
        try:
            known = read_checked_set(path)
        except DamagedSetError as error:
            if isinstance(source, ArchivedStore):
                raise ArchiveError(f"{source.path}: {error}; {AGAIN}") from error
            continue
        target, before = root / FOLDER / path.name, described.get(path.name)
        described[path.name] = f"{before} + {source.shown}" if before else str(source.shown)
        if before is None:
            target.parent.mkdir(exist_ok=True)
            shutil.copyfile(path, target)
            continue
        first = read_checked_set(target)
        if first.summary != known.summary:
            raise ArchiveError(
                f"{source.shown} describes {known.given} with other counts than the sources before "
                "it, with the same digests; leave out the source that is wrong"
            )
        try:
            whole = united(first, known, (before, str(source.shown)))
        except DifferentSetError as error:
            raise ArchiveError(str(error)) from error
        if whole is not first:
            write_set(target, whole)


def _add_step_times(root: Path, archive: ArchivedStore) -> None:
    """Copy the times of steps, which epochs under a budget follow from; the first one counts."""
    for path in sorted((archive.root / STEP_TIMES).glob("*.json")):
        copy_once(path, root / STEP_TIMES / path.name)


def _add_counts(root: Path, archive: ArchivedStore, plan: Plan) -> None:
    """Store the chips that pools share with data sets, as counted for an archive."""
    every = [(*one, drawn) for shared, drawn in plan.counted for one in shared.items()]
    for pool, counted, drawn in every:
        members = [plan.data[set_of(name)] for name in pool]
        for name, found in counted.items():
            path = counts_file(pool, members, *drawn, plan.data[name], root)
            known = read_counts(path)
            if known is None:
                write_counts(path, found)
            else:
                _refuse_other(known, found, f"{archive.path}: {', '.join(pool)} and {name}")


def _add_seen(made: Plan, part: Plan) -> None:
    """Take over the test chips that given encoders have seen, as counted for an archive."""
    datasets = made.grid.evaluate.datasets
    declared = {known_names(entry.seen or (), datasets) for _, entry in made.grid.weights()}
    for names in declared & part.seen.keys():
        for name, found in part.seen[names].items():
            if name in made.data and made.data[name] == part.data.get(name):
                known = made.seen.setdefault(names, {}).setdefault(name, found)
                _refuse_other(known, found, f"{', '.join(names)} and {name}")


def _refuse_other(known: Sharing, found: Sharing, where: str) -> None:
    if not known.agrees(found):
        raise ArchiveError(
            f"{where} share other numbers of chips than in the sources before; leave out the "
            "source that is wrong"
        )
