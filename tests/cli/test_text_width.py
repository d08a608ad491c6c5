"""Text tables fit the terminal, or 120 letters in a file or a pipe."""

from pathlib import Path

import pytest
from commands import call_here

from sarbench.bench.cli.app import text_width

ARCHIVE = Path(__file__).parent.parent / "readme" / "small.zip"


def widest(text: str) -> int:
    """Return the length of the longest line of the tables above the caption."""
    return max(map(len, text.split("\n\nAccuracy")[0].splitlines()))


@pytest.mark.parametrize("columns", [60, 200])
def test_a_table_has_the_width_of_the_terminal(columns):
    done = call_here("table", ARCHIVE, environment={"COLUMNS": str(columns)})
    assert widest(done.stdout) <= columns
    assert done.stdout.count("\nRaw pixels") == (1 if columns == 200 else 2)


def test_the_width_of_a_file_does_not_depend_on_the_terminal(monkeypatch):
    monkeypatch.setenv("COLUMNS", "77")
    assert (text_width(), text_width(Path("table.txt"))) == (77, 120)
