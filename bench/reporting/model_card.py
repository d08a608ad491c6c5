"""The model card of an exported encoder, in Markdown."""

import json
from collections.abc import Iterable, Sequence
from importlib.metadata import version
from typing import Any

import torch

from ...methods import _registry
from ...methods._encoders import GivenConfig
from ...results.record import PretrainRecord
from ...results.tables.sheets import format_cell
from ..identity import GIVEN, Pretraining, Recipe
from ..plan.comparability import describe_recipe
from ..store.records import Store
from ..weights.export import Export
from ..weights.given_weights import GivenWeights
from .model_card_scores import CardScore, scores_of_start
from .model_card_seen import seen_by


def model_card(
    store: Store, record: PretrainRecord, given: GivenWeights, made: Export, name: str
) -> str:
    """Return the card of an encoder that is written to a file of this name.

    Raises:
        LeaderboardError: A record of a run disagrees with its predictions.
    """
    identity = Pretraining(**record.identity)
    method, source = _registry.get(identity.method), record.given
    lines = [
        f"# {(source and source.label) or method.label}, encoder {record.key[:12]}",
        f"Exported by sarbench {version('sarbench')} with torch {torch.__version__} and timm "
        f"{version('timm')}.",
        *_table(
            ("", ""),
            [
                ("method", f"{method.label} (`{identity.method}`, version "
                 f"{identity.method_version})"),
                *([("file", source.file)] if source else []),
                *([] if identity.method == GIVEN else [("paper", method.paper)]),
                ("encoder", given.architecture),
                ("parameters", f"{made.parameters:,}"),
                ("pretraining", f"`{record.key}`"),
                ("weights in the store, SHA-256 of the file", f"`{record.weights_digest}`"),
                ("weights in this file, digest", f"`{made.digest}`"),
                ("made on", f"{record.provenance.started[:10]}, commit "
                 f"`{record.provenance.commit[:12]}`{' (edited)' * record.provenance.dirty}"),
            ],
        ),
        "## Load",
        _needs(made),
        "```python\n" + load_code(made, name) + "\n```",
        "## Input",
        *_input(made),
        "## Pretraining",
        *_pretraining(identity, record),
        "## What it has seen",
        "\n".join(f"- {line}" for line in seen_by(store, identity, source)),
        "## Scores",
        *_scores(scores_of_start(store, record)),
    ]  # fmt: skip
    return "\n\n".join(lines) + "\n"


def load_code(made: Export, name: str) -> str:
    """Return the Python that loads a file of this name and computes tokens of chips."""
    if made.loader is None:
        options: dict[str, Any] = {"pretrained": False, "num_classes": 0} | made.arguments
        options["checkpoint_path"] = name
        listed = [_literal(made.timm_name), *(f"{n}={_literal(one)}" for n, one in options.items())]
        imports, start = "import timm\nimport torch", "encoder = timm.create_model("
        built = "\n".join([start, *(f"    {one}," for one in listed), ").eval()"])
    else:
        loader = name.removesuffix(".safetensors") + ".py"
        imports = "import runpy\n\nimport torch"
        built = (
            f'load = runpy.run_path({_literal(loader)})["load"]\nencoder = load({_literal(name)})'
        )
    normalise = _normalise(made)
    px, (count, width) = made.encoder.input_px, made.tokens_shape
    lines = [
        imports,
        "",
        built,
        f"chips = torch.rand(2, 1, {px}, {px})  # amplitude in [0, 1]",
        *normalise,
        "with torch.no_grad():",
        f"    tokens = encoder({'images' if normalise else 'chips'})",
        *([made.to_tokens] if made.to_tokens else []),
        f"assert tokens.shape == (2, {count}, {width})",
    ]
    return "\n".join(lines)


def _literal(value: Any) -> str:
    """Return a value as Python; a text in double quotes."""
    return json.dumps(value) if isinstance(value, str) else repr(value)


def _normalise(made: Export) -> list[str]:
    """Return the lines that make the channels of a network whose input is not folded."""
    own = made.input
    if own.channels == 1 and own.mean is None and own.std is None:
        return []
    lines = [f"images = chips.expand(-1, {own.channels}, -1, -1)"]
    for sign, values in (("-", own.mean), ("/", own.std)):
        if values is not None:
            lines.append(f"images = images {sign} torch.tensor({list(values)})[:, None, None]")
    if own.channel is not None:
        only = [float(number == own.channel) for number in range(own.channels)]
        lines.append(f"images = images * torch.tensor({only})[:, None, None]  # others: their mean")
    return lines


def _needs(made: Export) -> str:
    needs = "With timm and safetensors, without sarbench, in the folder of this file"
    if made.loader:
        return f"{needs}. timm lacks this network; the loader next to the file builds it:"
    if isinstance(made.encoder, GivenConfig):
        needs += ". The name gives the kind of network; the arguments set its sizes"
    return f"{needs}:"


def _input(made: Export) -> list[str]:
    px, own = made.encoder.input_px, made.input
    rows = [
        (
            "size",
            f"{px} x {px} px; chips of another size are resized (bicubic, antialiased), "
            "then clamped to [0, 1]",
        ),
        ("values", "amplitude in [0, 1]: stored values divided by their full scale"),
    ]
    if _normalise(made):
        rows.append(("channels and normalisation", own.in_words()))
    else:
        rows += [
            ("channels", "1"),
            ("mean, standard deviation", "none: they are part of the first layer's weights"),
        ]
    token = "the class token first" if made.class_token else "without a class token"
    rows.append(("tokens", f"{made.tokens_shape[0]} of length {made.tokens_shape[1]}, {token}"))
    return _table(("input", ""), rows)


def _pretraining(identity: Pretraining, record: PretrainRecord) -> list[str]:
    if identity.method == GIVEN:
        config = identity.config
        text = f"The weights come from a file: layout {config['layout']}"
        part = f", part {config['part']}" if config.get("part") else ""
        return [f"{text}{part}, digest of its weights `{config['digest']}`."]
    rows = [("seed", str(identity.seed)), ("precision", identity.precision)]
    if identity.init:
        rows.append(("continued from weights", f"`{identity.init['digest']}`"))
    if identity.recipe:
        rows += [
            ("recipe", describe_recipe(Recipe(**identity.recipe))),
            ("steps", f"{record.steps:,}{_ended(identity)}"),
        ]
    if identity.config:
        rows.append(("settings of the method", f"`{json.dumps(identity.config, sort_keys=True)}`"))
    found = _table(("pretraining", ""), rows)
    if not identity.pool:
        return [*found, "No pool."]
    cap = f", capped at {identity.pool_cap:,}" if identity.pool_cap else ""
    share = f", {identity.pool_fraction:.0%} of it" if identity.pool_fraction < 1 else ""
    found.append(f"Pool: {identity.pool_count:,} chips{cap}{share}.")
    members = [(f"`{one['name']}`", f"{one['count']:,}", f"`{one['digest']}`")
               for one in identity.pool]  # fmt: skip
    return [*found, *_table(("pool", "chips in it", "digest of the pixels"), members)]


def _ended(identity: Pretraining) -> str:
    """Return the place in its training of an encoder that was taken before the end."""
    if identity.at is None:
        return ""
    return f", {identity.at:g} of a training whose schedule is for all its steps"


def _scores(scores: Sequence[CardScore]) -> list[str]:
    if not scores:
        return ["The store has no run of this encoder."]
    rows = []
    for one in scores:
        cell = one.cell
        protocol = f"{cell.protocol} {one.version}" + (f" ({one.settings})" if one.settings else "")
        rows.append((
            cell.dataset, protocol, str(cell.shots), cell.condition or "clean", format_cell(cell),
            str(cell.n), f"{one.test_count:,}",
        ))  # fmt: skip
    heads = ("data set", "protocol", "shots", "condition", "accuracy", "runs", "test chips")
    reasons = {one.cell.no_interval for one in scores} - {None}
    return [
        *_table(heads, rows),
        "Accuracy in percent with its 95% interval: over test chips of one checkpoint, and over "
        "draws of labelled chips where they are drawn. It says nothing about other pretraining "
        "seeds of the method.",
        *(f"Without an interval: {one}." for one in sorted(map(str, reasons))),
    ]


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Return a Markdown table as one block."""
    lines = [heads, ["---"] * len(heads), *([_cell(one) for one in row] for row in rows)]
    return ["\n".join(f"| {' | '.join(line)} |" for line in lines)]


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
