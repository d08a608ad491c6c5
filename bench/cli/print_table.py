"""Lists of names as tables on the terminal or in a pipe."""

from collections.abc import Collection

from rich.table import Column, Table

from .app import Terminal, out

UNLIMITED = 10_000  # letters in a line


def names_column(names: Collection[str]) -> Column:
    """Return the column of names, which is never cut."""
    return Column("name", min_width=max(map(len, names)), no_wrap=True)


def print_table(table: Table) -> None:
    """Print a table; only a terminal limits its width."""
    wide = out
    if not out.is_terminal:
        wide = Terminal(file=out.file, width=UNLIMITED, highlight=False, emoji=False, markup=False)
    wide.print(table)
