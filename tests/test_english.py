"""Docstrings, comments and messages keep to the plain English that CONTRIBUTING.md asks for."""

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FOLDERS = ("bench", "methods", "protocols", "results")
FILES = [path for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*.py"))]
PAGES = [ROOT / "README.md", *(ROOT / folder / "README.md" for folder in FOLDERS)]
QUESTION = re.compile(r"(what|which|whether|where|how)\b", re.IGNORECASE)
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


def _name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("path", FILES, ids=_name)
def test_a_docstring_opens_with_a_noun_or_a_verb(path):
    tree = ast.parse(path.read_text("utf-8"))
    opened = [f"{line}: {text[:70]}" for line, text in docstrings(tree) if QUESTION.match(text)]
    assert not opened


@pytest.mark.parametrize("path", FILES, ids=_name)
def test_sentences_avoid_words_that_need_a_second_reading(path):
    found = [f"{line}: {m[0]}" for line, text in sentences(path) for m in AVOIDED.finditer(text)]
    assert not found


@pytest.mark.parametrize("path", PAGES, ids=_name)
def test_pages_avoid_the_same_words(path):
    found = [
        f"{number}: {m[0]}"
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1)
        for m in AVOIDED.finditer(line)
    ]
    assert not found


@pytest.mark.parametrize("path", [*FILES, *PAGES], ids=_name)
def test_references_are_to_papers_or_to_files_that_are_here(path):
    assert not re.findall(r"paper_facts|DESIGN(?:\.md)?\b|STYLE\.md", path.read_text("utf-8"))
