"""Estimates of time, from stored timings or a rough table.

The table is for a GPU of the H200 class (`vit_nano`: for one CPU core) and may be wrong by a factor
of a few. `plan` says how many estimates come from the table.
"""

from dataclasses import dataclass
from statistics import mean

from ..grid.expand import PlannedPretraining, PlannedRun
from .entry import Entry
from .plan import Plan

START_S = 12.0  # imports, opening data, loading an encoder: per job
ROUGH_IMAGES_PER_S = {
    "vit_nano": 400.0, "vit_tiny": 6000.0, "vit_small": 3500.0, "vit_base": 1500.0,
    "vit_large": 500.0,
}  # fmt: skip
ROUGH_RUN_S = {"knn": 0.2, "linear": 2.0, "logistic": 1.0, "few_shot": 60.0, "finetune": 1800.0}
NANO_RUN = 0.2  # time of a run of the nano encoder on one core, as a share of the table's


@dataclass
class Estimate:
    """Process-hours of the missing work."""

    pretrain_h: float
    evaluate_h: float
    timings: int  # stored timings behind it
    rough: int  # pieces of work estimated from the table
    unknown: int = 0  # pretrainings left out, because the size of their pool is not known yet

    def __str__(self) -> str:
        """Return the hours and their source in words."""
        total = self.pretrain_h + self.evaluate_h
        source = f"from {self.timings} stored timings" if self.timings else "nothing timed yet"
        if self.rough:
            source += f"; {self.rough} pieces of work from a rough table"
        if self.unknown:
            source += f"; without {self.unknown} pretrainings whose pool is not prepared"
        return (
            f"about {total:.2f} hours of one GPU or process are missing "
            f"({self.pretrain_h:.2f} pretraining, {self.evaluate_h:.2f} evaluation; {source})"
        )


class Costs:
    """Estimated seconds of each piece of work of a plan."""

    def __init__(self, plan: Plan) -> None:
        self._timings: dict[tuple[object, ...], list[float]] = {}
        self.used = 0
        for entry in (*plan.pretrain, *plan.runs):
            if entry.record is None or entry.planned.identity is None:
                continue
            self.used += 1
            wall_s = entry.record.provenance.wall_s
            if isinstance(entry.planned, PlannedPretraining):
                images = _images(entry.planned)
                wall_s = wall_s / images if images else wall_s
            for kind in _kinds(entry):
                self._timings.setdefault(kind, []).append(wall_s)
        self._means = {kind: mean(values) for kind, values in self._timings.items()}

    def seconds(self, entry: Entry) -> tuple[float, bool]:
        """Return the estimated seconds, and whether stored timings are behind them."""
        planned = entry.planned
        images = _images(planned) if isinstance(planned, PlannedPretraining) else 1
        for kind in _kinds(entry):
            if kind in self._means:
                return self._means[kind] * (images or 1), True
        if isinstance(planned, PlannedPretraining):
            return images / ROUGH_IMAGES_PER_S.get(_encoder(planned), 1500.0), not images
        rough = ROUGH_RUN_S.get(planned.protocol, 60.0)
        nano = _encoder(planned.pretraining) == "vit_nano"
        return rough * (NANO_RUN if nano else 1.0), False

    def missing(self, plan: Plan) -> Estimate:
        """Estimate the missing part of a plan."""
        estimate = Estimate(0.0, 0.0, self.used, 0)
        for entry in (*plan.pretrain, *plan.runs):
            if entry.state == "done":
                continue
            if isinstance(entry.planned, PlannedPretraining) and entry.planned.identity is None:
                estimate.unknown += 1
                continue
            seconds, measured = self.seconds(entry)
            estimate.rough += not measured
            if isinstance(entry.planned, PlannedPretraining):
                estimate.pretrain_h += seconds / 3600
            else:
                estimate.evaluate_h += seconds / 3600
        return estimate


def _kinds(entry: Entry) -> list[tuple[object, ...]]:
    """Return the kinds of comparable work, the most similar first."""
    planned = entry.planned
    if isinstance(planned, PlannedRun):
        encoder = _encoder(planned.pretraining)
        near = (planned.protocol, planned.dataset, planned.shots, encoder)
        return [near, near[:2] + near[3:], (planned.protocol, encoder)]
    if not _images(planned):
        return [("untrained", planned.method)]
    return [("pretrain", planned.method, _encoder(planned)), ("pretrain", _encoder(planned))]


def _encoder(planned: PlannedPretraining) -> str:
    return planned.encoder["name"] if planned.encoder else ""


def _images(planned: PlannedPretraining) -> int:
    """Return the number of chips in all epochs of a pretraining; 0 for a control."""
    identity = planned.identity
    if identity is None or identity.recipe is None:
        return 0
    return identity.pool_count * identity.recipe["epochs"]
