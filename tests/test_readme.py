"""Tables in our pages are printed by the commands above them, from archives in the repository."""

from pathlib import Path

import pytest
from readme_tables import PAGES, ROOT, printed_again

EXAMPLE = PAGES[-1]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_tables_of_a_page_are_those_of_its_archives(page: Path):
    text = page.read_text("utf-8")
    assert printed_again(text) == text, "run: python tests/readme_tables.py --write"


def test_a_changed_number_is_found_and_printed_again():
    text = printed_again(EXAMPLE.read_text("utf-8"))
    assert text.count("18.1 ± 5.3") == 1
    assert printed_again(text.replace("18.1 ± 5.3", "81.8 ± 10.6")) == text


def test_a_command_that_fails_or_has_no_end_is_an_error():
    with pytest.raises(ValueError, match="no archive results/archive/nothing"):
        printed_again("<!-- sarbench table results/archive/nothing.zip -->\n<!-- end -->\n")
    command = "<!-- sarbench table tests/readme/small.zip -->\n"
    for text in (command, command + command + "<!-- end -->\n"):
        with pytest.raises(ValueError, match="has no `<!-- end -->`"):
            printed_again(text)
