"""The pretrainings and runs that a grid declares."""

import itertools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from ...methods._encoders import EncoderConfig, encoder_json, encoder_named
from ...protocols import PROTOCOLS
from ...results.record import digest_json
from ...results.scores import Column
from ..augmentation.conditions import CLEAN
from ..data.packed import Summary
from ..data.pools import pool_members
from ..data.registry import card
from ..given_identity import continued_from, input_of
from ..identity import GIVEN, Pretraining, Recipe, Run, Shots, fill, to_json
from ..method_facts.method_info import MethodInfo, inspect_method
from .encoder_entries import FoundWeights, GivenRow
from .recipes import recipe_of
from .schema import (
    Grid,
    MethodEntry,
    PretrainSection,
    ProtocolEntry,
    as_list,
    init_of,
    label_of,
    pool_of,
    seeds_of,
    sweep,
    unique,
)
from .sweeps import AT, at_axes, sweep_settings


@dataclass(frozen=True)
class PlannedPretraining:
    """A pretraining of the grid; `identity` is None until its pool is prepared."""

    label: str
    method: str
    axes: dict[str, Any]  # its value of each swept field
    seed: int
    identity: Pretraining | None
    config: dict[str, Any] = field(default_factory=dict)
    encoder: dict[str, Any] | None = None
    recipe_name: str | None = None  # None for a control
    recipe: Recipe | None = None
    pool: list[str] = field(default_factory=list)  # names as in the grid; empty for a control
    given: GivenRow | None = None  # of the weights of a file
    init: dict[str, Any] | None = None  # as in its identity: it continues from those weights
    # why its recipe is not known yet
    waits_for: Literal["", "timing", "tuning", "failed tuning"] = ""
    tuned: dict[str, Any] = field(default_factory=dict)  # recipe fields that `[tune]` has chosen
    failed_trials: int = 0  # of `[tune]`

    @property
    def row(self) -> str:
        """The label with the values of swept fields, which names a row of the table."""
        return self.label + "".join(f", {name} {value}" for name, value in self.axes.items())

    def without_at(self) -> "PlannedPretraining":
        """Return it without the axis `at`, as the name of its training."""
        return replace(self, axes={k: v for k, v in self.axes.items() if k != AT})


@dataclass(frozen=True)
class PlannedRun:
    """A run of the grid; `identity` is None until its data are prepared."""

    pretraining: PlannedPretraining
    dataset: str
    protocol: str
    shots: Shots
    seed: int
    identity: Run | None
    condition: str = ""  # of the test chips; empty for clean ones
    swept: str = ""  # swept settings of the protocol, as in `Column`
    settings: dict[str, Any] = field(default_factory=dict)  # of the protocol

    @property
    def column(self) -> Column:
        """Its column of the table."""
        return Column(self.dataset, self.protocol, self.shots, self.condition, self.swept)


def pools_of(planned: Iterable[PlannedPretraining]) -> list[tuple[str, ...]]:
    """Return each pool that is pretrained on once, in the order of the rows."""
    return [pool for pool in dict.fromkeys(tuple(one.pool) for one in planned) if pool]


Summaries = Callable[[str], Summary | None]

UNTRAINED = "random_init"  # the control, one for each kind of encoder in a grid
# Kind of encoder -> the method whose encoder the control builds (None: the default encoder). It is
# fixed, so that the control has the same key in every grid. A kind that is not listed takes the
# first method of the grid that has it.
LIKE = {"absolute positions": None, "relative positions": "lomar", "no class token": "i_jepa"}


def pretrainings(
    grid: Grid,
    methods: dict[str, MethodInfo],
    summary: Summaries,
    given: Sequence[FoundWeights] = (),
) -> list[PlannedPretraining]:
    """Return every pretraining of the grid, controls included, in the order of the file.

    `given` are those of `Grid.weights`; `given_rows` returns the rows of encoders as they are.
    """
    pretrain = grid.pretrain
    entries, planned = _entries(grid, methods), []
    for entry in entries:
        info = methods[entry.name]
        pool = pool_of(pretrain, entry, info)
        members = pool_members(pool, summary)
        config = fill(info.defaults, entry.config)
        points = [{}] if info.control else sweep(pretrain)
        if info.control and info.needs_encoder:
            points = [{"encoder": e} for e in as_list(pretrain.encoder)]
            points = points if len(points) > 1 else [{}]
        init = init_of(pretrain, entry, info)
        weights = next((one for one in given if one.entry == init), None)
        continued = continued_from(weights.identity) if weights else {}
        if weights:  # its encoder is that of the file
            points = unique({k: v for k, v in one.items() if k != "encoder"} for one in points)
        if trained := not info.control:
            points = [point | at for point in points for at in at_axes(grid)]
        for axes, seed in itertools.product(points, seeds_of(pretrain.seeds)):
            named = axes.get("encoder", as_list(pretrain.encoder)[0])
            if not _has_control(entry, named, methods):
                continue
            if not info.needs_encoder and seed != seeds_of(pretrain.seeds)[0]:
                continue  # it draws nothing and is the same for every seed
            fraction = axes.get("pool_fraction", as_list(pretrain.pool_fraction)[0])
            recipe = recipe_of(pretrain, axes, entry, info) if trained else None
            identity = Pretraining(
                method=entry.name,
                method_version=version_of(info, config, methods),
                config=config,
                encoder=continued.get("encoder", _encoder(named)) if info.needs_encoder else None,
                precision=pretrain.precision if trained else "fp32",
                pool=members or [],
                pool_cap=pretrain.pool_cap if trained else None,
                pool_fraction=fraction if trained else 1.0,
                recipe=fill(to_json(recipe), {}) if recipe else None,
                seed=seed if info.needs_encoder else 0,
                init=continued.get("init"),
                at=None if axes.get(AT) == 1 else axes.get(AT),
            )
            planned.append(
                PlannedPretraining(
                    label=label_of(pretrain, entry, methods, entries),
                    method=entry.name,
                    axes=axes,
                    seed=seed,
                    identity=None if members is None else identity,
                    config=config,
                    encoder=identity.encoder,
                    recipe_name=entry.recipe or pretrain.recipe if trained else None,
                    recipe=recipe,
                    pool=pool,
                    given=weights.row if weights else None,
                    init=identity.init,
                )
            )
    return planned


def _has_control(entry: MethodEntry, encoder: str, methods: dict[str, MethodInfo]) -> bool:
    """Return False for an untrained control whose `like` method cannot train this encoder."""
    like = entry.config.get("like") if entry.name == UNTRAINED else None
    if like is None or isinstance(encoder_named(encoder), EncoderConfig):
        return True
    return like in methods and methods[like].any_encoder


def version_of(info: MethodInfo, config: dict[str, Any], methods: dict[str, MethodInfo]) -> int:
    """Return the version of a method; that of an untrained control rises with that of `like`."""
    like = methods.get(config.get("like") or "") if info.name == UNTRAINED else None
    return info.version + (like.version - 1 if like else 0)


def _encoder(name: str) -> dict[str, Any]:
    found = encoder_named(name)
    return encoder_json(found) if found else {"name": name}  # `validate` refuses it


def _entries(grid: Grid, methods: dict[str, MethodInfo]) -> list[MethodEntry]:
    """Return the methods, the controls, and the extra controls of data sets.

    A grid in which no weights are drawn has the untrained controls of `given_rows` only.
    """
    entries = grid.entries
    inits = [init_of(grid.pretrain, one, methods[one.name]) for one in grid.methods]
    if grid.weights() and all(inits):
        entries = [one for one in entries if one.name != UNTRAINED or "like" in one.config]
    named = {entry.name for entry in grid.entries} | {GIVEN}
    entries += [MethodEntry(name=name) for name in methods if name not in named]
    return [
        one for entry in entries for one in _of_each_kind(grid.pretrain, entry, entries, methods)
    ]


def _of_each_kind(
    pretrain: PretrainSection,
    entry: MethodEntry,
    entries: list[MethodEntry],
    methods: dict[str, MethodInfo],
) -> list[MethodEntry]:
    """Return one untrained control for each kind of encoder in the grid.

    Other entries are returned unchanged. So is a control whose `like` is given, or that is in a
    grid without methods.
    """
    kinds: dict[str, str] = {}
    for other in entries:
        info = methods[other.name]
        drawn = not info.control and init_of(pretrain, other, info) is None
        if drawn and info.architecture:
            kinds.setdefault(info.architecture, other.name)
    if entry.name != UNTRAINED or "like" in entry.config or not kinds:
        return [entry]
    label, result = label_of(pretrain, entry, methods), []
    for kind in sorted(kinds, key=lambda kind: [*LIKE, kind].index(kind)):
        like = LIKE.get(kind, kinds[kind])
        config = entry.config | ({"like": like} if like else {})
        named = label if like is None else f"{label} ({kind})"
        result.append(entry.model_copy(update={"label": named, "config": config}))
    return result


def runs(
    grid: Grid,
    planned: list[PlannedPretraining],
    methods: dict[str, MethodInfo],
    summary: Summaries,
) -> list[PlannedRun]:
    """Return every run of the grid, without the protocols that a method does not support.

    A protocol that draws nothing has one run on all labels, with seed 0.
    """
    evaluate, result = grid.evaluate, []
    conditions = ["" if one == CLEAN else one for one in evaluate.conditions]
    extra = {name: card(name).source.extra_controls for name in evaluate.datasets}
    named = {entry.name for entry in grid.entries} | {GIVEN}
    for start in planned:
        allowed = protocols_of(start, methods)
        for name in evaluate.datasets:
            if start.method not in named and start.method not in extra[name]:
                continue
            protocols = evaluate.protocols
            if start.method not in named and "knn" not in protocols:
                protocols = {"knn": ProtocolEntry(shots=["all"])}
            for protocol, entry in protocols.items():
                if protocol not in allowed or name not in (entry.datasets or [name]):
                    continue
                defaults, data = to_json(PROTOCOLS[protocol].settings()), summary(name)
                changed = name in (evaluate.condition_datasets or [name])
                for (swept, given), shots, condition in itertools.product(
                    sweep_settings(entry.settings, defaults),
                    entry.shots,
                    conditions if changed else [""],
                ):
                    seeds = seeds_of(evaluate.seeds if entry.seeds is None else entry.seeds)
                    if shots == "all" and not PROTOCOLS[protocol].draws:
                        seeds = [0]
                    settings = fill(defaults, given)
                    result.extend(
                        PlannedRun(
                            start, name, protocol, shots, seed,
                            _identity(start, protocol, settings, shots, seed, condition, data),
                            condition, swept, settings,
                        )
                        for seed in seeds
                    )  # fmt: skip
    return result


def protocols_of(start: PlannedPretraining, methods: dict[str, MethodInfo]) -> list[str]:
    """Return the protocols of a method; an untrained control has those of its `like` method."""
    like = start.config.get("like") if start.method == UNTRAINED else None
    return methods[like if like in methods else start.method].protocols


def network_of(start: PlannedPretraining, methods: dict[str, MethodInfo]) -> tuple[str, str]:
    """Return kind and sizes of the encoder of a row; that of an untrained control is of its `like`.

    Trained rows are compared with the control of the same network. The input of given weights
    counts as well: an untrained network may depend on its scale.
    """
    kind = methods[GIVEN if start.init else start.method].architecture
    network = dict(start.encoder or {})
    given = start.init or GIVEN in (start.method, start.config.get("like"))
    expected = input_of(network, start.config).input_json() if given else None
    network.pop("input", None)
    sizes = digest_json([network, expected])
    if start.method == UNTRAINED:
        like = start.config.get("like")
        kinds = {method: kind for kind, method in LIKE.items()}
        kinds |= {name: info.architecture for name, info in methods.items()}
        kind = kinds[like] if like in kinds else inspect_method(str(like)).architecture
    return kind, sizes


def _identity(
    start: PlannedPretraining,
    protocol: str,
    settings: dict[str, Any],
    shots: Shots,
    seed: int,
    condition: str,
    data: Summary | None,
) -> Run | None:
    if start.identity is None or data is None:
        return None
    return Run(
        start=start.identity.key,
        method=start.method,
        dataset=data.name,
        data_digest=data.data_digest,
        split_digest=data.split_digest,
        protocol=protocol,
        protocol_version=PROTOCOLS[protocol].version,
        settings=settings,
        shots=shots,
        seed=seed,
        condition=condition or None,
    )
