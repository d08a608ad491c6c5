"""Plans of a given size, made without a grid file or a store."""

from sarbench.bench.grid.expand import PlannedPretraining, PlannedRun
from sarbench.bench.grid.schema import Grid
from sarbench.bench.identity import Pretraining, Run
from sarbench.bench.plan.entry import Entry
from sarbench.bench.plan.plan import Plan

GRID = Grid.model_validate({"name": "g", "methods": ["mae"], "evaluate": {"protocols": {}}})


def make_plan(runs_each: int, trained: int = 2, untrained: int = 1) -> Plan:
    """Return a plan of the given size, nothing of it done."""
    plan = Plan(GRID, {}, [], [], {}, [])
    for number in range(trained + untrained):
        recipe = {"epochs": 1} if number < trained else None
        pretraining = Pretraining(
            f"m{number}", 1, {}, {"name": "vit_nano"}, "fp32", [], None, 1.0, recipe, 0
        )
        start = PlannedPretraining(
            f"M{number}", f"m{number}", {}, 0, pretraining, encoder=pretraining.encoder
        )
        plan.pretrain.append(Entry(start, "new"))
        for seed in range(runs_each):
            run = Run(pretraining.key, "m", "d", "x", "y", "linear", 1, {}, 5, seed)
            plan.runs.append(Entry(PlannedRun(start, "d", "linear", 5, seed, run), "new"))
    return plan


def keys_of(plan: Plan) -> set[str]:
    return {str(entry.key) for entry in (*plan.pretrain, *plan.runs)}
