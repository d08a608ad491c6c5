"""The file that `sarbench grids new` writes: a commented grid that runs as it is."""

import re
from pathlib import Path

from .schema import Grid, GridError, bundled_grids

TEMPLATE = Path(__file__).with_name("skeleton.toml")


def grid_text(name: str) -> str:
    """Return the text of a new grid.

    Raises:
        GridError: The name is not one of a grid, or is that of a bundled grid.
    """
    allowed = Grid.model_fields["name"]
    pattern = next(rule.pattern for rule in allowed.metadata if hasattr(rule, "pattern"))
    if not re.fullmatch(pattern, name):
        raise GridError(
            f"{name!r} cannot name a grid; allowed: {allowed.description}. The name is also that "
            "of its file, NAME.toml"
        )
    if name in bundled_grids():
        raise GridError(
            f"{name!r} is a bundled grid; choose another name (`sarbench grids show {name}` prints "
            "that one, to copy from)"
        )
    return TEMPLATE.read_text("utf-8").replace("NAME", name)


def write_grid(name: str, folder: Path) -> Path:
    """Write `<name>.toml` into a folder; overwrite nothing.

    Raises:
        GridError: See `grid_text`; also, the file exists.
    """
    path = folder / f"{name}.toml"
    text = grid_text(name)
    try:
        with path.open("x") as file:
            file.write(text)
    except FileExistsError:
        raise GridError(f"{path} exists and is not overwritten; choose another name") from None
    return path


def first_sentence(path: Path) -> str:
    """Return the first sentence of the comment that begins a grid file; empty without one."""
    words = []
    for line in path.read_text("utf-8").splitlines():
        if not line.startswith("#"):
            break
        words.append(line.lstrip("# "))
    sentence = re.match(r".*?[.](?=\s|$)", " ".join(words).strip())
    return sentence[0] if sentence else ""
