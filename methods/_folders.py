"""Methods in folders of the user, found without a package.

`SARBENCH_METHODS` names the folders. Processes on this machine and jobs on a cluster inherit it. A
folder becomes a package of its own, so that its files may import each other relatively.
"""

import os
import re
import sys
import traceback
from collections.abc import Iterable
from hashlib import sha256
from importlib.machinery import ModuleSpec
from importlib.util import module_from_spec
from pathlib import Path

VARIABLE = "SARBENCH_METHODS"  # folders, separated as in PATH
PACKAGE = "sarbench_methods_"  # begins the name of a folder's package
REGISTERS = re.compile(r"^@(\w+\.)*register\(", re.MULTILINE)


class MethodsFolderError(ValueError):
    """A folder of methods that does not exist."""


def set_folders(folders: Iterable[Path]) -> None:
    """Search these folders in this process and in those that it starts.

    Raises:
        MethodsFolderError: One does not exist.
    """
    given = [folder.expanduser().absolute() for folder in folders]
    for folder in given:
        if not folder.is_dir():
            raise MethodsFolderError(
                f"the folder of methods {folder} does not exist; --methods and {VARIABLE} take "
                "folders with files of methods. Create it, or correct the path"
            )
    if given:
        os.environ[VARIABLE] = os.pathsep.join(map(str, dict.fromkeys(given)))
    else:
        os.environ.pop(VARIABLE, None)


def folders() -> list[Path]:
    """Return the folders of `SARBENCH_METHODS`; those that do not exist hold nothing."""
    named = os.environ.get(VARIABLE, "").split(os.pathsep)
    return list(dict.fromkeys(Path(one).expanduser().absolute() for one in named if one))


def files() -> dict[str, list[Path]]:
    """Return the files of methods by name; a name with several files is an error of its user.

    A file is one of a method if its text has `@register(...)`; other scripts may be next to it.
    """
    found: dict[str, list[Path]] = {}
    for folder in folders():
        for path in sorted(folder.glob("[!_.]*.py")):
            if path.stem.isidentifier() and REGISTERS.search(_text(path)):
                found.setdefault(path.stem, []).append(path)
    return found


def other_file(name: str) -> Path | None:
    """Return a file that has the name of a method but registers none."""
    paths = (folder / f"{name}.py" for folder in folders())
    return next((path for path in paths if path.is_file()), None)


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8", errors="replace")
    except OSError:
        return ""


def module_of(path: Path) -> str:
    """Return the name of the module of a file, after making its folder a package."""
    folder = path.parent
    package = PACKAGE + sha256(str(folder).encode()).hexdigest()[:8]
    if package not in sys.modules:
        spec = ModuleSpec(package, None, origin=str(folder), is_package=True)
        spec.submodule_search_locations = [str(folder)]
        sys.modules[package] = module_from_spec(spec)
    return f"{package}.{path.stem}"


def sources(path: Path) -> list[Path]:
    """Return the files whose code a method may run: all of its folder."""
    return sorted(path.parent.glob("*.py"))


def place_of(error: BaseException, path: Path) -> str:
    """Return file and line of an error, the last ones that are in the folder of a method."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{error.filename}, line {error.lineno}"
    frames = traceback.extract_tb(error.__traceback__)
    inside = [one for one in frames if Path(one.filename).parent == path.parent]
    return f"{inside[-1].filename}, line {inside[-1].lineno}" if inside else str(path)
