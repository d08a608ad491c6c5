"""The history of a pretraining: loss, learning rate and more, by step."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .atomic import write_atomic


def write_history(path: Path, history: Sequence[dict[str, Any]]) -> None:
    """Write the lines of a history."""
    write_atomic(path, "".join(json.dumps(line) + "\n" for line in history))


def read_history(path: Path) -> list[dict[str, Any]]:
    """Return the lines of a history up to the first that is not one, for example not complete.

    A line is a JSON object of numbers with a whole number `step`.
    """
    lines = []
    for text in path.read_text("utf-8", errors="replace").splitlines() if path.exists() else ():
        try:
            line = json.loads(text)
        except (ValueError, RecursionError):
            break
        numbers = isinstance(line, dict) and all(
            value is None or isinstance(value, int | float) for value in line.values()
        )
        if not numbers or type(line.get("step")) is not int:
            break
        lines.append(line)
    return lines
