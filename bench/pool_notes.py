"""Sentences on the pool of a grid: its chips after the cap, and what data sets share with it."""

from .data.sharing import Sharing
from .plan import Plan


def pool_notes(plan: Plan) -> list[str]:
    """Return what a reader must know of the pool, and of sets that the store does not know."""
    asked = {entry.planned.dataset for entry in plan.runs}
    lines = []
    if plan.sharing:
        lines.append(_drawn(plan, next(iter(plan.sharing.values()))))
    lines += [_shared(name, one) for name, one in plan.sharing.items() if name in asked]
    known = all(f"pool:{name}" in plan.data for name in plan.grid.pretrain.pool)
    if trained(plan) and known and not plan.sharing:
        lines.append(
            "Overlap of pool and data sets: not counted, since the pool is not prepared here."
        )
    for name in [*plan.grid.evaluate.datasets, *(f"pool:{n}" for n in plan.grid.pretrain.pool)]:
        if name not in plan.data:
            lines.append(
                f"{name} is not known in this store, so its results cannot be matched; name the "
                f"folder of the data with --data and run `sarbench data prepare {name}`."
            )
    return lines


def trained(plan: Plan) -> bool:
    """Return whether anything of the plan is pretrained on the pool."""
    return any(not plan.methods[entry.planned.method].control for entry in plan.pretrain)


def _drawn(plan: Plan, one: Sharing) -> str:
    names = plan.grid.pretrain.pool
    parts = [f"{count:,} of {name}" for name, count in zip(names, one.drawn, strict=True)]
    cap = plan.grid.pretrain.pool_cap
    drawn = f" (a fixed draw of {cap:,})" if cap else ""
    return f"Pool: {sum(one.drawn):,} chips{drawn}: {', '.join(parts)}."


def _shared(name: str, one: Sharing) -> str:
    parts = [
        f"{one.test:,} of its test chips (allowed by the grid)" if one.test else "no test chip",
        f"{one.train:,} of its training chips" if one.train else "no training chip",
    ]
    text = f"{name}: the pool holds {' and '.join(parts)}, by id or equal image"
    if one.vehicles:
        text += (
            f"; {one.vehicle_chips:,} of its chips show one of {one.vehicles} vehicles (serial "
            "numbers) of the test set"
        )
    return f"{text}."
