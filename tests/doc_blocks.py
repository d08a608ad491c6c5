"""Commands, files and links of Markdown pages."""

import re
import shlex
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from readme_tables import ROOT

from sarbench.bench.cli.app import COMMANDS, load

FOLDERS = ("bench", "methods", "protocols", "results")
PAGES = [
    *(ROOT / f"{name}.md" for name in ("README", "CONTRIBUTING")),
    *(ROOT / folder / "README.md" for folder in FOLDERS),
    *(page for page in sorted((ROOT / "docs").rglob("*.md")) if "_build" not in page.parts),
]
TUTORIAL = [ROOT / "docs" / f"{name}.md" for name in ("first", "chips", "method", "encoder")]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`(sarbench [a-z][^`]*)`")
FILE = re.compile(r"# (\S+\.toml)\n")  # first line of a block that is a file
OPTIONAL = re.compile(r"[\[\]]|\.\.\.")  # of `[--heads N]` and `ARCHIVE...`


class Block(NamedTuple):
    """A fenced block."""

    language: str
    text: str

    @property
    def file(self) -> str:
        """The name of the file that the block is; empty if it is none."""
        match = FILE.match(self.text) if self.language == "toml" else None
        return match[1] if match else ""


def blocks(page: Path) -> list[Block]:
    """Return the fenced blocks of a page in their order."""
    return [Block(*found) for found in FENCE.findall(page.read_text("utf-8"))]


def commands(page: Path) -> Iterator[tuple[str, bool]]:
    """Yield (command, True if it is whole) of each `sarbench ...` of a page.

    A command within a sentence may lack arguments.
    """
    text = page.read_text("utf-8")
    for line in text.splitlines():
        if re.match(r"(    |\$ )?sarbench [a-z-]", line):
            yield line.removeprefix("$ ").strip(), True
    for command in INLINE.findall(text):
        yield command, False


def problem(command: str, whole: bool) -> str:
    """Return the reason why the command line refuses a command; empty if it does not."""
    _, name, *rest = shlex.split(OPTIONAL.sub(" ", command).split(" > ")[0], comments=True)
    if name not in COMMANDS:
        return f"no command {name}"
    found = _loaded(name)
    while subcommands := getattr(found, "commands", None):
        if not rest:
            return "no subcommand" if whole else ""
        name, *rest = rest
        if name not in subcommands:
            return f"no subcommand {name}"
        found = subcommands[name]
    return _refused(found, rest, whole)


@cache
def _loaded(name: str) -> Any:
    return load(name)


def _refused(command: Any, words: list[str], whole: bool) -> str:
    try:
        given, rest, _ = command.make_parser(command.context_class(command)).parse_args(words)
    except Exception as error:  # its class is of a package within typer
        return str(getattr(error, "message", error)) or repr(error)
    missing = [one.name for one in command.params if one.required and not given.get(one.name)]
    if rest:
        return f"too many arguments: {rest}"
    return f"no {' and '.join(map(str, missing))}" if missing and whole else ""


def headings(page: Path) -> set[str]:
    """Return the anchors of the headings of a page, as code hosts name them."""
    text = FENCE.sub("", page.read_text("utf-8"))
    titles = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    plain = (re.sub(r"[^\w\- ]", "", title.lower()) for title in titles)
    return {title.replace(" ", "-") for title in plain}


def links(page: Path) -> Iterator[tuple[str, Path, str]]:
    """Yield (link, file, anchor) of each link of a page to a file of the repository."""
    text = FENCE.sub("", page.read_text("utf-8"))
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if not re.match(r"\w+:", target):
            path, _, anchor = target.partition("#")
            yield target, (page.parent / path).resolve() if path else page, anchor
