"""Links from pages of the site to other files of the repository."""

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
LINK = re.compile(r"(?<!!)\[([^\]]+)\]\(((?:\.\./)+[^)#\s]+)(#[^)\s]+)?\)")


def with_paths(text: str, page: Path) -> str:
    """Return a page with paths of the repository in the place of links that leave `docs/`.

    Raises:
        FileNotFoundError: A link leads to no file.
    """

    def path_of(link: re.Match[str]) -> str:
        words, target, _ = link.groups()
        file = (page.parent / target).resolve()
        if (ROOT / "docs") in file.parents:
            return link[0]  # another page
        if not file.exists():
            raise FileNotFoundError(f"the repository has no file {target}")
        path = f"`{file.relative_to(ROOT).as_posix()}`"
        return path if words.strip("`") in path else f"{words} ({path})"

    return LINK.sub(path_of, text)
