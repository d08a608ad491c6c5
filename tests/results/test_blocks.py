"""Wide tables as blocks of columns, in text and in LaTeX."""

import re
from itertools import pairwise

import pytest
from made_scores import score

from sarbench.results.leaderboard import tabulate_scores
from sarbench.results.scores import Column
from sarbench.results.tables.render import STYLES, render

CONDITIONS = ("", "shift:4", "shift:8", "noise:5")
COLUMNS = [
    Column(dataset, protocol, shots, condition)
    for dataset in ("mstar_soc", "sar_acd")
    for protocol in ("knn", "linear")
    for shots in (10, "all")
    for condition in CONDITIONS
]


@pytest.fixture(scope="module")
def board():
    """Return 32 columns of three rows; every score is another number."""
    return tabulate_scores([
        score(row, (1 + 3 * place + number) / 100 + 0.002 * start, start=start, column=column)
        for place, column in enumerate(COLUMNS)
        for number, row in enumerate(("first method", "second method", "third method"))
        for start in (-1, 0, 1)
    ])  # fmt: skip


def tables_of(text: str) -> list[tuple[str, list[str]]]:
    """Return title and lines of each table in a text without caption."""
    parts = text.split("\n\n")
    return [(title, table.splitlines()) for title, table in pairwise(parts)
            if table.startswith("method ")]  # fmt: skip


@pytest.mark.parametrize("width", [60, 80, 100, 120])
def test_every_cell_of_a_wide_table_is_in_one_block_that_fits(board, width):
    tables = tables_of("\n\n" + render(board, "text", width=width))
    assert max(len(line) for _, lines in tables for line in lines) <= width
    text = "\n".join(line for _, lines in tables for line in lines)
    means = [f"{cell.mean:.1%}"[:-1] for cell in board.cells if cell.mean is not None]
    assert len(means) == 96
    assert all(text.count(f" {mean} ") == 1 for mean in means)
    ranks = [f"{rank:.2f}" for rank in board.mean_rank.values()]
    assert [f" {rank}" in text for rank in ranks] == [True] * len(ranks)


def test_a_block_is_titled_by_what_its_columns_share(board):
    tables = tables_of("\n\n" + render(board, "text", width=100))
    heads = {title: lines[0].split() for title, lines in tables}
    assert heads["mstar_soc, knn, 10 shots"] == ["method", "clean", *CONDITIONS[1:]]
    assert len(heads) == 8 + bool(board.mean_rank)


def test_a_table_that_fits_has_no_blocks(board):
    whole = render(board, "text")
    widest = max(map(len, whole.split("\n\n")[0].splitlines()))
    assert render(board, "text", width=widest) == whole
    assert render(board, "text", width=widest - 1) != whole


def test_a_column_that_does_not_fit_is_a_block(board):
    tables = tables_of("\n\n" + render(board, "text", width=5))
    assert len(tables) == len(COLUMNS) + bool(board.mean_rank)
    assert {len(lines[0].split()) for _, lines in tables[:32]} == {2}


@pytest.mark.parametrize("style", [*(s for s in STYLES if s != "text"), "csv", "json"])
def test_only_text_has_the_width_of_a_terminal(board, style):
    assert render(board, style, width=60) == render(board, style)


def test_a_wide_table_in_latex_is_several_with_one_caption_and_every_cell(board):
    text = render(board, "latex", notes=True)
    tables = text.split("\\begin{table}")[1:]
    captions = [re.search(r"\\caption\{(.*)\}", table)[1] for table in tables]
    assert len(tables) == 4 + bool(board.mean_rank)
    assert captions[0].startswith("Leaderboard: Accuracy, mstar\\_soc, knn. Accuracy in percent")
    assert captions[1] == "Leaderboard: Accuracy (continued), mstar\\_soc, linear."
    assert [r"\parbox" in table for table in tables] == [False] * (len(tables) - 1) + [True]
    numbers = re.findall(r"(\d+\.\d) \$\\pm\$", text)
    means = [f"{cell.mean:.1%}"[:-1] for cell in board.cells if cell.mean is not None]
    assert sorted(numbers) == sorted(means)
    assert "\\multicolumn{4}{c}{10 shots} & \\multicolumn{4}{c}{all labels}" in tables[0]
