"""The pretraining loop, the same for all methods: method and pool -> encoder and record.

All random numbers are functions of (seed, purpose, step). So a resumed pretraining needs no state
of a generator and ends with the same bits as an uninterrupted one.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import torch

from ...methods._masked import MaskedPrediction
from ...methods._method import Method
from ...results.record import Architecture, PretrainRecord
from ..data.chips import Chips
from ..data.pools import Pool
from ..given_identity import given_of
from ..identity import Pretraining, Resources
from ..method_facts.architecture import architecture_of
from ..method_facts.build import build_method
from ..method_facts.method_info import plugin_state
from ..store.history import write_history
from ..store.progress import Progress
from ..store.provenance import Clock
from ..store.records import Store
from ..store.weights import read_encoder, save_encoder
from .batch_norm import share_statistics
from .checkpoints import remove_checkpoints
from .claim import Interrupted, RunningElsewhereError, claim
from .device import check_precision, compile_blocks, out_of_memory
from .distributed import ALONE, Ranks
from .sample_predictions import write_predictions
from .training import Loop

SHOWN_EVERY = 16  # of the chips whose spread is measured; the report draws their predictions


def pretrain(
    identity: Pretraining,
    pool: Pool | None,
    store: Store,
    resources: Resources,
    *,
    ranks: Ranks = ALONE,
    watched: Chips | None = None,
    earlier: Sequence[Pretraining] = (),
    should_stop: Callable[[], bool] = lambda: False,
    on_progress: Callable[[Progress], None] = lambda progress: None,
    on_earlier: Callable[[Pretraining], None] = lambda identity: None,
    warn: Callable[[str], None] = lambda message: None,
) -> PretrainRecord:
    """Train to the end and write the record; resume from the newest whole checkpoint.

    Only one process, or one group of ranks, trains a pretraining at a time, on any machine.

    Args:
        identity: The pretraining; its recipe is None for a control.
        pool: None for a control.
        store: Holds checkpoints, history, encoder and record, and the given weights that the
            training continues from.
        resources: Device, threads and time between checkpoints.
        ranks: The processes that train it together.
        watched: A data set whose training chips the history classifies; it changes no weight.
        earlier: Pretrainings that differ in `at` only and end earlier. The training writes them on
            its way, but for those that another process trains.
        should_stop: Asked after every look at the losses (on a CPU after every step); True saves
            the state and raises `Interrupted`.
        on_progress: Called after every look.
        on_earlier: Called with each of `earlier` that this training has written.
        warn: Called with messages that do not stop the training.

    Raises:
        CheckpointMismatchError: The store does not hold the given weights.
        NonFiniteLossError: The loss or a weight became NaN or infinite.
        DeviceMemoryError: The GPU's memory is too small.
        PrecisionError: The GPU has no bf16.
        PoolTooSmallError: The pool does not fill a batch.
        Interrupted: `should_stop` returned True; the state is saved.
        RunningElsewhereError: Another process trains it.
        RanksDifferError: The ranks do not begin with the same weights.
    """
    folder = store.folder("pretrain", identity.key)
    folder.mkdir(parents=True, exist_ok=True)

    def write_earlier(loop: Loop, one: Pretraining) -> None:
        if _write_earlier(loop, one, store, should_stop, warn):
            on_earlier(one)

    with claim(identity, store, resources, ranks, should_stop) as claimed:
        if not claimed.done:
            clock = Clock(resources, ranks.count, plugin_state(identity.method))
            outcome: dict[str, Any] = {
                "steps": 0, "images_per_s": 0.0, "final_loss": None, "feature_spread": None,
                "collapsed_step": None,
            }  # fmt: skip
            if identity.recipe is None or pool is None:
                method = build_method(identity).to(resources.device)
            else:
                loop, outcome = _train(
                    lambda resident: Loop(
                        identity, _method_on(identity, store, resources, ranks, warn), pool,
                        folder, resources, warn, ranks, clock, resident, watched, earlier,
                    ),
                    lambda loop: loop.run(
                        should_stop, claimed.lost, on_progress, lambda one: write_earlier(loop, one)
                    ),
                    warn,
                )  # fmt: skip
                method = loop.method
                shown = ranks.first and identity.at is None
                if shown and isinstance(method, MaskedPrediction):
                    rng = ALONE.stream(identity.seed, "predictions", device=resources.device)
                    write_predictions(
                        method, loop.watch.pool_chips[::SHOWN_EVERY], rng, folder, warn
                    )
            ranks.wait()  # no record is written while a process still trains
            if ranks.first:
                _finish(identity, method, store, clock, outcome, warn)
        ranks.wait()
    return store.read("pretrain", identity.key)


def _method_on(
    identity: Pretraining,
    store: Store,
    resources: Resources,
    ranks: Ranks,
    warn: Callable[[str], None],
) -> Method:
    """Build the method on its device, as fast as the device allows."""
    check_precision(identity.precision, resources.device, warn)
    given = given_of(identity)
    weights = read_encoder(store, given) if given else None
    method = build_method(identity, weights).to(resources.device)
    if ranks.count > 1:
        share_statistics(method, ranks.gather)
    compile_blocks(method, resources.device, warn)
    return method


def _train(
    make: Callable[[bool], Loop],
    run: Callable[[Loop], dict[str, Any]],
    warn: Callable[[str], None],
) -> tuple[Loop, dict[str, Any]]:
    """Train; if a GPU that holds the pool runs out of memory, resume with the pool on the host.

    Args:
        make: Returns the loop at its newest checkpoint; True allows the pool on the device.
        run: Trains a loop to its end.
        warn: Called with a message if the pool leaves the device.

    Raises:
        DeviceMemoryError: The device has too little memory without the pool, too.
    """
    loop = make(True)
    try:
        return loop, run(loop)
    except torch.OutOfMemoryError as error:
        if not loop.batches.resident or loop.ranks.count > 1:
            raise out_of_memory(error, loop.step, loop.steps, loop.resources.device) from error
    # Not within `except`, because the exception keeps the tensors of its frames.
    warn(
        f"{loop.resources.device} ran out of memory at step {loop.step + 1} of {loop.steps}; the "
        "training resumes from its last checkpoint with the pool in host memory; the numbers are "
        "the same"
    )
    del loop
    torch.cuda.empty_cache()
    loop = make(False)
    try:
        return loop, run(loop)
    except torch.OutOfMemoryError as error:
        raise out_of_memory(error, loop.step, loop.steps, loop.resources.device) from error


def _write_earlier(
    loop: Loop,
    identity: Pretraining,
    store: Store,
    should_stop: Callable[[], bool],
    warn: Callable[[str], None],
) -> bool:
    """Write the present state as an earlier pretraining; return False if it is not missing.

    If another process trains that pretraining, it writes it.
    """
    ranks = loop.ranks
    with (
        suppress(RunningElsewhereError, Interrupted),
        claim(identity, store, loop.resources, ranks, should_stop) as claimed,
    ):
        if not claimed.done:
            history = loop.history_so_far()
            if ranks.first:
                write_history(store.history(identity.key), history)
                outcome = loop.outcome(history)
                _finish(identity, loop.method, store, loop.clock, outcome, warn)
        ranks.wait()
        return not claimed.done
    return False


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
