"""The pages of a site: the list of boards, and a page for each method."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..tables.sheets import Sheet
from .html_page import Report, SitePart
from .templates import render_page


@dataclass(frozen=True)
class MethodPage:
    """A method with its scores on all boards.

    Attributes:
        file: Name of the page, without the ending.
        label: Name in tables.
        family: Family in the registry.
        facts: Names and values.
        lists: Headings and their points.
        scores: A sheet for each board.
        pretraining: A sheet for each board.
    """

    file: str
    label: str
    family: str
    facts: Sequence[tuple[str, str]]
    lists: Sequence[tuple[str, Sequence[str]]]
    scores: Sequence[tuple[SitePart, Sheet]]
    pretraining: Sequence[tuple[SitePart, Sheet]]


def index_page(
    title: str,
    reports: Sequence[Report],
    methods: Sequence[MethodPage],
    verified_words: Mapping[str, str],
) -> str:
    """Return the first page of a site.

    Args:
        title: Heading of the page.
        reports: The boards; each has its `part`.
        methods: The methods of all boards.
        verified_words: Value of "verified by" -> its meaning.
    """
    return render_page(
        "site.html", title=title, reports=reports, firsts=[one.boards[0] for one in reports],
        methods=methods, verified_words=verified_words,
    )  # fmt: skip


def method_page(method: MethodPage) -> str:
    """Return the page of a method."""
    return render_page("method.html", title=method.label, method=method)
