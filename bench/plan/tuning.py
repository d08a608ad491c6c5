"""Equal tuning: the trials of a grid's section `[tune]`, and the recipe that each method keeps.

Every method gets the same number of short pretrainings, one for each combination of the values
under `[tune]`. They are compared on training chips that `NAME:held_out` holds out, never on test
chips: the highest mean accuracy of `knn` and `linear` with all labels wins. The trials are a grid
of their own, so their records are stored, resumed, submitted and shown like those of any grid.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any, Literal

from ...results.class_metrics import class_scores
from ...results.record import RunRecord
from ..data.find_set import Splits
from ..data.names import TRAIN, place_of
from ..data.packed import Summary
from ..data.registry import HELD_OUT
from ..data.sharing import sharing
from ..grid.expand import PlannedPretraining
from ..grid.schema import Grid, GridError, describe_pool, label_of
from ..grid.trials import JUDGES, points_of, tuned_dataset
from ..method_facts.method_info import MethodInfo
from ..store.records import Store
from ..store.run_predictions import PREDICTIONS_FILE
from .failure_class import RETRY_ONLY

if TYPE_CHECKING:
    from .plan import Plan


TOLERANCE = 1e-9  # between a stored accuracy and the one computed again


@dataclass(frozen=True)
class Trial:
    """A short pretraining with one combination of the tuned values.

    Attributes:
        label: Of the method.
        values: The combination.
        state: `open` until the trial is done or has failed.
        scores: Accuracy of each judge, as far as known.
        chosen: True if the main runs use the values.
    """

    label: str
    values: dict[str, Any]
    state: Literal["open", "done", "failed"]
    scores: dict[str, float]
    chosen: bool = False

    @property
    def mean(self) -> float:
        """The mean accuracy of the judges."""
        return fmean(self.scores.values())


def refuse_known_chips(
    tuning: "Plan", tuned: Summary | None, evaluated: Mapping[str, Summary], root: Path
) -> None:
    """Refuse trials that are judged by test chips of the grid, or by chips of known labels.

    Args:
        tuning: The plan of the trials.
        tuned: The data set whose training chips judge them, if it is known.
        evaluated: The sets of the grid.
        root: The folder of the store.

    Raises:
        GridError: It names the sets.
    """
    name = place_of(tuning.grid.evaluate.datasets[0]).removesuffix(HELD_OUT)
    for tested, other in evaluated.items() if tuned else ():
        if tuned and other.kind == "dataset":
            shared = sharing([name + TRAIN], [tuned], None, 1.0, other, root)
            if shared and shared.test:
                raise GridError(
                    f"[tune]: the training chips of {name} hold {shared.test} test chips of "
                    f"{tested}, which the grid evaluates; set `dataset` under [tune] to another "
                    "data set"
                )
    for entry in tuning.pretrain:
        start = entry.planned
        shared = tuning.sharing.get(tuple(start.pool), {})
        known = sum(one.test for one in shared.values())
        if tuning.methods[start.method].needs_labels and known:
            raise GridError(
                f"[tune]: {start.label} is trained with the labels of {known} held-out chips, "
                f"which its pool {describe_pool(start.pool)} holds; set `dataset` under [tune] to "
                "the data set of that pool, or to one that shares no chip with it"
            )


def trials_of(tuning: "Plan", store: Store) -> list[Trial]:
    """Return the trials of a plan, and mark the best of each method whose trials have all ended.

    A trial that failed by itself, for example because its loss diverged, is not chosen; one that
    was killed is still open. Of equal trials the first is chosen.

    Raises:
        GridError: An accuracy does not follow from the stored predictions.
    """
    trials, splits = [], Splits([store.root], store.prepared)
    for start, runs in tuning.grouped():
        if start.planned.recipe is None:  # a control that the data set needs
            continue
        scores = {
            run.planned.protocol: _verified(run.record, start.planned.row, store, splits)
            for run in runs
            if isinstance(run.record, RunRecord)
        }
        failed = any(one.failure_class in RETRY_ONLY for one in (start, *runs))
        state = "done" if len(scores) == len(JUDGES) else "failed" if failed else "open"
        trials.append(Trial(start.planned.label, start.planned.axes, state, scores))
    best: dict[str, int] = {}
    for place, trial in enumerate(trials):
        if any(one.label == trial.label and one.state == "open" for one in trials):
            continue
        known = best.get(trial.label)
        if trial.state == "done" and (known is None or trial.mean > trials[known].mean):
            best[trial.label] = place
    return [replace(one, chosen=best.get(one.label) == n) for n, one in enumerate(trials)]


def _verified(record: RunRecord, row: str, store: Store, splits: Splits) -> float:
    """Return the accuracy of a trial, computed again from its predictions.

    Raises:
        GridError: It is another one, or there are no predictions.
    """
    identity = record.identity
    split = splits.find(identity["dataset"], identity["data_digest"], identity["split_digest"])
    path = store.folder("evaluate", record.key) / PREDICTIONS_FILE
    reason = "the labels of its chips are not known here"
    if split is not None:
        try:
            found = store.read_predictions(path, record.predictions_digest, ("classes",))
            scores = class_scores(split.test_labels, found["classes"], len(split.classes))
            computed = scores["accuracy"]
        except (OSError, ValueError) as error:
            reason = str(error)
        else:
            if abs(computed - record.accuracy) < TOLERANCE:
                return computed
            reason = f"its record says {record.accuracy:.4f}, its predictions {computed:.4f}"
    raise GridError(
        f"[tune]: the accuracy of the trial {row} ({identity['protocol']}) does not follow from "
        f"predictions: {reason}. Move {path.parent} out of the store and run the grid again; "
        "`sarbench check` with --tuning checks every trial"
    )


def with_choices(grid: Grid, trials: Sequence[Trial], methods: dict[str, MethodInfo]) -> Grid:
    """Return the grid with the chosen values in the recipes of its methods."""
    chosen, entries = _chosen(trials), []
    for entry in grid.methods:
        values = chosen.get(label_of(grid.pretrain, entry, methods, grid.methods), {})
        entries.append(entry.model_copy(update={"overrides": entry.overrides | values}))
    return grid.model_copy(update={"methods": entries})


def waiting_for(
    trials: Sequence[Trial], planned: Sequence[PlannedPretraining]
) -> list[PlannedPretraining]:
    """Return the pretrainings, those without a chosen recipe as not known yet."""
    chosen, result = _chosen(trials), []
    still_open = {trial.label for trial in trials if trial.state == "open"}
    for one in planned:
        if one.recipe is None:
            result.append(one)
        elif one.label in chosen:
            failed = sum(t.state == "failed" for t in trials if t.label == one.label)
            result.append(replace(one, tuned=chosen[one.label], failed_trials=failed))
        else:
            waits = "tuning" if one.label in still_open else "failed tuning"
            result.append(replace(one, identity=None, waits_for=waits))
    return result


def _chosen(trials: Sequence[Trial]) -> dict[str, dict[str, Any]]:
    """Return the chosen values of each method by its label."""
    return {trial.label: trial.values for trial in trials if trial.chosen}


def tuning_note(grid: Grid, planned: Sequence[PlannedPretraining]) -> str:
    """Return how the recipes of a grid were found, for a caption."""
    tune = grid.tune
    rows = {one.without_at().row: one for one in planned if one.recipe}
    if not rows:
        return ""
    if tune is None:
        return "Recipes were not tuned here: none was chosen by its results in this grid."
    swept = {name: value for name, value in tune.overrides.items() if isinstance(value, list)}
    listed = "; ".join(f"{name} {', '.join(map(_shown, value))}" for name, value in swept.items())
    chosen = "; ".join(f"{row}: {_values(one.tuned)}" for row, one in rows.items() if one.tuned)
    failed = "; ".join(
        f"{row} {one.failed_trials}" for row, one in rows.items() if one.failed_trials
    )
    epochs = tune.overrides.get("epochs")
    length = f"{epochs:g} epoch{'s' * (epochs != 1)}" if epochs else "a quarter of its epochs"
    return (
        f"Every method was tuned with {len(points_of(tune))} trials of {length} ({listed}), chosen "
        f"by the mean accuracy of {' and '.join(JUDGES)} on held-out training chips of "
        f"{tuned_dataset(grid, tune)}. Chosen: {chosen or 'none yet'}."
        + (f" Failed trials: {failed}." if failed else "")
    )


def _values(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {_shown(value)}" for name, value in values.items())


def _shown(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
