"""Runs that are not applicable: a method cannot train the encoder, or a protocol cannot read it."""

from collections.abc import Collection, Sequence
from math import isqrt
from pathlib import Path

from ...protocols._settings import grid_cells, missing_layers
from ..method_facts.method_info import MethodInfo, fits
from ..method_facts.setups import Fit, MethodSetup
from .expand import PlannedPretraining, PlannedRun, protocols_of
from .schema import Grid, GridError

NotApplicable = tuple[str, str, str]  # row, encoder or protocol, reason


def applicable(
    planned: list[PlannedRun], folder: Path
) -> tuple[list[PlannedRun], list[NotApplicable]]:
    """Split runs into those that can be done and the reasons why others cannot.

    Args:
        planned: Every run of the grid.
        folder: The store, which caches the facts of each method.

    Raises:
        GridError: No run can be done.
    """
    known = fits([_setup(run.pretraining) for run in planned], folder)
    if unknown := sorted({fit.problem for fit in known.values() if fit.unknown}):
        raise GridError("\n".join(f"pretrain.encoder: {problem}" for problem in unknown))
    kept, refused = list[PlannedRun](), dict[NotApplicable, None]()
    for run in planned:
        start = run.pretraining
        reason = _problem(run, known[_setup(start).key])
        if reason is None:
            kept.append(run)
        else:
            refused[(start.without_at().row, *reason)] = None
    if refused and not kept:
        lines = [f"n/a: {line}" for line in sentences(list(refused))]
        raise GridError("\n".join(["nothing is left to run:", *lines]))
    return kept, list(refused)


def unmeasured(
    grid: Grid,
    starts: Sequence[PlannedPretraining],
    methods: dict[str, MethodInfo],
    protocols: Collection[str],
) -> list[NotApplicable]:
    """Return the rows of the grid that none of these protocols can measure, with the reason."""
    named = {entry.name for entry in grid.entries}
    found: dict[NotApplicable, None] = {}
    for start in starts:
        allowed = protocols_of(start, methods)
        if start.method in named and not set(allowed) & set(protocols):
            reason = f"it is measured by {', '.join(allowed)} only"
            found[(start.without_at().row, ", ".join(protocols), reason)] = None
    return list(found)


def of_protocols(entry: NotApplicable, protocols: Collection[str]) -> bool:
    """Return whether an entry is about a whole encoder, or about one of these protocols."""
    _, what, _ = entry
    named = what.split(" with readout ")[0].split(", ")
    return what.startswith("encoder ") or not set(named).isdisjoint(protocols)


def fitting(planned: Sequence[PlannedPretraining], folder: Path) -> list[PlannedPretraining]:
    """Return the pretrainings whose method can train its encoder."""
    known = fits([_setup(one) for one in planned], folder)
    return [one for one in planned if not known[_setup(one).key].problem]


def sentences(entries: Sequence[NotApplicable]) -> list[str]:
    """Return a line for all rows that have the same reason."""
    rows: dict[str, dict[str, None]] = {}
    for row, what, reason in entries:
        rows.setdefault(reason, {})[row if what in row else f"{row}, {what}"] = None
    return [f"{'; '.join(names)}: {reason}" for reason, names in rows.items()]


def _setup(start: PlannedPretraining) -> MethodSetup:
    return MethodSetup(start.method, start.config, start.encoder)


def _problem(run: PlannedRun, fit: Fit) -> tuple[str, str] | None:
    """Return the part that a run cannot do and the reason, or None."""
    if fit.problem:
        encoder = run.pretraining.encoder
        return f"encoder {encoder['name'] if encoder else 'none'}", fit.problem
    readout = run.settings["readout"]
    if readout == "class" and not fit.has_class_token:
        reason = "the encoder has no class token; use readout = 'patch_mean'"
        return f"{run.protocol} with readout 'class'", reason
    cells, side = grid_cells(readout), isqrt(fit.patches)
    if fit.patches and cells and (side < cells or side**2 != fit.patches):
        reason = f"its {fit.patches} patches are not a square grid of that size; use 'patch_mean'"
        return f"{run.protocol} with readout {readout!r}", reason
    layers = run.settings.get("layers")
    if layers and (reason := missing_layers(layers, fit.linear_layers)):
        return run.protocol, reason
    return None
