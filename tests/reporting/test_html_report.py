"""Tables, figures and the page: their contents, and names that hold markup."""

import re
import shutil
import subprocess

import numpy as np
import pytest
from drawings import outside

from sarbench.results.figures.confusion import confusion_figure, recall_figure
from sarbench.results.figures.critical_difference import ranks_figure
from sarbench.results.figures.encoders import attention_figure, features_figure
from sarbench.results.figures.gains import Measured, gain_figure
from sarbench.results.figures.style import inline_svg, save
from sarbench.results.figures.swept import swept_figure
from sarbench.results.figures.training import training_figure
from sarbench.results.leaderboard import tabulate_scores
from sarbench.results.notes import Note
from sarbench.results.page.html_page import Drawing, Report, RunLine, report_page
from sarbench.results.scores import Column, Score
from sarbench.results.statistics.ranks import rank_methods
from sarbench.results.tables.latex import escape_latex
from sarbench.results.tables.render import STYLES, render

EVIL = (
    '<img src=x onerror="alert(1)"> & $x_1^2$ \\input{/etc/passwd} %#{}~|`*_"\' \N{SNOWMAN} ../../x'
)


def scores(method, level, *, seeds=10, control=False, shots=(10, 20), wobble=1):
    return [
        Score(
            method=method, control=control, unconfirmed=False, dataset="synthetic",
            protocol="linear", shots=k, pretrain_seed=start, seed=seed, state="done",
            values={
                "accuracy": level + k / 1000 + wobble * (seed - 4.5) / 1000 + (start - 1) / 1000,
                "macro_f1": level,
            },
            key=f"{start}-{seed}",
        )
        for k in shots for start in range(3) for seed in range(seeds)
    ]  # fmt: skip


@pytest.fixture(scope="module")
def runs():
    return [
        *scores("Alpha", 0.8), *scores("Beta", 0.79, wobble=-1), *scores("Gamma", 0.5),
        *scores(EVIL, 0.3), *scores("Floor", 0.9, control=True),
    ]  # fmt: skip


@pytest.fixture(scope="module")
def board(runs):
    return tabulate_scores(runs, notes=[Note("Data", f"A note about {EVIL}", f"A flag of {EVIL}")])


def test_places_are_bold_and_underlined_in_each_format(board):
    column = Column("synthetic", "linear", 10)
    assert [board.cell(r, column).place for r in ("Alpha", "Beta", "Gamma")] == [1, 2, None]
    value = r"81\.0 ± 0\.2"  # 4.303 * 0.1 / sqrt(3)
    assert re.search(rf"\*\*{value}\*\*", render(board, "markdown"))
    assert re.search(rf"<strong>{value}</strong>", render(board, "html"))
    assert re.search(r"\\textbf\{81\.0 \$\\pm\$ 0\.2\}", render(board, "latex"))
    assert re.search(rf"{value}  \(1\)", render(board, "text"))
    assert "<u>80.0" in render(board, "markdown")
    assert "\\underline{80.0" in render(board, "latex")


def test_the_notes_say_how_the_numbers_were_computed(board):
    text = " ".join(render(board, "text", notes=True).split())
    for part in (
        "half-width of the 95% Student interval over pretraining seeds", "Evaluation seeds 0-9",
        "Tukey's range test over the pretraining seeds of all methods",
        "Smallest significant difference from the best of a column, in points: synthetic/linear/10",
        "Controls above every method: Floor in synthetic", "may still differ",
    ):  # fmt: skip
        assert part in text


def test_the_paper_layout_has_a_table_per_protocol(runs):
    more = [
        Score(**{n: getattr(s, n) for n in Score.__slots__} | {"protocol": "knn"}) for s in runs
    ]
    text = render(tabulate_scores([*runs, *more]), "latex", "paper")
    assert text.count("\\begin{table}") == 2
    assert "\\multicolumn{2}{c}{synthetic}" in text
    with pytest.raises(ValueError, match="leaderboard, paper"):
        render(tabulate_scores(runs), "text", "poster")


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("layout", ["leaderboard", "paper"])
def test_no_name_becomes_markup(board, style, layout):
    text = render(board, style, layout, notes=True)
    if style in ("html", "markdown"):
        assert "<img" not in text
        assert "&lt;img" in text
    if style == "latex":
        assert "\\input" not in text
        assert "\\textbackslash{}input" in text


def test_latex_prints_every_letter():
    assert escape_latex("a_b 50% {x} é ☃ \x00") == "a\\_b 50\\% \\{x\\} é {[}U+2603] "
    assert escape_latex("[5cm] a") == "{[}5cm] a"  # begins no length after \\midrule


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("pdflatex"), reason="needs pdflatex (texlive)")
@pytest.mark.parametrize("layout", ["leaderboard", "paper"])
def test_the_latex_compiles(board, layout, tmp_path):
    (tmp_path / "t.tex").write_text(render(board, "latex", layout, notes=True))
    done = subprocess.run(
        ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "t.tex"],
        cwd=tmp_path, capture_output=True, text=True, check=False, errors="replace",
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-2000:]
    assert (tmp_path / "t.pdf").stat().st_size > 10_000
    assert "Overfull \\hbox" not in done.stdout


MANY = [f"SAR-JEPA (Gaussian) {n}, encoder vit:128x4x4@112/8, epochs 16" for n in range(17)]


def test_ranks_of_many_methods_with_long_names_do_not_overlap():
    ranking = rank_methods(MANY, np.random.default_rng(0).random((9, len(MANY))))
    figure = ranks_figure(ranking)
    figure.draw_without_rendering()
    (axes,) = figure.axes
    names = [text.get_text() for text in axes.texts]
    assert all(sum(row in text for text in names) == 1 for row in MANY)
    boxes = [text.get_window_extent() for text in axes.texts]
    assert not any(one.overlaps(other) for n, one in enumerate(boxes) for other in boxes[:n])
    assert all(figure.bbox.x0 <= box.x0 and box.x1 <= figure.bbox.x1 for box in boxes)


def test_recall_of_many_methods_with_long_names_is_whole():
    recalls = {row: np.full(3, n / 17) for n, row in enumerate(MANY)}
    figure = recall_figure(recalls, ["a", "b", "c"], MANY[12:], "title")
    assert outside(figure) == []
    labels = [text.get_text().replace("\n", " ") for text in figure.axes[0].get_yticklabels()]
    assert labels == MANY
    boxes = [text.get_window_extent() for text in figure.axes[0].get_yticklabels()]
    assert not any(one.overlaps(other) for n, one in enumerate(boxes) for other in boxes[:n])


MATRIX = np.array([[8, 2, 0], [1, 9, 0], [0, 0, 10]])


def test_classes_are_drawn_as_percent_of_the_true_class():
    confusion = confusion_figure({"A": MATRIX}, ["a", "b", "c"], "title")
    assert [t.get_text() for t in confusion.axes[0].texts] == ["80", "20", "10", "90", "100"]
    recalls = {"A": np.array([0.8, 0.9, 1.0]), "B": np.array([0.1, 0.2, 0.3])}
    (axes,) = recall_figure(recalls, ["a", "b", "c"], ["B"], "title").axes
    assert [t.get_text() for t in axes.texts] == ["80", "90", "100", "10", "20", "30"]
    assert axes.images[0].get_array().tolist() == [[80, 90, 100], [10, 20, 30]]
    assert [t.get_text() for t in axes.get_yticklabels()] == ["A", "B"]


def test_encoders_of_two_sizes_have_their_own_uniform_attention_and_one_scale():
    figure = attention_figure({"A": MATRIX[:2] + 0.5, "B": MATRIX * 9.0}, {"A": 41.0, "B": 58.0})
    dashed = [line for axes in figure.axes for line in axes.lines if line.get_linestyle() == "--"]
    assert [list(line.get_ydata()) for line in dashed] == [[41, 41], [58, 58]]
    assert [axes.get_ylim() for axes in figure.axes] == [(0, pytest.approx(103.5))] * 2  # 1.15 * 90


OLD_HISTORY = [
    {"step": 3 * epoch, "epoch": epoch, "loss": 2.0 / epoch, "spread": 0.5} for epoch in (1, 2)
]
HISTORY = [
    {"step": 0, "epoch": 0, "spread": 0.5, "rank": 4.0, "knn": 0.25},
    *({**line, "rank": 3.0} for line in OLD_HISTORY),
]


def test_training_curves_of_old_and_new_histories_share_a_figure():
    axes = training_figure({"old": OLD_HISTORY, "new": HISTORY}).axes
    drawn = [
        [line.get_xydata().tolist() for line in one.lines] for one in axes if one.get_visible()
    ]
    losses, spread = [[1, 2], [2, 1]], [[1, 0.5], [2, 0.5]]
    assert drawn == [
        [losses], [losses], [spread], [[[0, 0.5], *spread]],
        [[]], [[[0, 4], [1, 3], [2, 3]]], [[]], [[[0, 25]]],
    ]  # fmt: skip
    only_old = training_figure({"old": OLD_HISTORY})
    assert [one.get_ylabel() for one in only_old.axes] == ["loss (own scale)", "spread"]


@pytest.mark.slow
def test_every_figure_is_written_as_vectors_and_pixels(tmp_path):
    draw = np.random.default_rng(0)
    classes, matrix = ["T72", EVIL, "$"], MATRIX
    figures = {
        "training": training_figure({EVIL: OLD_HISTORY, "A": HISTORY}),
        "ranks": ranks_figure(rank_methods(["A", EVIL, "C", "D"], draw.random((7, 4)))),
        "confusion": confusion_figure({"A": matrix, EVIL: matrix}, classes, EVIL),
        "recall": recall_figure({"A": np.array([0.8, 0.9, 1.0])}, classes, [], EVIL),
        "features": features_figure(
            {"A": draw.random((9, 2))}, np.repeat([0, 1, 2], 3), classes, EVIL
        ),
        "attention": attention_figure({"A": draw.random((3, 4)) * 50}, {"A": 58.0}),
        "panels": swept_figure([Measured(EVIL, n, 0.4) for n in (1, 2)], EVIL, "Accuracy", EVIL),
        "gain": gain_figure([Measured(EVIL, EVIL, 0.5, untrained=0.4)], "Accuracy", EVIL),
    }
    for name, figure in figures.items():
        paths = save(figure, tmp_path, name)
        assert [p.suffix for p in paths] == [".svg", ".pdf", ".png"]
        assert all(p.stat().st_size > 1000 for p in paths)
        assert "<img" not in inline_svg(paths[0])


def page(board, runs) -> str:
    lines = [
        RunLine(s.method, s.column, 0, s.seed, "done",
                s.values["accuracy"], 1.5, "cpu", "abc", f"key{s.seed}") for s in runs
    ]  # fmt: skip
    return report_page(Report(
        title=EVIL, facts=[(EVIL, EVIL)], boards=[board], paper=[], runs=lines,
        drawings=[Drawing(EVIL, EVIL, png=b"\x89PNG")], failures=[(EVIL, EVIL)], skipped=[EVIL],
        commands=EVIL, grid=EVIL, ranking=[EVIL], about=f"Read {EVIL} first.",
    ))  # fmt: skip


def test_the_page_needs_no_other_file_and_escapes_everything(board, runs):
    text = page(board, runs)
    assert "<img src=x" not in text
    assert not re.search(r'(?:src|href)="(?!#|data:)', text)
    assert "http" not in re.sub(r'xmlns(:\w+)?="[^"]*"|http-equiv', "", text)
    assert "default-src 'none'" in text
    assert text.count("A note about") == 1
    assert text.index("</h1>") < text.index("Read &lt;img") < text.index('id="leaderboards"')
    assert text.index('<details class="notes">') < text.index("A note about")


def test_a_part_that_is_left_out_is_not_a_failure(board):
    text = report_page(Report(
        title="t", facts=[], boards=[board], drawings=[], paper=[], runs=[], failures=[],
        skipped=["t-SNE: no weights"],
    ))  # fmt: skip
    left_out = text.index("<h2>Not on this page</h2>")
    assert text.index("<h2>Failures</h2>") < text.index("Nothing failed.") < left_out
    assert left_out < text.index("<li>t-SNE: no weights</li>")


@pytest.mark.slow
def test_the_page_works_in_a_browser(board, runs, tmp_path, open_tab):
    path = tmp_path / "index.html"
    path.write_text(page(board, runs))
    tab, said, asked = open_tab(1400, 900)
    tab.goto(path.as_uri())
    first = "#board-0 tbody:first-of-type tr:visible th"

    def rows():
        return [text.strip() for text in tab.locator(first).all_inner_texts()]

    assert rows()[:3] == ["Alpha", "Beta", "Gamma"]
    column = tab.locator("#board-0 thead th button").nth(1)
    column.click()  # descending
    assert rows()[:2] == ["Alpha", "Beta"]
    column.click()  # ascending
    assert rows()[-1] == "Alpha"
    assert tab.locator("#board-0 thead th").nth(1).get_attribute("aria-sort") == "ascending"
    assert (
        tab.locator("#board-0 tbody.controls tr").count() == 1
    )  # below the methods in every order
    tab.get_by_label("filter rows").fill("gam")
    assert rows() == ["Gamma"]
    tab.get_by_label("filter rows").fill("")
    tab.locator("input[data-axis=protocol]").uncheck()
    assert not tab.locator("#board-0 td[data-protocol=linear]").first.is_visible()
    tab.locator("input[data-axis=protocol]").check()
    tab.locator("#board-0 td[data-runs^='Gamma']").first.click()
    shown = tab.locator("#runs-table tbody tr:visible")
    assert shown.count() == 3 * 10  # pretraining and evaluation seeds
    cells = tab.locator("#board-0 td[data-runs]:visible")
    assert tab.locator("#board-0 td[tabindex='0']").count() == 1  # a table is one stop of Tab
    cells.first.focus()
    for key in ("ArrowRight", "ArrowDown", "ArrowUp", "ArrowDown", "ArrowLeft"):
        tab.keyboard.press(key)
    focused = tab.evaluate("document.activeElement.dataset.runs")
    assert focused == f"{rows()[1]} | synthetic/linear/10"
    hint = tab.locator("#board-0-hint").inner_text()
    told = tab.evaluate("document.activeElement.title")
    assert hint.startswith(f"{focused}: ")
    assert (told.startswith("30 of 30 runs; interval"), hint.endswith(told)) == (True, True)
    tab.keyboard.press("Enter")
    assert tab.locator("#runs-table-count").inner_text() == f"30 of {focused} ({told})"
    assert tab.evaluate("document.activeElement.tagName") == "SUMMARY"
    tab.get_by_label("filter runs").fill("alpha 20")
    assert tab.locator("#runs-table tbody tr:visible").count() > 0
    tab.set_viewport_size({"width": 400, "height": 800})
    assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth")
    tab.emulate_media(media="print")
    assert not tab.locator(".tools").first.is_visible()
    assert len(tab.pdf()) > 10_000
    assert said == []
    assert [url for url in asked if not url.startswith(("file:", "data:"))] == []
