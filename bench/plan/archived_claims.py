"""The plan of an archive compared with the identities of its records.

The plan repeats fields of identities, which keys protect. A field that differs would show a record
in the row or column of another one.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ..data.packed import Summary
from ..data.pools import pool_members
from ..grid.expand import PlannedPretraining, PlannedRun, version_of
from ..grid.sweeps import AT
from ..identity import KINDS, fill, to_json
from ..method_facts.method_info import MethodInfo
from ..store.archive import AGAIN, PLAN, ArchivedStore, ArchiveError
from .entry import Entry
from .plan import describe_entry

Data = Mapping[str, Summary]
Methods = dict[str, MethodInfo]
Pairs = Mapping[str, tuple[Any, Any]]  # name of a field -> its value in the plan and the identity


def refuse_edited(
    pretrain: list[Entry[PlannedPretraining]],
    runs: list[Entry[PlannedRun]],
    data: Data,
    methods: Methods,
    store: ArchivedStore,
) -> None:
    """Refuse a plan that contradicts the records of its archive, or leaves one out.

    Args:
        pretrain: The pretrainings of the plan.
        runs: Its runs.
        data: Its data sets and pools.
        methods: Its facts of methods.
        store: The store in the archive.

    Raises:
        ArchiveError: It names the first contradiction.
    """
    for problem in _problems(pretrain, runs, data, methods, store):
        raise ArchiveError(f"{store.path}: {problem}, so {PLAN} was edited; {AGAIN}")


def _problems(
    pretrain: list[Entry[PlannedPretraining]],
    runs: list[Entry[PlannedRun]],
    data: Data,
    methods: Methods,
    store: ArchivedStore,
) -> Iterator[str]:
    for entry in pretrain:
        yield from _contradiction(entry, _of_start(entry.planned, data, methods))
    for entry in runs:
        yield from _contradiction(entry, _of_run(entry.planned, data))
    yield from _listed_twice((entry.planned.row, entry.planned.seed) for entry in pretrain)
    yield from _listed_twice(
        (id(one.pretraining), one.column, one.seed) for one in (entry.planned for entry in runs)
    )
    for kind, entries in zip(KINDS, (pretrain, runs), strict=True):
        if extra := sorted(store.keys(kind) - {str(one.key) for one in entries if one.record}):
            yield (
                f"{len(extra)} of its records, such as {kind}/{extra[0][:12]}, are not finished "
                "in its plan"
            )


def _listed_twice(points: Iterable[tuple[Any, ...]]) -> Iterator[str]:
    if twice := sum(count - 1 for count in Counter(points).values()):
        yield f"{twice} pretrainings or runs are in its plan twice"


def _contradiction(entry: Entry[Any], pairs: Pairs) -> Iterator[str]:
    if wrong := [name for name, (claimed, known) in pairs.items() if claimed != known]:
        yield (
            f"its plan and the identity of {str(entry.key)[:12]} ({describe_entry(entry)}) differ "
            f"in {', '.join(wrong)}"
        )


def _of_start(planned: PlannedPretraining, data: Data, methods: Methods) -> Pairs:
    identity = planned.identity
    if identity is None:
        return {}
    recipe = planned.recipe and fill(to_json(planned.recipe), {})
    at = planned.axes.get(AT)
    drawn = identity.encoder is not None  # else every seed is the same encoder
    return {
        "method": (planned.method, identity.method),
        "seed": (planned.seed, identity.seed if drawn else planned.seed),
        "version": (_version(planned, methods), identity.method_version),
        "settings": (planned.config, identity.config),
        "encoder": (planned.encoder, identity.encoder),
        "recipe": (recipe, identity.recipe),
        "tuned recipe": (planned.tuned, {n: (identity.recipe or {}).get(n) for n in planned.tuned}),
        "pool": (pool_members(planned.pool, data.get), identity.pool),
        "first weights": (planned.init, identity.init),
        "share of the steps": (None if at == 1 else at, identity.at),
    }


def _version(planned: PlannedPretraining, methods: Methods) -> int | None:
    info = methods.get(planned.method)
    return info and version_of(info, planned.config, methods)


def _of_run(planned: PlannedRun, data: Data) -> Pairs:
    identity, start, known = planned.identity, planned.pretraining, data.get(planned.dataset)
    if identity is None:
        return {}
    dataset = known and (known.name, known.data_digest, known.split_digest)
    return {
        "pretraining": (start.identity and start.identity.key, identity.start),
        "method": (start.method, identity.method),
        "data set": (dataset, (identity.dataset, identity.data_digest, identity.split_digest)),
        "protocol": (planned.protocol, identity.protocol),
        "settings": (planned.settings, identity.settings),
        "shots": (planned.shots, identity.shots),
        "seed": (planned.seed, identity.seed),
        "condition": (planned.condition or None, identity.condition),
    }
