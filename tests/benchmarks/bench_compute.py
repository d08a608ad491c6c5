"""Print what one chip costs in a training step of each method, relative to MAE.

The table in docs/reference/methods.md is its output.
"""

from dataclasses import asdict

from sarbench.bench.identity import Pretraining, Recipe, to_json
from sarbench.bench.method_facts.architecture import architecture_of
from sarbench.methods import SIZES, get, names

for size, batch in (("vit_nano", 32), ("vit_base", 300)):
    costs = {}
    for name in names():
        method = get(name)
        if method.trains:
            identity = Pretraining(
                method=name, method_version=method.version, config=to_json(method.Config()),
                encoder=asdict(SIZES[size]), precision="fp32", pool=[], pool_cap=None,
                pool_fraction=1.0, recipe=to_json(Recipe(batch=batch)), seed=0,
            )  # fmt: skip
            costs[name] = architecture_of(identity).step_gflop
    print(f"{size}, batch {batch}: MAE {costs['mae']:.3g} GFLOP")
    for name, cost in costs.items():
        print(f"  {name:16}{cost / costs['mae']:.2f}")
