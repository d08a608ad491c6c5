"""Estimates of time, from stored timings or a rough table.

The table is for a GPU of the H200 class (`vit_nano`: for one CPU core) and may be wrong by a factor
of a few. `plan` says how many estimates come from the table.
"""

from dataclasses import dataclass
from math import log, prod
from statistics import median

from ...methods._encoders import (
    SIZES,
    EncoderConfig,
    GivenConfig,
    encoder_from_json,
    encoder_named,
)
from ...protocols import PROTOCOLS
from ..data.pools import published_count
from ..grid.expand import PlannedPretraining, PlannedRun
from ..grid.schema import as_list
from ..grid.sweeps import AT
from ..identity import pool_count
from .entry import Entry
from .plan import Plan

START_S = 12.0  # imports, opening data, loading an encoder: per job
ROUGH_IMAGES_PER_S = {
    "vit_nano": 400.0, "vit_tiny": 6000.0, "vit_small": 3500.0, "vit_base": 1500.0,
    "vit_large": 500.0,
}  # fmt: skip
ROUGH_RUN_S = {
    "knn": 0.2, "linear": 2.0, "logistic": 1.0, "few_shot": 60.0, "finetune": 1800.0,
    "lora": 1200.0,
}  # fmt: skip
NANO_RUN = 0.2  # time of a run of the nano encoder on one core, as a share of the table's

Kind = tuple[object, ...]  # of work whose time is proportional to its size
Sized = tuple[Kind, float]  # a kind, and the size of a piece of work of it


@dataclass
class Estimate:
    """Process-hours of the missing work."""

    pretrain_h: float
    evaluate_h: float
    timings: int  # stored timings behind it
    rough: int  # pieces of work estimated from the table
    published: int = 0  # pretrainings by the published size of a pool that is not prepared
    unknown: int = 0  # pretrainings left out, because their pool or recipe is not known yet
    sharing: int = 1  # conditions that share the time of one head

    @property
    def assumption(self) -> str:
        """The assumption about the time of heads; empty without one."""
        if self.sharing == 1:
            return ""
        return (
            f"assumed: one head predicts under all {self.sharing} conditions, so a run without "
            f"timings takes 1/{self.sharing} of a head's time in the rough table"
        )

    def __str__(self) -> str:
        """Return the hours and their source in words."""
        total = self.pretrain_h + self.evaluate_h
        short = total < 1 and not self.unknown
        source = f"from {self.timings} stored timings" if self.timings else "nothing timed yet"
        if short and not self.timings:
            source = f"rough estimate: {source}"
        elif self.rough:
            source += f"; {self.rough} pieces of work from a rough table"
        if self.published:
            plural = "s" * (self.published != 1)
            source += f"; {self.published} pretraining{plural} by the published size of their pool"
        if self.unknown:
            plural = "s" * (self.unknown != 1)
            source += f"; without {self.unknown} pretraining{plural} whose pool or recipe is not "
            source += "known yet"
        if short:
            minutes = max(1, round(60 * total))
            return f"about {minutes} minute{'s' * (minutes > 1)} of work ({source})"
        return (
            f"about {total:.2f} hours of one GPU or process are missing "
            f"({self.pretrain_h:.2f} pretraining, {self.evaluate_h:.2f} evaluation; {source})"
        )


class Costs:
    """Estimated seconds of each piece of work of a plan."""

    def __init__(self, plan: Plan) -> None:
        timings: dict[Kind, list[float]] = {}
        self.used = 0
        self._grid = plan.grid
        # Runs that differ in the condition only share a head, and its time.
        self._sharing = len({entry.planned.condition for entry in plan.runs}) or 1
        for entry in plan.pretrain:
            if entry.record and entry.planned.identity:
                self.used += 1
                wall_s = entry.record.provenance.wall_s
                for kind, size in self._kinds_of_pretraining(entry.planned):
                    timings.setdefault(kind, []).append(wall_s / size)
        timed = [e for e in plan.runs if e.record and e.planned.identity]
        self.used += len(timed)
        first = _first_of_features(timed)
        for group in first:
            seconds = sum(_wall_s(entry) for entry in group)
            for kind, size in _kinds_of_pass(group[0].planned):
                timings.setdefault(kind, []).append(seconds / size)
        with_pass = {id(entry) for group in first for entry in group}
        for entry in timed:
            for kind, size in _kinds_of_run(entry.planned) if id(entry) not in with_pass else ():
                timings.setdefault(kind, []).append(_wall_s(entry) / size)
        # A machine that slept in the middle of a run does not move a median.
        self._typical = {kind: median(values) for kind, values in timings.items()}

    def pretraining_s(self, planned: PlannedPretraining) -> tuple[float, bool]:
        """Return the estimated seconds, and True if they come from stored timings."""
        timed_s = self._timed_s(self._kinds_of_pretraining(planned))
        if timed_s is not None:
            return timed_s, True
        images = self._images(planned)
        like, share = _listed(planned)
        return images * share / ROUGH_IMAGES_PER_S[like], not images

    def run_s(self, planned: PlannedRun) -> tuple[float, bool]:
        """Return the estimated seconds, and True if they come from stored timings."""
        timed_s = self._timed_s(_kinds_of_run(planned))
        if timed_s is not None:
            return timed_s, True
        few = planned.protocol == "lora" and isinstance(planned.shots, int)
        table = ROUGH_RUN_S.get("few_shot" if few else planned.protocol, 60.0)
        rough = table * _share_of_epochs(planned)
        like, share = _listed(planned.pretraining)
        return rough / self._sharing * share * (NANO_RUN if like == "vit_nano" else 1.0), False

    def _images(self, planned: PlannedPretraining) -> float:
        """Return the number of chips in all epochs of a pretraining; 0 if not known, or a control.

        The size of a pool that is not prepared is the published one.
        """
        identity = planned.identity
        if identity is not None:
            epochs, count, at = (
                (identity.recipe or {}).get("epochs", 0),
                identity.pool_count,
                identity.at,
            )
        else:
            epochs, count, at = self._unprepared(planned)
        every = count * epochs
        return every if at is None or not every else max(1, round(at * every))

    def _unprepared(self, planned: PlannedPretraining) -> tuple[float, int, float | None]:
        """Return epochs, chips and share of the steps of a pretraining without an identity.

        Epochs that a budget or a tuning must find first are 0.
        """
        pretrain = self._grid.pretrain
        solved = planned.waits_for or pretrain.budget != "chips"
        epochs = planned.recipe.epochs if planned.recipe and not solved else 0
        total = published_count(planned.pool) if epochs else None
        fraction = planned.axes.get("pool_fraction", as_list(pretrain.pool_fraction)[0])
        count = pool_count(total, pretrain.pool_cap, fraction) if total else 0
        return epochs, count, planned.axes.get(AT)

    def _timed_s(self, kinds: list[Sized]) -> float | None:
        """Return the typical seconds of the most similar work that is timed, for this size."""
        found = (self._typical[kind] * size for kind, size in kinds if kind in self._typical)
        return next(found, None)

    def _kinds_of_pretraining(self, planned: PlannedPretraining) -> list[Sized]:
        """Return the kinds of comparable pretrainings, the most similar first; size in images."""
        images = self._images(planned) or 1
        if planned.recipe is None:
            return [(("untrained", planned.method), images)]
        kinds = [
            (("pretrain", planned.method, _encoder(planned)), images),
            (("pretrain", planned.method), images * _work_of(planned)),
            (("pretrain", "", _encoder(planned)), images),
        ]
        return [(kind, size) for kind, size in kinds if size]

    def missing(self, plan: Plan) -> Estimate:
        """Estimate the missing part of a plan."""
        estimate = Estimate(0.0, 0.0, self.used, 0)
        for training in plan.trainings():
            missing_starts = [start.planned for start, _ in training if start.state != "done"]
            if not missing_starts:
                continue
            longest = missing_starts[0]  # it writes the others on its way
            if longest.identity is None and not self._images(longest):
                estimate.unknown += 1
                continue
            estimate.published += longest.identity is None
            seconds, measured = self.pretraining_s(longest)
            estimate.rough += not measured
            estimate.pretrain_h += seconds / 3600
        missing = [entry for entry in plan.runs if entry.state != "done"]
        for entry in missing:
            seconds, measured = self.run_s(entry.planned)
            estimate.rough += not measured
            estimate.sharing = estimate.sharing if measured else self._sharing
            estimate.evaluate_h += seconds / 3600
        for group in _of_features(missing):
            passed = self._timed_s(_kinds_of_pass(group[0].planned))
            estimate.evaluate_h += (passed or 0.0) / 3600
        return estimate


def _wall_s(entry: Entry[PlannedRun]) -> float:
    return entry.record.provenance.wall_s if entry.record else 0.0


def _of_features(entries: list[Entry[PlannedRun]]) -> list[list[Entry[PlannedRun]]]:
    """Return the runs on features of each encoder and data set, which share the features."""
    found: dict[Kind, list[Entry[PlannedRun]]] = {}
    for entry in entries:
        if PROTOCOLS[entry.planned.protocol].kind == "features":
            shared = id(entry.planned.pretraining), entry.planned.dataset
            found.setdefault(shared, []).append(entry)
    return list(found.values())


def _first_of_features(entries: list[Entry[PlannedRun]]) -> list[list[Entry[PlannedRun]]]:
    """Return the runs of each encoder and data set whose time holds that of the features.

    They are those of the protocol and settings that took longest. Computing the features often
    takes longer than everything else, and is done once.
    """
    first = []
    for runs in _of_features(entries):
        groups: dict[Kind, list[Entry[PlannedRun]]] = {}
        for entry in runs:
            groups.setdefault((entry.planned.protocol, entry.planned.swept), []).append(entry)
        first.append(max(groups.values(), key=lambda group: sum(map(_wall_s, group))))
    return first


def _share_of_epochs(planned: PlannedRun) -> float:
    """Return the epochs of a run as a share of the protocol's own, to which the table belongs."""
    own = getattr(PROTOCOLS[planned.protocol].settings(), "epochs", None)
    return planned.settings.get("epochs", own) / own if own else 1.0


def _kinds_of_run(planned: PlannedRun) -> list[Sized]:
    """Return the kinds of comparable runs, the most similar first; size in epochs."""
    encoder, protocol = _encoder(planned.pretraining), planned.protocol
    epochs = _share_of_epochs(planned)
    alike = (protocol, planned.swept, planned.dataset, encoder)
    near = (*alike, planned.shots)
    kinds: list[Kind] = [(*near, planned.condition), near, alike, (protocol, encoder)]
    return [(kind, epochs) for kind in kinds]


def _kinds_of_pass(planned: PlannedRun) -> list[Sized]:
    """Return the kinds of comparable passes over a data set, the most similar first."""
    encoder, work = _encoder(planned.pretraining), _work_of(planned.pretraining)
    kinds: list[Sized] = [
        (("pass", planned.dataset, encoder), 1.0),
        (("pass", "", encoder), 1.0),
        (("pass", planned.dataset), work),
    ]
    return [(kind, size) for kind, size in kinds if size]


def _listed(planned: PlannedPretraining) -> tuple[str, float]:
    """Return the encoder of the table with the nearest work, and the share of its work."""
    named = _config(planned)
    if named is None:
        return "vit_base", 1.0
    work = {name: _work(SIZES[name]) for name in ROUGH_IMAGES_PER_S}
    like = min(work, key=lambda name: abs(log(_work(named) / work[name])))
    return like, _work(named) / work[like]


def _config(planned: PlannedPretraining) -> EncoderConfig | GivenConfig | None:
    """Return the layers of a ViT, None for another encoder."""
    if not planned.encoder:
        return None
    given = planned.encoder
    named = encoder_from_json(given) if "hidden" in given else encoder_named(_encoder(planned))
    return named if isinstance(named, EncoderConfig | GivenConfig) else None


def _work_of(planned: PlannedPretraining) -> float:
    """Return a number proportional to the products of a ViT's layers; 0 for another encoder."""
    config = _config(planned)
    return float(_work(config)) if config else 0.0


def _work(encoder: EncoderConfig | GivenConfig) -> int:
    """Return a number proportional to the products of all layers, without attention."""
    return encoder.depth * encoder.width**2 * prod(encoder.patch_grid)


def _encoder(planned: PlannedPretraining) -> str:
    return planned.encoder["name"] if planned.encoder else ""
