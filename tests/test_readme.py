"""Tables and figures in our pages are made by the commands above them, from our archives."""

import re
from pathlib import Path

import pytest
from readme_tables import PAGES, ROOT, about, made_again, same_figure

EXAMPLE = PAGES[-1]
FIGURE = ROOT / "tests" / "readme" / "cost.svg"
COMMAND = "sarbench report tests/readme/small.zip --figure cost"


@pytest.fixture(scope="module")
def example() -> tuple[str, dict[Path, bytes]]:
    return made_again(EXAMPLE.read_text("utf-8"), EXAMPLE)


@pytest.mark.parametrize("page", [
    pytest.param(
        page, id=str(page.relative_to(ROOT)),
        marks=[pytest.mark.slow] if ROOT / "docs" in page.parents else [],  # many tables
    )
    for page in PAGES
])  # fmt: skip
def test_the_tables_and_figures_of_a_page_are_those_of_its_archives(page: Path):
    text = page.read_text("utf-8")
    again, figures = made_again(text, page)
    assert again == text, "run: python tests/readme_tables.py --write"
    assert list(figures) == [], "run: python tests/readme_tables.py --write"


def test_a_changed_number_is_found_and_printed_again(example):
    text, _ = example
    assert text.count("18.1 ± 5.3") == 1
    assert made_again(text.replace("18.1 ± 5.3", "81.8 ± 5.3"), EXAMPLE) == example


def test_a_figure_is_linked_from_its_page_with_its_caption(example):
    (link,) = re.findall(r"!\[(.*?)\]\((.*?)\)\n\n(.*)", example[0])
    assert link[:2] == ("Accuracy over compute", "cost.svg")
    assert link[2].startswith("Accuracy over compute. Compute: GFLOP")


def test_a_figure_of_another_archive_command_or_number_is_found():
    svg = FIGURE.read_bytes()
    known = about(svg)
    assert known["description"] == "sarbench report small.zip --figure cost"
    digest = known["source"].rsplit(" ", 1)[1]
    assert same_figure(svg, svg)
    other_version = svg.replace(known["creator"].encode(), b"Matplotlib v3.0.0")
    assert other_version != svg
    assert same_figure(other_version, svg)  # metadata alone
    for old in (digest, "--figure cost"):
        assert not same_figure(svg.replace(old.encode(), b"?"), svg)
        assert not same_figure(other_version.replace(old.encode(), b"?"), svg)
    moved = re.sub(rb'(<path d="M \d+)\.', rb"\g<1>9.", svg, count=1)  # a number of a curve
    assert moved != svg
    assert not same_figure(moved, svg)
    assert not same_figure(b"<svg/>", svg)
    assert not same_figure(b"not an SVG", svg)


def test_a_missing_figure_is_drawn_and_nothing_is_written(tmp_path):
    missing = (ROOT / "tests" / "readme" / "missing.svg").relative_to(ROOT)
    block = f"<!-- {COMMAND} --out {missing} -->\n<!-- end -->\n"
    _, figures = made_again(block, EXAMPLE)
    assert list(figures) == [ROOT / missing]
    assert same_figure(FIGURE.read_bytes(), figures[ROOT / missing])
    assert not (ROOT / missing).exists()


@pytest.mark.parametrize("words", ["", "--out docs/cost.png", "--out docs/cost.svg -m mae"])
def test_a_figure_of_a_page_ends_with_its_svg(words: str):
    with pytest.raises(ValueError, match=r"ends with --out X\.svg"):
        made_again(f"<!-- {COMMAND} {words} -->\n<!-- end -->\n", EXAMPLE)


def test_a_command_that_fails_or_has_no_end_is_an_error():
    with pytest.raises(ValueError, match="no archive results/archive/nothing"):
        made_again("<!-- sarbench table results/archive/nothing.zip -->\n<!-- end -->\n", EXAMPLE)
    command = "<!-- sarbench table tests/readme/small.zip -->\n"
    for text in (command, command + command + "<!-- end -->\n"):
        with pytest.raises(ValueError, match="has no `<!-- end -->`"):
            made_again(text, EXAMPLE)
