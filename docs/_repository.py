"""Links from pages of the site to other files of the repository."""

import re
from pathlib import Path

from sphinx.util.logging import getLogger

ROOT = Path(__file__).parent.parent
LINK = re.compile(r"(?<!!)\[([^\]]+)\]\(((?:\.\./)+[^)#\s]+)(#[^)\s]+)?\)")


def link_to_pages(app, name: str, source: list[str]) -> None:
    """Replace links that leave `docs/` by the path of their file in the repository."""
    page = ROOT / "docs" / name

    def path_of(link: re.Match[str]) -> str:
        text, target, _ = link.groups()
        file = (page.parent / target).resolve()
        if (ROOT / "docs") in file.parents:
            return link[0]  # another page
        if not file.exists():
            getLogger(__name__).warning("no file %s in the repository", target, location=name)
        path = f"`{file.relative_to(ROOT).as_posix()}`"
        return path if text.strip("`") in path else f"{text} ({path})"

    source[0] = LINK.sub(path_of, source[0])
