"""Tables of Markdown pages, printed again from archives by the commands above them.

A command is a comment, and its output follows up to the next `end`:

    <!-- sarbench table results/archive/NAME.zip -f markdown -->
    <!-- end -->

Print the pages that differ, or write them (the working folder does not matter):

    python tests/readme_tables.py [--write]
"""

import re
import shlex
import sys
from contextlib import chdir
from pathlib import Path

from commands import call_here

ROOT = Path(__file__).parent.parent
PAGES = [
    ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), ROOT / "results" / "README.md",
    ROOT / "tests" / "readme" / "example.md",
]  # fmt: skip
START = "<!-- sarbench "
BLOCK = re.compile(rf"({START}(.*?) -->\n)(.*?)(<!-- end -->)", re.DOTALL)


def printed_again(text: str) -> str:
    """Return a page with the present output of every command in it."""
    blocks = BLOCK.findall(text)
    if len(blocks) != text.count(START) or any(START in block[2] for block in blocks):
        raise ValueError(f"a comment `{START}... -->` has no `<!-- end -->` of its own below it")
    return BLOCK.sub(lambda block: f"{block[1]}\n{_output(block[2])}\n{block[4]}", text)


def _output(command: str) -> str:
    with chdir(ROOT):
        done = call_here(*shlex.split(command), environment={"COLUMNS": "200"})
    if done.returncode:
        raise ValueError(f"sarbench {command}: {done.stderr}")
    return done.stdout if "markdown" in command else f"```\n{done.stdout}```\n"


def main() -> None:
    """Print or write the pages that differ."""
    for page in PAGES:
        text = page.read_text("utf-8")
        again = printed_again(text)
        if again != text:
            sys.stdout.write(f"{page.relative_to(ROOT)} differs from its archives\n")
            if "--write" in sys.argv:
                page.write_text(again, "utf-8")


if __name__ == "__main__":
    main()
