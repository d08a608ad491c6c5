"""The training of one pretraining, from its newest checkpoint to its last step."""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import torch

from ...methods._method import Method
from ..data.chips import Chips
from ..data.pools import Pool
from ..identity import Pretraining, Recipe, Resources
from ..store.history import read_history, write_history
from ..store.progress import Progress, steps_at, write_progress
from ..store.provenance import Clock
from ..store.records import HISTORY
from .batches import Batches
from .checkpoints import load_checkpoint, save_checkpoint
from .claim import Interrupted, RunningElsewhereError
from .collapse import COLLAPSED, collapsed_at
from .distributed import Ranks
from .optimisation import learning_rate, make_optimizer, weight_decay
from .step import (
    NonFiniteLossError,
    cause_seen_later,
    check_weights,
    queue_step,
    train_step,
)
from .watch import Watch, classifies

Loss = TypeVar("Loss", float, torch.Tensor)

# Steps between two looks at the losses, by the type of the device. A look waits for the device, and
# nothing else does. An epoch ends with a look, and a checkpoint follows one.
LOOK_STEPS = {"cpu": 1, "cuda": 16}
PROGRESS_S = 10.0  # between two writes of the progress file


class Loop:
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
        resident: bool = True,
        watched: Chips | None = None,
        earlier: Sequence[Pretraining] = (),
    ) -> None:
        self.identity, self.method, self.folder = identity, method, folder
        self.resources, self.ranks, self.clock = resources, ranks, clock
        self.recipe = Recipe(**(identity.recipe or {}))
        views = method.sized_views()
        self.batches = Batches(
            pool, self.recipe, identity.seed, views, method.encoder_config.input_px,
            resources.device, ranks, labelled=method.needs_labels, resident=resident, warn=warn,
        )  # fmt: skip
        self.schedule = method.steps = round(self.batches.per_epoch * self.recipe.epochs)
        self.steps = steps_at(identity.at, self.schedule)
        self.earlier = {steps_at(one.at, self.schedule): one for one in earlier}
        self.optimizer = make_optimizer(method, self.recipe)
        self.watch, self.warn = Watch(method, self.batches, watched), warn
        self.step, self.loss_sum, self.pace = 0, 0.0, 0.0
        self.timing = {"wall_s": 0.0, "train_s": 0.0, "steps": 0}  # before the last resume
        # Only the first process reads: on a network file system others may see older files.
        found = None
        if ranks.first:
            found = [load_checkpoint(folder, warn), read_history(self._history_path)]
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
        on_earlier: Callable[[Pretraining], None] = lambda identity: None,
    ) -> dict[str, Any]:
        """Train to the last step; return the fields of the record.

        `on_earlier` is called with each of `earlier` when its last step is done.
        """
        saved = written = self.began
        self.method.train()
        if self.step == 0 and not self.history:
            self.history.append({"step": 0, "epoch": 0, **self.watch.values(classify=True)})
            self._write_history()
        if self.step in self.earlier:
            on_earlier(self.earlier[self.step])
        while self.step < self.steps:
            loss = self._advance()
            now = time.monotonic()
            pace = (self.step - self.first) * self.recipe.batch / (now - self.began)
            progress = Progress(
                self.step, self.steps, self.recipe.batch, loss, pace, collapsed_at(self.history)
            )
            on_progress(progress)
            if self.ranks.first and now - written >= PROGRESS_S:
                write_progress(self.folder, progress)
                written = now
            self.pace = pace
            if self.step % self.batches.per_epoch == 0 or self.step == self.steps:
                self._end_epoch()
            if self.step in self.earlier:
                on_earlier(self.earlier[self.step])
            if self.ranks.mean(float(lost()), self.resources.device) > 0:
                raise RunningElsewhereError("another process took this pretraining over")
            stop = self.ranks.mean(float(should_stop()), self.resources.device) > 0
            if self.step < self.steps and (stop or now - saved >= self.resources.checkpoint_s):
                self._save()
                saved = now
            if stop and self.step < self.steps:
                self.ranks.wait()
                raise Interrupted(f"stopped after step {self.step} of {self.steps}; state is saved")
        return self.outcome(self.history)

    def outcome(self, history: list[dict[str, Any]]) -> dict[str, Any]:
        """Return the fields of a record of the present state; `history` is that up to it."""
        last, timing = history[-1], self._timing()
        return {
            "steps": self.step,
            "images_per_s": timing["steps"] * self.recipe.batch / max(timing["train_s"], 1e-9),
            "final_loss": last["loss"],
            "feature_spread": last["spread"],
            "collapsed_step": collapsed_at(history),
        }

    def history_so_far(self) -> list[dict[str, Any]]:
        """Return the history with a line of the present step, which may be within an epoch."""
        ended = self.history[-1]["step"] == self.step
        return self.history if ended else [*self.history, self._line()]

    def _advance(self) -> float:
        """Do the steps up to the next look at the losses; return the last loss.

        A look at every step comes before the weights move. So the cause of a loss that is not
        finite is known then; later only its step and its pixels are.
        """
        first, epoch = self.step, self.batches.per_epoch
        look = LOOK_STEPS[torch.device(self.resources.device).type]
        last = min(
            (first // look + 1) * look, (first // epoch + 1) * epoch, self.steps,
            *(step for step in self.earlier if step > first),
        )  # fmt: skip
        if last == first + 1:
            losses = [self.one_step(train_step)]
        else:
            queued = [self.one_step(queue_step) for _ in range(first, last)]
            found = torch.stack(queued).tolist()  # waits
            losses = self.ranks.means(found, self.resources.device)
        for step, loss in enumerate(losses, start=first):
            if not math.isfinite(loss):
                cause = cause_seen_later(self.method, self.batches.batch(step))
                raise NonFiniteLossError(
                    f"step {step + 1} of {self.steps}: the loss is {loss}: {cause} (seen after "
                    f"step {last}; the last checkpoint is from before)"
                )
            self.loss_sum += loss
        return losses[-1]

    def one_step(self, do_step: Callable[..., Loss]) -> Loss:
        """Do the next step by `train_step` or `queue_step`; return its loss."""
        epoch = self.step / self.batches.per_epoch
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(self.recipe, epoch)
        self.optimizer.param_groups[0]["weight_decay"] = weight_decay(self.recipe, epoch)
        batch = replace(
            self.batches.batch(self.step),
            progress=self.step / self.schedule,
            gather=self.ranks.gather,
        )
        rng = self.ranks.stream(self.identity.seed, "mask", self.step, device=self.resources.device)
        try:
            loss = do_step(
                self.method, self.optimizer, batch, rng, self.ranks, self.identity.precision
            )
        except NonFiniteLossError as error:
            raise NonFiniteLossError(f"step {self.step + 1} of {self.steps}: {error}") from error
        self.step += 1
        return loss

    def _end_epoch(self) -> None:
        self.history.append(self._line())
        self.loss_sum = 0.0
        self._write_history()
        if collapsed_at(self.history) == self.step:
            self.warn(self._collapse())

    def _line(self) -> dict[str, Any]:
        """Return the line of the present step; its loss is the mean since the last whole epoch."""
        try:
            check_weights(self.method)  # the last step has no later loss that would show it
        except NonFiniteLossError as error:
            raise NonFiniteLossError(f"after step {self.step} of {self.steps}: {error}") from error
        epoch, rest = divmod(self.step, self.batches.per_epoch)
        classify = bool(rest) or classifies(epoch, self.recipe.epochs)
        return {
            "step": self.step,
            "epoch": self.step / self.batches.per_epoch if rest else epoch,
            "loss": self.loss_sum / (rest or self.batches.per_epoch),
            "lr": self.optimizer.param_groups[0]["lr"],
            **self.watch.values(classify=classify),
            "images_per_s": round(self.pace, 1),
        }

    def _collapse(self) -> str:
        """Return a message about features that have collapsed."""
        first, last = self.history[0], self.history[-1]
        fell = ", ".join(
            f"{name} {first[key]:.3g} to {last[key]:.3g}"
            for key, name in (("spread", "feature spread"), ("rank", "effective rank"))
            if first.get(key) is not None
        )
        return (
            f"{self.identity.method}, seed {self.identity.seed}: the features have collapsed at "
            f"step {self.step} of {self.steps}: {fell} (below {COLLAPSED:.0%} of the start, of "
            "the rank's excess over 1), so all chips get nearly the same features. The training "
            "continues and its table will say so; stop it, and set a lower base_lr, more warm-up "
            "or another setting of the method, if that is not wanted"
        )

    def _write_history(self) -> None:
        if self.ranks.first:
            write_history(self._history_path, self.history)

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
