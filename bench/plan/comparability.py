"""Differences between the rows of a table in network, pool, budget and recipe."""

from collections.abc import Callable
from typing import Any

from ...results.record import Architecture, PretrainRecord
from ..grid.expand import PlannedPretraining
from ..identity import Recipe
from ..method_facts.method_info import plugin_state
from .plan import Plan
from .trainings import Start

NOT_COMPUTE = "The same chips and epochs are not the same compute."
SHOWN = 3  # rows of one group that are named


def differences(plan: Plan) -> dict[str, str]:
    """Return a sentence for each property that differs between rows, by its name."""
    starts = [entry for entry in plan.pretrain if entry.planned.identity]
    networks = [entry for entry in starts if _encoder(entry)]
    trained = [entry for entry in starts if entry.planned.recipe]
    properties: dict[str, tuple[list[Start], Callable[[Start], str]]] = {
        "Networks": (networks, _network),
        "Encoder sizes": (networks, _size),
        "Inputs": (networks, _input),
        "First weights": (trained, _init),
        "Pools": (trained, _pool),
        "Budgets" if _equal_chips(plan) else "Chips seen": (trained, _budget),
        "Recipes": (trained, lambda entry: entry.planned.recipe_name or ""),
        "Optimisers": (trained, _optimiser_of),
    }
    sentences = {}
    for name, (entries, value_of) in properties.items():
        rows: dict[str, dict[str, None]] = {}
        for entry in entries:
            rows.setdefault(value_of(entry), {})[entry.planned.row] = None
        if len(rows) > 1:
            sentences[name] = f"{name} differ. {_listed(rows)}"
    return sentences


def _listed(rows: dict[str, dict[str, None]]) -> str:
    """Return each value with its rows; a long list of rows comes last, as all other rows."""
    groups = sorted(rows.items(), key=lambda group: len(group[1]) > SHOWN)
    parts = [f"{value}: {'; '.join(names)}." for value, names in groups]
    value, names = groups[-1]
    if len(names) > SHOWN:
        parts[-1] = f"{value}: all other rows."
    return " ".join(parts)


def mixed_code(plan: Plan) -> list[str]:
    """Return a sentence for each method that was pretrained from several states of its files."""
    return [
        f"{label} was pretrained from {len(states)} states of its files ({', '.join(states)}) "
        "under one version, so its scores may belong to different methods: raise `version` in its "
        "class and run the grid again"
        for label, states in _states(plan).values()
        if len(states) > 1
    ]


def code_warnings(plan: Plan) -> list[str]:
    """Return what `mixed_code` does, and a sentence for each method whose files have changed."""
    return mixed_code(plan) + [
        f"the files of {label} have changed since it was pretrained (state {', '.join(states)}, "
        f"now {now}), and its version has not: if the change moves a score, raise `version` in its "
        "class"
        for name, (label, states) in _states(plan).items()
        if (now := plugin_state(name)) and now not in states
    ]


def _states(plan: Plan) -> dict[str, tuple[str, list[str]]]:
    """Return label and states of the files, as far as known, of each method of other packages."""
    found: dict[str, dict[str, None]] = {}
    for entry in plan.pretrain:
        if isinstance(entry.record, PretrainRecord) and (state := entry.record.provenance.plugin):
            found.setdefault(entry.planned.method, {})[state] = None
    return {name: (plan.methods[name].label, list(states)) for name, states in found.items()}


def compute_note(plan: Plan) -> str:
    """Return a sentence on the cost of a pretraining step per chip; empty if nothing is known.

    Costs are relative to MAE if the grid has exactly one row of MAE, else in GFLOP.
    """
    found: dict[str, tuple[str, float]] = {}
    for entry in plan.pretrain:
        architecture = _architecture(entry)
        if architecture and architecture.step_gflop:
            row = entry.planned.without_at().row
            found[row] = entry.planned.method, architecture.step_gflop
    bases = [cost for method, cost in found.values() if method == "mae"]
    if not found:
        return ""
    scale, unit, digits = 1.0, "in GFLOP", 4
    if len(bases) == 1:
        scale, unit, digits = bases[0], f"relative to MAE ({bases[0]:.3g} GFLOP)", 3
    listed = "; ".join(f"{row} {cost / scale:.{digits}g}" for row, (_, cost) in found.items())
    text = f"Compute per chip in one pretraining step, forward and backward, {unit}: {listed}."
    return f"{text} {NOT_COMPUTE}" if _equal_chips(plan) else text


def _equal_chips(plan: Plan) -> bool:
    return plan.grid.pretrain.budget == "chips"


def recipe_lines(plan: Plan) -> list[str]:
    """Return a line for each recipe of a grid: its name, rows and values; and for each file."""
    rows: dict[tuple[str, Recipe], list[str]] = {}
    for entry in plan.pretrain:
        planned = entry.planned
        if planned.recipe and planned.recipe_name:
            rows.setdefault((planned.recipe_name, planned.recipe), []).append(
                planned.without_at().row
            )
    lines = [
        f"recipe {name}: {'; '.join(dict.fromkeys(names))}: {describe_recipe(recipe)}"
        for (name, recipe), names in rows.items()
    ]
    given = {one.planned.row: one.planned for one in plan.pretrain if one.planned.given}.values()
    return lines + [
        f"{'continues from' if one.init else 'given weights'}: {one.row}: {describe_given(one)}"
        for one in given
    ]


def describe_given(planned: PlannedPretraining) -> str:
    """Return layout, digest and file of given weights."""
    config, given = planned.init or planned.config, planned.given
    file = f"{given.file}{' (missing)' * given.missing}" if given else "unknown"
    part = f", {config['part']}" if config.get("part") else ""
    return f"layout {config['layout']}{part}, digest {config['digest'][:12]}, file {file}"


def describe_recipe(recipe: Recipe) -> str:
    """Return the values of a recipe in words."""
    decay = f"{recipe.weight_decay:g}"
    if recipe.weight_decay_end is not None:
        decay += f" to {recipe.weight_decay_end:g}"
    return (
        f"{_optimiser(recipe)}, epochs {recipe.epochs} ({recipe.warmup_epochs:g} of warm-up), "
        f"batch {recipe.batch}, {_rates(recipe)}, weight decay {decay}, "
        f"crops {recipe.crop_scale_min:g} to {recipe.crop_scale_max:g}, flip {recipe.flip:g}, "
        f"contrast {recipe.contrast:g}"
    )


def _optimiser(recipe: Recipe) -> str:
    if recipe.optimizer is None:
        return f"AdamW (betas {recipe.beta1:g} and {recipe.beta2:g})"
    momentum = 0.9 if recipe.momentum is None else recipe.momentum
    return f"{recipe.optimizer.upper()} (momentum {momentum:g})"


def _rates(recipe: Recipe) -> str:
    peak = recipe.base_lr * recipe.batch / 256
    start, end = (peak * (share or 0) for share in (recipe.lr_start_share, recipe.lr_end_share))
    warmup = f"{start:.3g} to " if recipe.warmup_epochs else ""
    if recipe.schedule == "step":
        return f"rate {warmup}{peak:.3g}, a tenth after each third of the epochs"
    return f"rate {warmup}{peak:.3g} to {end:.3g} on a cosine"


def _architecture(entry: Start) -> Architecture | None:
    return entry.record.architecture if isinstance(entry.record, PretrainRecord) else None


def _network(entry: Start) -> str:
    known = _architecture(entry)
    if known is None:
        return f"{_size(entry)} as planned, not recorded"
    return f"{known.encoder} ({known.encoder_parameters:,} weights)"


def _encoder(entry: Start) -> dict[str, Any]:
    return (entry.planned.identity and entry.planned.identity.encoder) or {}


def _optimiser_of(entry: Start) -> str:
    recipe = entry.planned.recipe
    return f"{_optimiser(recipe)}, {recipe.schedule or 'cosine'} schedule" if recipe else ""


def _size(entry: Start) -> str:
    return _encoder(entry)["name"]


def _input(entry: Start) -> str:
    encoder = _encoder(entry)
    patches = f" in patches of {encoder['patch_px']} px" if "patch_px" in encoder else ""
    return f"{encoder['input_px']} px{patches}"


def _init(entry: Start) -> str:
    init = entry.planned.init
    return f"weights {init['digest'][:12]} of a file" if init else "drawn weights"


def _pool(entry: Start) -> str:
    identity = entry.planned.identity
    if identity is None:
        return ""
    cap = f", capped at {identity.pool_cap}" if identity.pool_cap else ""
    share = f", {identity.pool_fraction:.0%} of it" if identity.pool_fraction < 1 else ""
    return " + ".join(entry.planned.pool) + cap + share


def _budget(entry: Start) -> str:
    identity, recipe = entry.planned.identity, entry.planned.recipe
    if identity is None or recipe is None:
        return ""
    chips = identity.pool_count
    ended = "" if identity.at is None else f", ended after {identity.at:g} of the steps"
    return f"{chips} chips, epochs {recipe.epochs}, batches of {recipe.batch}{ended}"
