"""The reference, generated from the code: printed in a page between two comments.

<!-- reference: NAME -->
<!-- end -->
"""

import re
from collections.abc import Iterable
from dataclasses import fields
from inspect import cleandoc, getdoc, signature
from typing import Any

from _fields import Field, as_toml, comments_of, fields_of

import sarbench
from sarbench.bench.cli.app import COMMANDS, load
from sarbench.bench.data.registry import card, dataset_names, pool_names
from sarbench.bench.grid import schema
from sarbench.bench.identity import CHOICES, RECIPES, SOURCE, Recipe
from sarbench.bench.method_facts.description import method_description
from sarbench.bench.slurm.profile import DEFAULTS, TIME_MIN, Allocation, Profile
from sarbench.methods import _registry
from sarbench.methods._encoders import SIZES
from sarbench.protocols import PROTOCOLS
from sarbench.results.metric import BUILT_IN

MARK = re.compile(r"^<!-- reference: (\w+) -->\n(?:.*\n)?<!-- end -->$", re.MULTILINE)
UNDOCUMENTED = "(no description)"


def with_reference(text: str) -> str:
    """Return a page with the present facts of the code in the place of its marks."""
    return MARK.sub(lambda mark: PARTS[mark[1]](), text)


def table(heads: Iterable[str], rows: Iterable[Iterable[Any]]) -> str:
    """Return a Markdown table."""
    lines = [list(heads), *(list(map(_cell, row)) for row in rows)]
    lines.insert(1, ["---"] * len(lines[0]))
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def _cell(value: Any) -> str:
    return " ".join(str(value).split()).replace("|", "\\|")


def _described(found: Iterable[Field], first: str = "key") -> str:
    rows = ((f"`{f.name}`", f.values, f.default, _meaning(f)) for f in found)
    return table([first, "values", "default", "meaning"], rows)


def _meaning(field: Field) -> str:
    """Return the description of a key; a file cannot say None."""
    return re.sub(r"\bNone\b", "not set", field.text) or UNDOCUMENTED


def grid() -> str:
    """Return the keys of each section of a grid file."""
    parts = [
        ("Top of the file", schema.Grid, ("of_trials",)),
        ("A method or control", schema.MethodEntry, ("overrides",)),
        ("A file of weights", schema.EncoderEntry, ()),
        ("`[pretrain]`", schema.PretrainSection, ("overrides",)),
        ("`[evaluate]`", schema.EvaluateSection, ()),
        ("A protocol", schema.ProtocolEntry, ()),
        ("`[tune]`", schema.TuneSection, ("overrides",)),
    ]
    text = ""
    for title, cls, without in parts:
        more = ""
        if issubclass(cls, schema.RecipeFields):
            more = "\nNext to these keys it takes the [fields of a recipe](recipes.md).\n"
        keys = _described(fields_of(cls, without))
        text += f"## {title}\n\n{cleandoc(cls.__doc__ or '')}\n\n{keys}{more}\n"
    return text


def recipes() -> str:
    """Return the fields of a recipe, and the values of the named ones."""
    names, rows = list(RECIPES), []
    for one in fields_of(Recipe):
        words = CHOICES.get(one.name, ())
        values = ", ".join(map(as_toml, words)) or one.values
        named = (as_toml(getattr(RECIPES[n], one.name)) for n in names)
        rows.append((f"`{one.name}`", values, *named, _meaning(one)))
    return table(["field", "values", *(f"`{n}`" for n in names), "meaning"], rows)


def sources() -> str:
    """Return the source recipe of each method that has one."""
    names = [f.name for f in fields(Recipe)]
    rows = []
    for name, method in _methods().items():
        if own := method.source_recipe:
            values = (as_toml(own[n]) if n in own else "" for n in names)
            rows.append((f"`{name}`", *values, comments_of(method).get("source_recipe", "")))
    return table([f"`{SOURCE}` of", *(f"`{n}`" for n in names), "from"], rows)


def encoders() -> str:
    """Return the sizes of the named encoders."""
    rows = [
        (f"`{e.name}`", e.input_px, e.patch_px, e.width, e.depth, e.heads)
        for e in SIZES.values()
    ]  # fmt: skip
    return table(["name", "input, px", "patch, px", "width", "blocks", "heads"], rows)


def profile() -> str:
    """Return the keys of a profile."""
    stages = ("pretrain", "evaluate")
    usual = {f.name: as_toml(getattr(DEFAULTS, f.name)) for f in fields_of(Allocation)}
    usual["time_min"] = ", ".join(f"`{TIME_MIN[stage]}` ({stage})" for stage in stages)
    both = [Field(f.name, f.values, usual[f.name], f.text) for f in fields_of(Allocation)]
    top = fields_of(Profile, (*Allocation.model_fields, *stages))
    return (
        "## For all work, or for one kind of it\n\nAt the top of the file, or under `[pretrain]` "
        f"and `[evaluate]`.\n\n{_described(both)}\n## Only at the top of the file\n\n"
        f"{_described(top)}"
    )


def commands() -> str:
    """Return every command with its arguments and options."""
    return "".join(_command(f"sarbench {name}", load(name), 2) for name in COMMANDS)


def _command(path: str, command: Any, level: int) -> str:
    text = f"{'#' * level} {path}\n\n{cleandoc(command.help or '')}\n\n"
    if subcommands := getattr(command, "commands", None):
        return text + "".join(_command(f"{path} {n}", c, 3) for n, c in subcommands.items())
    context = command.context_class(command)
    rows = [_option(one, context) for one in command.params if one.name != "help"]
    return text + table(["argument or option", "values", "default", "meaning"], rows) + "\n"


def _option(one: Any, context: Any) -> tuple[str, ...]:
    shown = one.metavar or one.display_type(context).strip("<>")
    names = ", ".join(f"`{n}`" for n in (*one.opts, *one.secondary_opts))
    if one.param_type_name == "argument":
        names = f"`{shown}`"
    flag = shown == "bool" or one.param_type_name == "argument"
    values = "" if flag else f"`{shown.replace('list[', '').rstrip(']')}`"
    default = "" if one.default in (None, False, []) else f"`{one.default}`"
    if shown == "bool" and one.default:
        default = f"`{one.opts[0]}`"
    text = one.help or UNDOCUMENTED
    if one.envvar:
        text += f" (environment variable `{one.envvar}`)"
    return names, values, "required" if one.required else default, text


def _methods() -> dict[str, Any]:
    """Return the methods of this repository, by family and name."""
    found = {name: _registry.get(name) for name in sorted(_registry.own_names())}
    order = _registry.FAMILIES.index
    return dict(sorted(found.items(), key=lambda one: order(one[1].family)))


def methods() -> str:
    """Return each method with its facts and settings, by family."""
    text = ""
    for family in _registry.FAMILIES:
        named = {n: m for n, m in _methods().items() if m.family == family}
        text += f"## {family.capitalize()}\n\n" if named else ""
        for name, method in named.items():
            text += f"### {name}\n\n{_facts(name, method)}\n\n"
            if own := fields_of(method.Config):
                text += _described(own, "setting") + "\n"
    return text


def _facts(name: str, method: Any) -> str:
    parts = method_description(name)
    first = f"**{method.label}**, version {method.version}."
    if method.unconfirmed:
        first += " Its paper leaves the definition open; tables mark it with †."
    if method.trains:
        first += f" [Paper and differences](../papers.md#{name})."
    hidden = [f"{h}: {' '.join(parts[h])}" for h in ("Hidden", "Predicted") if h in parts]
    return "\n\n".join([first, *hidden])


def papers() -> str:
    """Return paper, source and differences of each method file."""
    text = ""
    for name, method in _methods().items():
        if not method.trains:
            continue
        parts = method_description(name)
        text += f"### {name}\n\n**{method.label}.** {' '.join(parts['Paper'])}\n\n"
        text += f"Source: {' '.join(parts.get('Source', ['none']))}\n\n"
        for heading in ("Differs from the source", "Unknown"):
            if points := parts.get(heading):
                text += f"{heading}:\n\n" + "".join(f"- {p.rstrip('.')}\n" for p in points) + "\n"
    return text


def protocols() -> str:
    """Return each protocol with its settings."""
    text = ""
    for name, one in PROTOCOLS.items():
        labels = [
            *["labelled chips per class"] * one.allows_shots,
            "a share of the labels",
            *['`"all"`'] * one.allows_all,
        ]
        text += f"## {name}\n\n{cleandoc(one.settings.__doc__ or '')}\n\nVersion {one.version}. "
        text += f"Shots: {', '.join(labels)}.\n\n{_described(fields_of(one.settings), 'setting')}\n"
    return text


def metrics() -> str:
    """Return the metrics."""
    rows = []
    for one in BUILT_IN.values():
        better = "lower" if one.lower_is_better else "higher"
        rows.append((f"`{one.name}`", one.title, better, one.about or UNDOCUMENTED))
    return table(["`--metric`", "in tables", "better", "value"], rows)


def datasets() -> str:
    """Return the data sets and pools."""
    sets, pools = [], []
    for name in dataset_names():
        one = card(name)
        counts = {side: sum(n.values()) for side, n in one.counts.items()}
        sides = one.sides or (counts.get("train"), counts.get("test"))
        size = " / ".join("unconfirmed" if n is None else f"{n:,}" for n in sides)
        sets.append((f"`{name}`", one.what, size, one.crop_px or "whole chips"))
    for name in pool_names():
        one = card(name, pool=True)
        pools.append((f"`{name}`", one.what, f"{one.total:,}" if one.total else ""))
    first = table(["data set", "content", "train / test", "crop, px"], sets)
    return first + "\n" + table(["pool", "content", "images"], pools)


def python() -> str:
    """Return the public names of the package with their signatures and docstrings."""
    text = ""
    for name in sarbench.__all__:
        one = getattr(sarbench, name)
        text += _documented(f"sarbench.{name}", one, "##")
        for key, member in vars(one).items() if isinstance(one, type) else ():
            if not key.startswith("_") and callable(member):
                text += _documented(f"{name}.{key}", member, "###")
    return text


def _documented(name: str, one: Any, heading: str) -> str:
    shown = "" if isinstance(one, type) else f"```python\n{name}{_signature(one)}\n```\n\n"
    return f"{heading} {name}\n\n{shown}{_google(getdoc(one) or '')}\n\n"


def _signature(one: Any) -> str:
    parameters = [p for p in signature(one).parameters.values() if p.name != "self"]
    words = (p.name if p.default is p.empty else f"{p.name}={p.default!r}" for p in parameters)
    return f"({', '.join(words)})"


def _google(text: str) -> str:
    """Return a docstring in Google style as Markdown: its sections become lists."""
    lines = []
    for line in text.splitlines():
        if re.fullmatch(r"(Args|Attributes|Raises|Returns):", line):
            lines += [f"**{line}**", ""]
        elif match := re.match(r"    (\w+): (.*)", line):
            lines.append(f"- `{match[1]}`: {match[2]}")
        else:
            lines.append(f"  {line.strip()}" if line.startswith("    ") else line)
    return "\n".join(lines)


PARTS = {
    one.__name__: one
    for one in (
        grid, recipes, sources, encoders, profile, commands, methods, papers, protocols, metrics,
        datasets, python,
    )
}  # fmt: skip
