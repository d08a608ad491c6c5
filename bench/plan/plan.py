"""A grid compared with the store: the state of every pretraining and run."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...results.scores import labels_in_words
from ..data.find_set import find_set
from ..data.names import place_of, set_of
from ..data.packed import Summary
from ..data.published_sets import published_set
from ..data.registry import HELD_OUT
from ..given_file import GivenFile
from ..given_identity import weights_of
from ..grid.applicable import NotApplicable, applicable, unmeasured
from ..grid.at_problems import check_states
from ..grid.expand import PlannedPretraining, PlannedRun, pools_of, pretrainings, runs
from ..grid.given_rows import given_rows
from ..grid.schema import Grid, as_list, pool_of
from ..grid.trials import tuning_grid
from ..grid.validate import check_data, validate
from ..identity import Job, Run, Watched
from ..method_facts.contract_outcomes import failed_contracts
from ..method_facts.method_info import MethodInfo, describe
from ..store.records import Store
from .budget import with_budget
from .entry import Cause, Entry, find_entry
from .filters import Filters
from .given_files import find_given
from .overlaps import Shared, overlaps_in, own_copies, refuse_overlaps, sharing_of
from .seen import seen_sharing
from .stale import StaleIndex
from .trainings import by_training, set_running
from .tuning import refuse_known_chips, trials_of, waiting_for, with_choices

WithRuns = tuple[Entry[PlannedPretraining], list[Entry[PlannedRun]]]


@dataclass(frozen=True)
class Plan:
    """Every pretraining and run of a grid, in the order of the file."""

    grid: Grid
    methods: dict[str, MethodInfo]
    pretrain: list[Entry[PlannedPretraining]]
    runs: list[Entry[PlannedRun]]
    data: dict[str, Summary]  # of data sets and pools that are prepared or described in the store
    unpacked: list[str] = field(default_factory=list)  # sets without packed pixels
    uncompared: list[str] = field(default_factory=list)  # sets not compared with --data yet
    # Chips that each pool, as named in the grid, shares with each data set.
    sharing: Shared = field(default_factory=dict)
    own: Shared = field(default_factory=dict)  # so for the training split of a user's data set
    not_applicable: list[NotApplicable] = field(default_factory=list)  # left out
    failing: set[str] = field(default_factory=set)  # methods that fail their contract
    moved: list[str] = field(default_factory=list)  # of an archive: versions that differ from ours
    files: dict[str, GivenFile] = field(default_factory=dict)  # of given weights, by their key
    seen: Shared = field(default_factory=dict)  # chips that given encoders have seen, as declared
    untimed: list[PlannedPretraining] = field(default_factory=list)  # to time before the work
    tuning: "Plan | None" = None  # the trials of [tune]
    open_trials: bool = False  # some of them are missing; those that failed are not

    @property
    def entries(self) -> list[Entry[Any]]:
        """Its pretrainings, then its runs."""
        return [*self.pretrain, *self.runs]

    @property
    def overlaps(self) -> list[str]:
        """A statement for each pool that holds test chips."""
        return [] if self.grid.of_trials else overlaps_in(self.sharing)

    @property
    def counted(self) -> list[tuple[Shared, tuple[int | None, float]]]:
        """The counts of pools and of training splits, with cap and share of their draws."""
        drawn = self.grid.pretrain.pool_cap, max(as_list(self.grid.pretrain.pool_fraction))
        return [(self.sharing, drawn), (self.own, (None, 1.0))]

    def to_prepare(self) -> list[str]:
        """Return the sets that must be packed before the missing work, with their paths."""
        missing = [name for name in self.needs(done=False) if name in self.unpacked]
        return list(map(place_of, missing))

    def needs(self, *, done: bool = True) -> list[str]:
        """Return the sets that the planned work reads, or only the missing work."""
        wanted = {e.planned.dataset for e in self.runs if done or e.state != "done"}
        for entry in self.pretrain:
            if done or entry.state != "done":
                wanted |= set(map(set_of, entry.planned.pool))
                watched = self.grid.pretrain.watch if entry.planned.recipe else None
                wanted |= {watched} if watched else set()
        return [name for name in needs(self.grid, self.methods) if name in wanted]

    def counts(self) -> dict[str, int]:
        """Return how many runs are in each state."""
        return dict(Counter(entry.state for entry in self.runs))

    def grouped(self) -> list[WithRuns]:
        """Return every pretraining with its runs."""
        runs_of: dict[int, list[Entry[PlannedRun]]] = defaultdict(list)
        for entry in self.runs:
            runs_of[id(entry.planned.pretraining)].append(entry)
        return [(start, runs_of[id(start.planned)]) for start in self.pretrain]

    def trainings(self) -> list[list[WithRuns]]:
        """Return every pretraining with its runs, those of one training together, longest first."""
        return by_training(self.grouped())

    def job(self, starts: list[PlannedPretraining], own: list[Run]) -> Job:
        """Return a job with pretrainings of one training, the longest first, and some runs."""
        start = starts[0]
        identity, *earlier = [one.identity for one in starts if one.identity]
        file = self.files.get(weights_of(identity).key)
        label = describe_pretraining(start.without_at() if earlier else start)
        watch = self.data.get(self.grid.pretrain.watch or "") if identity.recipe else None
        watched = Watched(watch.name, watch.data_digest, watch.split_digest) if watch else None
        return Job(label, identity, start.pool, own, file, watched, tuple(earlier))

    def jobs(self) -> list[Job]:
        """Return the missing work, one job per training, without those that are running."""
        result = []
        for training in self.trainings():
            if any(start.state == "running" for start, _ in training):
                continue
            starts, missing = [], []
            for start, own in training:
                runs = [e.planned.identity for e in own if e.planned.identity and e.to_do]
                if start.planned.identity and (runs or start.state != "done"):
                    starts.append(start.planned)
                    missing += runs
            if starts:
                result.append(self.job(starts, missing))
        return sorted(result, key=lambda job: job.pretraining.recipe is None)


def counted(counts: Mapping[str, int]) -> str:
    """Return counts as words: 3 done, 1 failed."""
    return ", ".join(f"{count} {name}" for name, count in counts.items())


def describe_pretraining(planned: PlannedPretraining) -> str:
    """Return the row of a pretraining, with its seed if that is not 0."""
    return planned.row + (f", seed {planned.seed}" if planned.seed else "")


def describe_entry(entry: Entry[Any]) -> str:
    """Return a pretraining or a run of a plan in words."""
    planned = entry.planned
    if isinstance(planned, PlannedPretraining):
        return describe_pretraining(planned)
    return describe_run(planned)


def describe_run(run: PlannedRun) -> str:
    """Return a run in words: pretraining, data set, protocol, settings, shots, condition, seed."""
    parts = (
        describe_pretraining(run.pretraining), run.dataset, run.protocol, run.swept,
        labels_in_words(run.shots), run.condition, f"seed {run.seed}",
    )  # fmt: skip
    return ", ".join(filter(None, parts))


def make_plan(
    grid: Grid,
    store: Store,
    data_dir: Path,
    filters: Filters | None = None,
    versions: Mapping[str, str] | None = None,
    *,
    published: bool = False,
) -> Plan:
    """Expand a grid and look up every pretraining and run in the store.

    Args:
        grid: The grid.
        store: The store; its folder need not exist.
        data_dir: The data folder; it need not exist if the store describes the sets.
        filters: The part of the grid to plan.
        versions: Name of a set -> start of the pixel digest of the version to use.
        published: Give sets that are not prepared their published sizes. Their work then has keys,
            which are not those of the real work.

    Raises:
        GridError: The grid cannot be run as written, or a filter matches nothing.
        OverlapError: A pool shares chips with a test set, and the grid does not allow it.
        AmbiguousSetError: The store has several versions of a set, and `versions` chooses none.
    """
    filters = filters or Filters()
    methods = describe(grid.method_names(), store.root)
    validate(grid, methods, store.root)
    found = {
        name: find_set(place_of(name), data_dir, store.root, versions)
        for name in needs(grid, methods)
    }
    data = {name: one.summary for name, one in found.items() if one}
    known = data | (_published(grid, methods, found.keys() - data) if published else {})
    given = find_given(grid, methods, store)
    tuning, trials = None, []
    chosen = grid
    if trial_grid := tuning_grid(grid, methods, filters.methods):
        tuning = make_plan(trial_grid, store, data_dir, None, versions, published=published)
        tuned = place_of(trial_grid.evaluate.datasets[0]).removesuffix(HELD_OUT)
        base = find_set(tuned, data_dir, store.root, versions)
        refuse_known_chips(tuning, base and base.summary, data, store.root)
        trials = trials_of(tuning, store)
        chosen = with_choices(grid, trials, methods)
    starts = pretrainings(chosen, methods, known.get, given)
    if tuning:
        starts = waiting_for(trials, starts)
    budgeted = with_budget(grid, starts, store)
    starts = budgeted.planned + given_rows(grid, given, methods)
    pools = pools_of(starts)
    planned = runs(grid, starts, methods, known.get)
    filters.check(planned)
    planned = [run for run in planned if filters.matches(run)]
    planned, refused = applicable(planned, store.root)
    refused += unmeasured(grid, list(filter(filters.of_row, starts)), methods, [
        name for name in grid.evaluate.protocols if name in (filters.protocols or [name])
    ])  # fmt: skip
    wanted = {id(run.pretraining) for run in planned}
    starts = [start for start in starts if id(start) in wanted]
    check_data(grid, known, methods)
    check_states(starts)
    shared = sharing_of(grid, data, pools, store)
    refuse_overlaps(grid, shared)
    stale = StaleIndex(store, starts, planned)
    pretrain = [find_entry("pretrain", start, store, stale) for start in starts]
    set_running(pretrain, store)
    entries = [find_entry("evaluate", run, store, stale) for run in planned]
    entry_of = {id(entry.planned): entry for entry in pretrain}
    for entry in entries:
        start = entry_of[id(entry.planned.pretraining)]
        if entry.state != "done" and start.state == "failed":
            entry.set("failed", Cause.PRETRAINING_FAILED, start.reason, entry.failure_class)
        elif entry.state != "done" and start.record and not store.encoder(str(start.key)).exists():
            entry.set(entry.state, Cause.NO_WEIGHTS, start.planned.label, entry.failure_class)
    return Plan(
        grid=grid,
        methods=methods,
        pretrain=pretrain,
        runs=entries,
        data=data,
        unpacked=[name for name, one in found.items() if not (one and one.packed)],
        uncompared=[name for name, one in found.items() if one and not one.compared],
        sharing=shared,
        own=own_copies(grid, data, store),
        not_applicable=refused,
        failing=set(failed_contracts(store, methods)),
        files={one.identity.key: GivenFile(one.entry.weights, one.entry.stated()) for one in given},
        seen=seen_sharing(grid, data, data_dir, store, versions),
        untimed=budgeted.untimed_of(starts),
        tuning=tuning,
        open_trials=any(trial.state == "open" for trial in trials),
    )


def _published(
    grid: Grid, methods: dict[str, MethodInfo], names: Iterable[str]
) -> dict[str, Summary]:
    """Return the sets with these names by their published sizes, where these are known."""
    pools = {
        name for one in grid.entries for name in pool_of(grid.pretrain, one, methods[one.name])
    }
    sets = {
        name: published_set(name, [pool for pool in pools if set_of(pool) == name])
        for name in names
    }
    return {name: one for name, one in sets.items() if one}


def needs(grid: Grid, methods: dict[str, MethodInfo]) -> list[str]:
    """Return the full names of the prepared sets that a grid reads, each once.

    A pool is written `pool:<name>`; the training split of a data set is read from the data set.
    """
    pools = [pool_of(grid.pretrain, entry, methods[entry.name]) for entry in grid.entries]
    sets = [set_of(name) for pool in pools for name in pool]
    return list(dict.fromkeys([*grid.evaluate.datasets, *sets]))
