"""Differences between the plan of an archive and its grid, expanded again, in words."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import fields, replace
from typing import Any

from ..grid.applicable import NotApplicable, of_protocols
from ..grid.expand import PlannedPretraining, PlannedRun
from ..grid.trials import points_of
from ..identity import Pretraining
from ..method_facts.method_info import NO_FAMILY, MethodInfo
from ..suggest import shortened
from .expand_again import Expanded
from .plan import Plan, describe_pretraining, describe_run

# `[tune]` and measured steps: only the store in which the grid ran knows them.
OF_THE_STORE = {"waits_for", "failed_trials"}
OF_THE_GRID = [f.name for f in fields(PlannedPretraining) if f.name not in OF_THE_STORE]
# The expansion reads these facts from the present code; a newer one may have more of them.
OF_THE_CODE = {"protocols", "defaults", "source_recipe"}
FACTS = [f.name for f in fields(MethodInfo) if f.name not in OF_THE_CODE]


def differences_from_grid(plan: Plan, expanded: Expanded) -> Iterator[str]:
    """Yield a sentence for each difference in rows, columns, methods and their order.

    Pretrainings and runs that only one side has are left to `compare_with_grid`.
    """
    yield from _of_starts(plan, expanded)
    yield from _of_tuning(plan)
    starts = [describe_pretraining(one) for one in expanded.starts]
    runs = {describe_run(one): one for one in expanded.runs}
    yield from _order("rows", [describe_pretraining(e.planned) for e in plan.pretrain], starts)
    yield from _order("runs", [describe_run(entry.planned) for entry in plan.runs], list(runs))
    found = [describe_run(one.planned) for one in plan.runs if _other_run(one.planned, runs)]
    if found:
        yield f"the plan has other settings than the grid for {shortened(found)}"
    yield from _of_methods(plan, expanded.methods)
    yield from _of_not_applicable(plan, expanded)


def _of_starts(plan: Plan, expanded: Expanded) -> Iterator[str]:
    declared = {describe_pretraining(one): one for one in expanded.starts}
    found: dict[str, list[str]] = {}  # fields -> pretrainings
    for entry in plan.pretrain:
        name = describe_pretraining(entry.planned)
        if (one := declared.get(name)) is not None:
            found.setdefault(", ".join(_differing(entry.planned, one)), []).append(name)
    for names, starts in found.items():
        if names:
            yield f"the plan has other values of {names} than the grid for {shortened(starts)}"


def _differing(planned: PlannedPretraining, declared: PlannedPretraining) -> list[str]:
    """Return the fields in which a pretraining differs from the one that the grid declares."""
    given = planned.given
    if given and declared.given and not given.seen_declared:  # of an older archive
        declared = replace(declared, given=replace(declared.given, seen_declared=False))
    names = [one for one in OF_THE_GRID if getattr(planned, one) != getattr(declared, one)]
    if "identity" not in names:
        return names
    return [one for one in names if one != "identity"] + [
        f"identity.{one}" for one in _of_identity(planned.identity, declared.identity)
    ]


def _of_identity(planned: Pretraining | None, declared: Pretraining | None) -> list[str]:
    every: list[dict[str, Any]] = [one.to_json() if one else {} for one in (planned, declared)]
    mine, theirs = every
    return [name for name in (mine | theirs) if mine.get(name) != theirs.get(name)]


def _of_tuning(plan: Plan) -> Iterator[str]:
    tune = plan.grid.tune
    if tune is None:
        return
    swept = [name for name, value in tune.overrides.items() if isinstance(value, list)]
    allowed = [{name: point[name] for name in swept} for point in points_of(tune)]
    starts = [entry.planned for entry in plan.pretrain]
    found = [one for one in starts if one.recipe and one.identity and one.tuned not in allowed]
    if found:
        yield (
            f"the plan has recipes that no trial of [tune] has, for "
            f"{shortened(map(describe_pretraining, found))}"
        )


def _order(what: str, planned: Sequence[str], declared: Sequence[str]) -> Iterator[str]:
    common = set(planned) & set(declared)
    places = [[name for name in names if name in common] for names in (planned, declared)]
    if places[0] != places[1]:
        moved = [one for one, other in zip(*places, strict=False) if one != other]
        yield f"the plan has its {what} in another order than the grid, from {moved[0]} on"


def _other_run(planned: PlannedRun, declared: dict[str, PlannedRun]) -> bool:
    """Return whether a run has other settings than the grid gives it.

    Protocols of another version have other defaults.
    """
    one = declared.get(describe_run(planned))
    if one is None or one.settings == planned.settings:
        return False
    identities = [each.identity for each in (planned, one) if each.identity]
    return len({identity.protocol_version for identity in identities}) < 2


def _of_methods(plan: Plan, known: dict[str, MethodInfo]) -> Iterator[str]:
    """Yield differences in the facts of methods of the present version."""
    used, found = set(plan.grid.evaluate.protocols), dict[str, list[str]]()
    for name, claimed in plan.methods.items():
        names = [one for one in FACTS if getattr(claimed, one) != getattr(known[name], one)]
        if claimed.family == NO_FAMILY and "family" in names:
            names.remove("family")
        mine, ours = claimed.protocols, known[name].protocols  # newer code may have more
        if mine != [one for one in ours if one in mine] or used & set(mine) != used & set(ours):
            names.append("protocols")
        found.setdefault(", ".join(names), []).append(name)
    for names, methods in found.items():
        if names:
            yield (
                f"the plan has other values of {names} than this version for the methods "
                f"{', '.join(methods)}"
            )


def _of_not_applicable(plan: Plan, expanded: Expanded) -> Iterator[str]:
    """Yield differences in the rows that cannot be measured; reasons are words of a version."""
    rows = {entry.planned.pretraining.without_at().row for entry in plan.runs}
    protocols = {entry.planned.protocol for entry in plan.runs}
    whole = rows >= {run.pretraining.without_at().row for run in expanded.runs}
    claimed, known = plan.not_applicable, expanded.not_applicable
    every = known + expanded.unmeasured
    more = [one for one in claimed if not any(_covers(other, one) for other in every)]
    # Archives of older versions do not list what is unmeasured.
    fewer = [
        one for one in known
        if (whole or one[0] in rows) and of_protocols(one, protocols)
        and not any(_covers(one, other) for other in claimed)
    ]  # fmt: skip
    if more:
        yield f"the plan calls not applicable what this version can do: {shortened(_named(more))}"
    if fewer:
        yield f"the plan leaves out what is not applicable: {shortened(_named(fewer))}"


def _covers(known: NotApplicable, claimed: NotApplicable) -> bool:
    """Return whether an entry is about the same row and the same protocols, or more of them."""
    (row, what, _), (other, named, _) = known, claimed
    return row == other and set(named.split(", ")) <= set(what.split(", "))


def _named(entries: Iterable[NotApplicable]) -> Iterator[str]:
    return (f"{row}, {what}" for row, what, _ in entries)
