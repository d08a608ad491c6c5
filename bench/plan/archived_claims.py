"""The plan of an archive compared with the identities of its records.

The plan repeats fields of identities, which keys protect. A field that differs would show a record
in the row or column of another one.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from ..data.listing import SIDES
from ..data.packed import Summary
from ..data.pools import pool_members
from ..data.sharing import Sharing
from ..grid.expand import PlannedPretraining, PlannedRun, version_of
from ..grid.schema import as_list, describe_pool
from ..grid.sweeps import AT
from ..identity import KINDS, fill, pool_count, to_json
from ..method_facts.method_info import MethodInfo
from ..store.archive import AGAIN, ArchivedStore, ArchiveError
from .entry import Entry
from .plan import Plan, describe_entry

WARMUP = "warmup_epochs"  # a budget changes it after the choice
Pairs = Mapping[str, tuple[Any, Any]]  # name of a field -> its value in the plan and the identity


def refuse_edited(plan: Plan, store: ArchivedStore) -> None:
    """Refuse a plan that contradicts the records of its archive, or leaves one out.

    Args:
        plan: The whole plan of the archive.
        store: The store in it.

    Raises:
        ArchiveError: It names the first contradiction.
    """
    for problem in _problems(plan, store):
        raise ArchiveError(f"{store.path}: {problem}, so it was edited; {AGAIN}")


def _problems(plan: Plan, store: ArchivedStore) -> Iterator[str]:
    for entry in plan.pretrain:
        yield from _contradiction(entry, _of_start(entry.planned, plan))
    for entry in plan.runs:
        yield from _contradiction(entry, _of_run(entry.planned, plan.data))
    yield from _listed_twice((entry.planned.row, entry.planned.seed) for entry in plan.pretrain)
    yield from _listed_twice(
        (id(one.pretraining), one.column, one.seed)
        for one in (entry.planned for entry in plan.runs)
    )
    for kind, entries in zip(KINDS, (plan.pretrain, plan.runs), strict=True):
        if extra := sorted(store.keys(kind) - {str(one.key) for one in entries if one.record}):
            yield (
                f"{len(extra)} of its records, such as {kind}/{extra[0][:12]}, are not finished "
                "in its plan"
            )
    for pool, counted in plan.sharing.items():
        yield from _impossible(pool, counted, plan.data)
        if not all(_fits(one.drawn, pool, plan) for one in counted.values()):
            yield f"its plan has impossible numbers of chips for the pool {describe_pool(pool)}"
    for names, counted in (*plan.own.items(), *plan.seen.items()):
        yield from _impossible(names, counted, plan.data)


def _listed_twice(points: Iterable[tuple[Any, ...]]) -> Iterator[str]:
    if twice := sum(count - 1 for count in Counter(points).values()):
        yield f"{twice} pretrainings or runs are in its plan twice"


def _contradiction(entry: Entry[Any], pairs: Pairs) -> Iterator[str]:
    if wrong := [name for name, (claimed, known) in pairs.items() if claimed != known]:
        yield (
            f"its plan and the identity of {str(entry.key)[:12]} ({describe_entry(entry)}) differ "
            f"in {', '.join(wrong)}"
        )


def _of_start(planned: PlannedPretraining, plan: Plan) -> Pairs:
    identity = planned.identity
    if identity is None:
        return {}
    recipe = planned.recipe and fill(to_json(planned.recipe), {})
    chosen = {name: one for name, one in planned.tuned.items() if name != WARMUP}
    at = planned.axes.get(AT)
    drawn = identity.encoder is not None  # else every seed is the same encoder
    return {
        "method": (planned.method, identity.method),
        "seed": (planned.seed, identity.seed if drawn else planned.seed),
        "version": (_version(planned, plan.methods), identity.method_version),
        "settings": (planned.config, identity.config),
        "encoder": (planned.encoder, identity.encoder),
        "recipe": (recipe, identity.recipe),
        "tuned recipe": (chosen, {name: (identity.recipe or {}).get(name) for name in chosen}),
        "pool": (pool_members(planned.pool, plan.data.get), identity.pool),
        "first weights": (planned.init, identity.init),
        "share of the steps": (None if at == 1 else at, identity.at),
    }


def _version(planned: PlannedPretraining, methods: dict[str, MethodInfo]) -> int | None:
    info = methods.get(planned.method)
    return info and version_of(info, planned.config, methods)


def _of_run(planned: PlannedRun, data: Mapping[str, Summary]) -> Pairs:
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


def _impossible(
    names: Sequence[str], counted: Mapping[str, Sharing], data: Mapping[str, Summary]
) -> Iterator[str]:
    """Yield the data sets of which a plan counts more chips than there are."""
    for name, one in counted.items():
        known = data.get(name)
        train, test = (sum(known.counts[side].values()) if known else 0 for side in SIDES)
        pairs = (one.train, train), (one.test, test), (one.copied or 0, test)
        if min(one.vehicles, one.vehicle_chips) < 0 or any(not 0 <= n <= most for n, most in pairs):
            yield f"its plan counts impossible numbers of chips of {name} in {', '.join(names)}"


def _fits(drawn: Sequence[int], pool: Sequence[str], plan: Plan) -> bool:
    """Return whether these numbers of chips can be a draw from the members of a pool."""
    pretrain = plan.grid.pretrain
    counts = [member["count"] for member in pool_members(pool, plan.data.get) or ()]
    wanted = pool_count(sum(counts), pretrain.pool_cap, max(as_list(pretrain.pool_fraction)))
    each = len(drawn) == len(counts) and all(
        0 <= n <= most for n, most in zip(drawn, counts, strict=True)
    )
    return each and sum(drawn) == wanted
