"""Tables and figures of Markdown pages, made again from archives by the commands above them.

A command is a comment, and its output follows up to the next `end`:

    <!-- sarbench table results/archive/NAME.zip -f markdown -->
    <!-- end -->
    <!-- sarbench report results/archive/NAME.zip --figure cost --out docs/cost.svg -->
    <!-- end -->

Tables are printed; of a figure its file, which is linked, its title and its caption. List the pages
and figures that differ, or write them (the working folder does not matter):

    python tests/readme_tables.py [--write]
"""

import os
import re
import shlex
import sys
import tempfile
from contextlib import chdir
from pathlib import Path
from xml.etree import ElementTree

from commands import call_here

ROOT = Path(__file__).parent.parent
PAGES = [
    ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")),
    ROOT / "tests" / "readme" / "example.md",
]  # fmt: skip
START = "<!-- sarbench "
BLOCK = re.compile(rf"({START}(.*?) -->\n)(.*?)(<!-- end -->)", re.DOTALL)
WORK = "{http://creativecommons.org/ns#}Work"  # holds the metadata of an SVG
LARGEST_FIGURE = 200_000  # bytes


def made_again(text: str, page: Path) -> tuple[str, dict[Path, bytes]]:
    """Return a page with the present output of every command in it, and the figures that differ.

    Args:
        text: The page.
        page: Its path, from which figures are linked.
    """
    blocks = BLOCK.findall(text)
    if len(blocks) != text.count(START) or any(START in block[2] for block in blocks):
        raise ValueError(f"a comment `{START}... -->` has no `<!-- end -->` of its own below it")
    figures: dict[Path, bytes] = {}

    def output(block: re.Match[str]) -> str:
        words = shlex.split(block[2])
        made = _figure(words, page, figures) if "--figure" in words else _printed(words)
        return f"{block[1]}\n{made}\n{block[4]}"

    again = BLOCK.sub(output, text)
    return again, {
        path: drawn
        for path, drawn in figures.items()
        if not path.is_file() or not same_figure(path.read_bytes(), drawn)
    }


def _call(words: list[str]) -> str:
    with chdir(ROOT):
        done = call_here(*words, environment={"COLUMNS": "200"})
    if done.returncode:
        raise ValueError(f"sarbench {shlex.join(words)}: {done.stderr}")
    return done.stdout


def _printed(words: list[str]) -> str:
    printed = _call(words)
    return printed if "markdown" in words else f"```\n{printed}```\n"


def _figure(words: list[str], page: Path, figures: dict[Path, bytes]) -> str:
    """Add the drawn file of a command to `figures`; return its link, title and caption."""
    if "--out" not in words or not words[-1].endswith(".svg") or words[-2] != "--out":
        raise ValueError(f"sarbench {shlex.join(words)}: a figure of a page ends with --out X.svg")
    path = ROOT / words[-1]
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / path.name
        title, caption = _call([*words[:-1], str(target)]).strip().split("\n\n")
        figures[path] = target.read_bytes()
    if len(figures[path]) > LARGEST_FIGURE:
        raise ValueError(f"{words[-1]} has {len(figures[path])} bytes; at most {LARGEST_FIGURE}")
    link = Path(os.path.relpath(path, page.parent)).as_posix()
    return f"![{title}]({link})\n\n{title}. {caption}\n"


def same_figure(stored: bytes, drawn: bytes) -> bool:
    """Return whether two SVGs are the same; of two versions of matplotlib, their metadata are."""
    before, now = about(stored), about(drawn)
    if before.get("creator") == now["creator"]:
        return stored == drawn
    return before | {"creator": now["creator"]} == now


def about(svg: bytes) -> dict[str, str]:
    """Return the metadata of an SVG: title, description (command), source (digest), creator.

    A file that is not an SVG with metadata has none.
    """
    try:
        found = ElementTree.fromstring(svg).find(f".//{WORK}")
    except ElementTree.ParseError:
        return {}
    children = [] if found is None else list(found)
    return {one.tag.split("}")[1]: "".join(one.itertext()).strip() for one in children}


def main() -> None:
    """List or write the pages and figures that differ."""
    for page in PAGES:
        text = page.read_text("utf-8")
        again, figures = made_again(text, page)
        new = {**figures, page: again.encode()} if again != text else figures
        for path, content in new.items():
            sys.stdout.write(f"{path.relative_to(ROOT)} differs from its archives\n")
            if "--write" in sys.argv:
                path.write_bytes(content)


if __name__ == "__main__":
    main()
