"""Docstrings, comments and messages keep to the plain English that CONTRIBUTING.md asks for."""

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
FOLDERS = ("bench", "methods", "protocols", "results")
FILES = [path for folder in (*FOLDERS, "docs") for path in sorted((ROOT / folder).rglob("*.py"))]
TESTS = sorted((ROOT / "tests").rglob("*.py"))
PAGES = [
    *(ROOT / f"{name}.md" for name in ("README", "CONTRIBUTING", "CHANGELOG")),
    *(ROOT / folder / "README.md" for folder in FOLDERS),
    *sorted((ROOT / "docs").rglob("*.md")),
]
LISTED = re.compile(r"<!-- words to avoid -->.*?<!-- end -->", re.DOTALL)  # in CONTRIBUTING.md
QUESTION = re.compile(r"(what|which|whether|where|how)\b", re.IGNORECASE)
ASKED = re.compile(rf'r?"""\s*{QUESTION.pattern}', re.IGNORECASE)  # a docstring, or code after one
AVOIDED = re.compile(
    r"\b(anew|beside|unasked|ways? out|comes? along|put right|(?<!one )of ours|goes on|"
    r"(is|are) (told|asked|said|passed over)|what is there|lies (at|in|below|beyond|outside|there)|"
    r"(the reason|which) stands|is no (?!longer|more|less|t\b))\b",
    re.IGNORECASE,
)


def docstrings(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Yield (line, text) of each docstring."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
            text = ast.get_docstring(node)
            if text:
                yield getattr(node, "lineno", 1), text


def sentences(path: Path) -> Iterator[tuple[int, str]]:
    """Yield (line, text) of everything in a Python file that a person reads."""
    source = path.read_text("utf-8")
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.lineno, re.sub(r"\s+", " ", node.value)
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string


def lines(page: Path) -> Iterator[tuple[int, str]]:
    """Yield (line, text) of a Markdown page without its list of words to avoid."""
    text = LISTED.sub(lambda listed: "\n" * listed[0].count("\n"), page.read_text("utf-8"))
    yield from enumerate(text.splitlines(), 1)


def may_hold(source: str, words: re.Pattern[str]) -> bool:
    """Return whether a sentence of a Python file may have one of the words; most files have none.

    A file is read in one piece here, because its tokens take a hundred times as long.
    """
    joined = re.sub(r"""["']\s*\n\s*[a-z]?["']""", "", source)  # of pieces of one string
    return bool(words.search(re.sub(r"(\s|\\n)+", " ", joined)))


def _at(path: Path, line: int, text: str) -> str:
    return f"{path.relative_to(ROOT).as_posix()}:{line}: {text}"


def test_a_docstring_opens_with_a_noun_or_a_verb():
    opened = [
        _at(path, line, text[:70])
        for path in FILES
        if ASKED.search(path.read_text("utf-8"))
        for line, text in docstrings(ast.parse(path.read_text("utf-8")))
        if QUESTION.match(text)
    ]
    opened += [_at(path, 1, "") for path in TESTS if ASKED.match(path.read_text("utf-8"))]
    assert not opened


def test_sentences_avoid_words_that_need_a_second_reading():
    words = [
        _at(path, line, match[0])
        for path in FILES
        if may_hold(path.read_text("utf-8"), AVOIDED)
        for line, text in sentences(path)
        for match in AVOIDED.finditer(text)
    ]
    assert not words


def test_pages_avoid_the_same_words():
    words = [
        _at(page, line, match[0])
        for page in PAGES
        for line, text in lines(page)
        for match in AVOIDED.finditer(text)
    ]
    assert not words


def test_references_are_to_papers_or_to_files_that_are_here():
    internal = re.compile(r"paper_facts|DESIGN(?:\.md)?\b|STYLE\.md")
    references = [
        _at(path, line, match[0])
        for path in (*FILES, *PAGES)
        for line, text in enumerate(path.read_text("utf-8").splitlines(), 1)
        for match in internal.finditer(text)
    ]
    assert not references
