"""Fields of configuration classes: names, types in words, defaults, descriptions."""

import ast
import inspect
import io
import json
import re
import textwrap
import tokenize
import types
from dataclasses import MISSING, dataclass, fields, is_dataclass
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from pydantic import BaseModel
from pydantic_core import PydanticUndefined

PLAIN = {
    int: "whole number", float: "number", str: "text", bool: "true or false", dict: "table",
    Any: "any value",
}  # fmt: skip
BOUNDS = {"ge": "at least {}", "gt": "above {}", "le": "at most {}", "lt": "below {}"}
PLURALS = {"whole number": "whole numbers", "number": "numbers", "text": "texts", "table": "tables"}


@dataclass(frozen=True)
class Field:
    """A key of a file: its values in words, its default as it is written, a description."""

    name: str
    values: str
    default: str
    text: str


def fields_of(cls: type, without: tuple[str, ...] = ()) -> list[Field]:
    """Return the fields of a pydantic model or a dataclass, inherited ones first."""
    hints = get_type_hints(cls, include_extras=True)
    comments = comments_of(cls)
    found = []
    for name, default, described in _own(cls):
        if name in without:
            continue
        text = "; ".join(one for one in (comments.get(name, ""), described) if one)
        found.append(Field(name, in_words(hints[name]) + _bounds(cls, name), default, text))
    return found


def _own(cls: Any) -> list[tuple[str, str, str]]:
    """Return (name, default, description) of each field."""
    if is_dataclass(cls):
        return [
            (one.name, "required" if one.default is MISSING else as_toml(one.default), "")
            for one in fields(cls)
        ]
    return [
        (
            name,
            "required"
            if one.is_required()
            else as_toml(one.get_default(call_default_factory=True)),
            one.description or "",
        )
        for name, one in cls.model_fields.items()
    ]


def _bounds(cls: Any, name: str) -> str:
    rules = [] if is_dataclass(cls) else cls.model_fields[name].metadata
    found = [
        text.format(f"{getattr(rule, key):g}")
        for rule in rules
        for key, text in BOUNDS.items()
        if getattr(rule, key, None) is not None
    ]
    return f", {' and '.join(found)}" if found else ""


def in_words(hint: Any) -> str:
    """Return the allowed values of a type, as they are written in a file."""
    origin, inner = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return in_words(inner[0])
    if origin is Literal:
        return ", ".join(as_toml(one) for one in inner if one is not None)
    if origin in (Union, types.UnionType):
        parts = [in_words(one) for one in inner if one is not type(None)]
        return " or ".join(dict.fromkeys(parts))
    if origin is list or (origin is tuple and inner[-1] is ...):
        return f"list of {_plural(in_words(inner[0]))}"
    if origin is tuple:
        return f"list of {len(inner)} {_plural(in_words(inner[0]))}"
    if isinstance(hint, type) and issubclass(hint, BaseModel):
        return "table"
    return PLAIN.get(origin or hint, "table")


def _plural(words: str) -> str:
    return PLURALS.get(words, words)


def as_toml(value: Any) -> str:
    """Return a value as it is written in TOML; None and empty values in words."""
    if value is None or value is PydanticUndefined:
        return "not set"
    if isinstance(value, BaseModel):
        return "see its table"
    if isinstance(value, list | tuple) and value and isinstance(value[0], BaseModel):
        return "`" + json.dumps([one.model_dump()["name"] for one in value]) + "`"
    if isinstance(value, tuple):
        value = list(value)
    return f"`{json.dumps(value)}`" if value not in ({}, []) else "empty"


def _attributes(doc: str) -> dict[str, str]:
    """Return the attributes that a docstring in Google style describes."""
    listed = doc.partition("Attributes:\n")[2].split("\n\n")[0]
    found = re.findall(r"^    (\w+): (.*(?:\n {8}.*)*)", listed, re.MULTILINE)
    return {name: " ".join(text.split()).rstrip(".") for name, text in found}


def comments_of(cls: type) -> dict[str, str]:
    """Return what the source says of each field.

    It is in the docstring, on the lines of the field, or in a comment directly above it.
    """
    found: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        if base is BaseModel or base.__module__ in ("builtins", "pydantic.main"):
            continue
        try:
            source = textwrap.dedent(inspect.getsource(base))
        except (OSError, TypeError):
            continue
        found |= _attributes(inspect.getdoc(base) or "")
        lines = source.splitlines()
        written = {
            token.start[0]: token.string.lstrip("# ")
            for token in tokenize.generate_tokens(io.StringIO(source).readline)
            if token.type == tokenize.COMMENT and not token.string.startswith("# fmt")
        }
        body = ast.parse(source).body[0]
        for node in getattr(body, "body", []):
            if not isinstance(node, ast.AnnAssign) or not isinstance(node.target, ast.Name):
                continue
            above, line = [], node.lineno - 1
            while lines[line - 1].lstrip().startswith("#"):
                above.insert(0, written[line])
                line -= 1
            ends = [written[n] for n in (node.lineno, node.end_lineno) if n in written][:1]
            if text := " ".join(ends or above):
                found[node.target.id] = text
    return found
