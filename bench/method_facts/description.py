"""The parts of the docstring of a method's file, read without importing the method."""

import ast
import re
from importlib.util import find_spec
from pathlib import Path

from ...methods import _registry

HEADINGS = ("Hidden", "Predicted", "Paper", "Source", "Differs from the source", "Unknown")
HEADING = re.compile(rf"^({'|'.join(HEADINGS)}):[ ]?", re.MULTILINE)
POINT = re.compile(r"^- ", re.MULTILINE)


def method_description(name: str) -> dict[str, list[str]]:
    """Return the points below each heading of a method's docstring.

    Without headings, for a method that is not installed here, the result is empty.
    """
    try:
        spec = find_spec(_registry.module_of(name))
    except (LookupError, ImportError, ValueError):
        return {}
    if spec is None or not spec.origin:
        return {}
    return split_docstring(ast.get_docstring(ast.parse(Path(spec.origin).read_text("utf-8"))) or "")


def split_docstring(text: str) -> dict[str, list[str]]:
    """Return the points below each heading; a text without a list is one point."""
    _, *parts = HEADING.split(text)
    found = {}
    for heading, body in zip(parts[::2], parts[1::2], strict=True):
        block = body.split("\n\n")[0]
        first, *points = POINT.split(block)
        found[heading] = [
            " ".join(one.split()).rstrip(";") for one in (first, *points) if one.strip()
        ]
    return found
