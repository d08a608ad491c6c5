"""The file that `sarbench methods new` writes: a small method that passes every check."""

import keyword
from pathlib import Path

import jinja2

from ...methods import _registry, names
from ..suggest import RequestError

METHODS_FOLDER = Path(_registry.__file__).parent

TEMPLATE = Path(__file__).with_name("skeleton.py.jinja")


def in_checkout() -> bool:
    """Return whether the methods are those of a checkout, where users may add files."""
    return (METHODS_FOLDER.parent / "pyproject.toml").is_file()


def is_bundled(folder: Path) -> bool:
    """Return whether a folder is that of the bundled methods."""
    return folder.resolve() == METHODS_FOLDER.resolve()


def check_name(name: str) -> None:
    """Refuse a name that cannot be a file name of a method, or is taken.

    Raises:
        RequestError: The name is not lower-case letters, digits and _, or is taken.
    """
    plain = name.isascii() and name.isidentifier() and name == name.lower()
    if not plain or name.startswith("_") or keyword.iskeyword(name):
        raise RequestError(
            f"{name!r} cannot name a method: its name is its file name, so it begins with a "
            "letter and has lower-case letters, digits and _ only, as my_method"
        )
    if name in names():
        raise RequestError(f"a method {name!r} exists already; choose another name")


def skeleton(name: str, in_this_repository: bool) -> str:
    """Return the text of `<name>.py`, for `methods/` here or for another package.

    Raises:
        RequestError: See `check_name`.
    """
    check_name(name)
    words = name.split("_")
    template = jinja2.Template(
        TEMPLATE.read_text("utf-8"),
        trim_blocks=True,
        keep_trailing_newline=True,
        undefined=jinja2.StrictUndefined,
    )
    return template.render(
        label=" ".join(words).capitalize(),
        class_name="".join(word.capitalize() for word in words),
        in_this_repository=in_this_repository,
    )


def write_skeleton(name: str, folder: Path) -> Path:
    """Write `<name>.py` into `folder`; overwrite nothing.

    Raises:
        RequestError: See `check_name`; also, the file exists or the folder does not.
    """
    if is_bundled(folder) and not in_checkout():
        raise RequestError(
            f"{folder} belongs to the installed package, and the next update replaces it; give "
            "a folder of your own: --folder DIR"
        )
    text = skeleton(name, in_this_repository=is_bundled(folder))
    path = folder / f"{name}.py"
    try:
        with path.open("x") as file:
            file.write(text)
    except FileExistsError as error:
        raise RequestError(f"{path} exists and is not overwritten; choose another name") from error
    except FileNotFoundError as error:
        raise RequestError(f"the folder {folder} does not exist; create it first") from error
    return path
