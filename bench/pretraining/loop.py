"""The pretraining loop, the same for all methods: method and pool -> encoder and record.

All random numbers are functions of (seed, purpose, step). So a resumed pretraining needs no state
of a generator and ends with the same bits as an uninterrupted one.
"""

import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from ...methods._masked import MaskedPrediction
from ...methods._method import Method
from ...results.record import Architecture, PretrainRecord
from ..data.pools import Pool
from ..identity import Pretraining, Recipe, Resources
from ..method_facts.architecture import architecture_of
from ..method_facts.build import build_method
from ..seeding import torch_stream
from ..store.atomic import read_lines, write_atomic
from ..store.progress import Progress, write_progress
from ..store.provenance import Clock
from ..store.records import HISTORY, Store
from ..store.weights import save_encoder
from .batch_norm import share_statistics
from .batches import Batches
from .checkpoints import load_checkpoint, remove_checkpoints, save_checkpoint
from .claim import Interrupted, RunningElsewhereError, claim
from .distributed import ALONE, Ranks
from .feature_spread import feature_spread
from .optimisation import learning_rate, make_optimizer, weight_decay
from .sample_predictions import write_predictions
from .step import NonFiniteLossError, check_weights, train_step

PROGRESS_S = 10.0  # between two writes of the progress file
SPREAD_CHIPS = 64  # first chips of the pool, whose feature spread the history holds
SHOWN_EVERY = 16  # every 16th of these is predicted at the end, for the report


def pretrain(
    identity: Pretraining,
    pool: Pool | None,
    store: Store,
    resources: Resources,
    *,
    ranks: Ranks = ALONE,
    should_stop: Callable[[], bool] = lambda: False,
    on_progress: Callable[[Progress], None] = lambda progress: None,
    warn: Callable[[str], None] = lambda message: None,
) -> PretrainRecord:
    """Train to the end and write the record; resume from the newest whole checkpoint.

    Only one process, or one group of ranks, trains a pretraining at a time, on any machine.

    Args:
        identity: The pretraining; its recipe is None for a control.
        pool: None for a control.
        store: Holds checkpoints, history, encoder and record.
        resources: Device, threads and time between checkpoints.
        ranks: The processes that train it together.
        should_stop: Asked after every step; True saves the state and raises `Interrupted`.
        on_progress: Called after every step.
        warn: Called with messages that do not stop the training.

    Raises:
        NonFiniteLossError: The loss or a weight became NaN or infinite.
        PoolTooSmallError: The pool does not fill a batch.
        Interrupted: `should_stop` returned True; the state is saved.
        RunningElsewhereError: Another process trains it.
        RanksDifferError: The ranks do not begin with the same weights.
    """
    folder = store.folder("pretrain", identity.key)
    folder.mkdir(parents=True, exist_ok=True)
    with claim(identity, store, resources, ranks, should_stop) as claimed:
        if not claimed.done:
            clock = Clock(resources, ranks.count)
            method = build_method(identity).to(resources.device)
            if ranks.count > 1:
                share_statistics(method, ranks.gather)
            outcome: dict[str, Any] = {
                "steps": 0, "images_per_s": 0.0, "final_loss": None, "feature_spread": None,
            }  # fmt: skip
            if identity.recipe is not None and pool is not None:
                loop = _Loop(identity, method, pool, folder, resources, warn, ranks, clock)
                outcome = loop.run(should_stop, claimed.lost, on_progress)
                if ranks.first and isinstance(method, MaskedPrediction):
                    rng = torch_stream(identity.seed, "predictions", device=resources.device)
                    write_predictions(method, loop.spread_chips[::SHOWN_EVERY], rng, folder, warn)
            ranks.wait()  # no record is written while a process still trains
            if ranks.first:
                _finish(identity, method, store, clock, outcome, warn)
        ranks.wait()
    return store.read("pretrain", identity.key)


def _finish(
    identity: Pretraining,
    method: Method,
    store: Store,
    clock: Clock,
    outcome: dict[str, Any],
    warn: Callable[[str], None],
) -> None:
    """Write encoder and record, then remove the checkpoints."""
    folder = store.folder("pretrain", identity.key)
    record = PretrainRecord(
        key=identity.key,
        identity=identity.to_json(),
        provenance=clock.provenance(),
        weights_digest=save_encoder(store.encoder(identity.key), method.encoder, identity),
        architecture=_architecture(identity, warn),
        **outcome,
    )
    store.write("pretrain", record)
    remove_checkpoints(folder)


def _architecture(identity: Pretraining, warn: Callable[[str], None]) -> Architecture | None:
    """Count parameters and operations; return None, with a warning, if a plug-in's code fails."""
    try:
        return architecture_of(identity)
    except Exception as error:  # code of a plug-in; its trained encoder must not be lost
        warn(
            f"the record of {identity.method} will not hold its architecture: "
            f"{type(error).__name__}: {error}"
        )
        return None


class _Loop:
    """The state of one pretraining while it runs."""

    def __init__(
        self,
        identity: Pretraining,
        method: Method,
        pool: Pool,
        folder: Path,
        resources: Resources,
        warn: Callable[[str], None],
        ranks: Ranks,
        clock: Clock,
    ) -> None:
        self.identity, self.method, self.folder = identity, method, folder
        self.resources, self.ranks, self.clock = resources, ranks, clock
        self.recipe = Recipe(**(identity.recipe or {}))
        views = type(method).views(method.config)
        self.batches = Batches(
            pool, self.recipe, identity.seed, views, method.encoder_config.input_px,
            resources.device, ranks, labelled=method.needs_labels,
        )  # fmt: skip
        self.steps = method.steps = self.batches.per_epoch * self.recipe.epochs
        self.optimizer = make_optimizer(method, self.recipe)
        self.spread_chips = self.batches.plain(SPREAD_CHIPS)
        self.step, self.loss_sum = 0, 0.0
        self.timing = {"wall_s": 0.0, "train_s": 0.0, "steps": 0}  # before the last resume
        # Only the first process reads: on a network file system others may see older files.
        found = None
        if ranks.first:
            found = [load_checkpoint(folder, warn), read_lines(self._history_path)]
        state, history = ranks.from_first(found, resources.device)
        if state is not None:
            self.step, self.loss_sum = state["step"], state["loss_sum"]
            self.timing |= state.get("timing", {})  # checkpoints of older versions have none
            method.load_state_dict(state["method"], strict=True)
            self.optimizer.load_state_dict(state["optimizer"])
        self.history = [line for line in history if line["step"] <= self.step]
        ranks.check_same(self.step, method)
        clock.before_s = self.timing["wall_s"]
        self.first, self.began = self.step, time.monotonic()

    @property
    def _history_path(self) -> Path:
        return self.folder / HISTORY

    def _timing(self) -> dict[str, float]:
        """Return the seconds and steps since the first start, over all resumes."""
        return {
            "wall_s": self.clock.wall_s,
            "train_s": self.timing["train_s"] + time.monotonic() - self.began,
            "steps": self.timing["steps"] + self.step - self.first,
        }

    def run(
        self,
        should_stop: Callable[[], bool],
        lost: Callable[[], bool],
        on_progress: Callable[[Progress], None],
    ) -> dict[str, Any]:
        """Train to the last step; return the fields of the record."""
        saved = written = self.began
        self.method.train()
        while self.step < self.steps:
            loss = self._one_step()
            now = time.monotonic()
            pace = (self.step - self.first) * self.recipe.batch / (now - self.began)
            progress = Progress(self.step, self.steps, self.recipe.batch, loss, pace)
            on_progress(progress)
            if self.ranks.first and now - written >= PROGRESS_S:
                write_progress(self.folder, progress)
                written = now
            if self.step % self.batches.per_epoch == 0:
                self._end_epoch(pace)
            if self.ranks.mean(float(lost()), self.resources.device) > 0:
                raise RunningElsewhereError("another process took this pretraining over")
            stop = self.ranks.mean(float(should_stop()), self.resources.device) > 0
            if self.step < self.steps and (stop or now - saved >= self.resources.checkpoint_s):
                self._save()
                saved = now
            if stop and self.step < self.steps:
                self.ranks.wait()
                raise Interrupted(f"stopped after step {self.step} of {self.steps}; state is saved")
        last, timing = self.history[-1], self._timing()
        return {
            "steps": self.steps,
            "images_per_s": timing["steps"] * self.recipe.batch / timing["train_s"],
            "final_loss": last["loss"],
            "feature_spread": last["spread"],
        }

    def _one_step(self) -> float:
        epoch = self.step / self.batches.per_epoch
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(self.recipe, epoch)
        self.optimizer.param_groups[0]["weight_decay"] = weight_decay(self.recipe, epoch)
        batch = replace(
            self.batches.batch(self.step),
            progress=self.step / self.steps,
            gather=self.ranks.gather,
        )
        rng = self.ranks.stream(self.identity.seed, "mask", self.step, device=self.resources.device)
        try:
            loss = train_step(
                self.method, self.optimizer, batch, rng, self.ranks, self.identity.precision
            )
        except NonFiniteLossError as error:
            raise NonFiniteLossError(f"step {self.step + 1} of {self.steps}: {error}") from error
        self.step += 1
        self.loss_sum += loss
        return loss

    def _end_epoch(self, pace: float) -> None:
        try:
            check_weights(self.method)  # the last step has no later loss that would show it
        except NonFiniteLossError as error:
            raise NonFiniteLossError(f"after step {self.step} of {self.steps}: {error}") from error
        line = {
            "step": self.step,
            "epoch": self.step // self.batches.per_epoch,
            "loss": self.loss_sum / self.batches.per_epoch,
            "lr": self.optimizer.param_groups[0]["lr"],
            "spread": feature_spread(self.method.encoder, self.spread_chips),
            "images_per_s": round(pace, 1),
        }
        self.history.append(line)
        self.loss_sum = 0.0
        if not self.ranks.first:
            return
        text = "".join(json.dumps(entry) + "\n" for entry in self.history)
        write_atomic(self._history_path, text)

    def _save(self) -> None:
        if not self.ranks.first:
            return
        state = {
            "step": self.step,
            "loss_sum": self.loss_sum,
            "timing": self._timing(),
            "method": self.method.state_dict(),
            "optimizer": self.optimizer.state_dict(),
        }
        save_checkpoint(self.folder, self.step, state)
