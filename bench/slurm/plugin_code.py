"""The code of installed plug-ins: packages with entry points for methods, data sets or metrics.

A copy of a plug-in holds its files and its entry points, so that a job finds it even where it is
not installed, as in a container.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import Distribution, EntryPoint, distributions
from importlib.util import find_spec
from pathlib import Path

from ...methods._registry import GROUP as METHODS
from ...results.plugin_metrics import GROUP as METRICS
from ..data.registry import GROUP as DATASETS
from ..suggest import RequestError

GROUPS = (METHODS, DATASETS, METRICS)
MOST_MB = 200.0  # of the packages of one plug-in; a copy of them goes with a submission
SKIPPED = {"__pycache__", ".git", ".venv"}


class LargePluginError(RequestError):
    """A plug-in whose packages are too large to be copied."""


@dataclass(frozen=True)
class Plugin:
    """An installed distribution with entry points of sarbench.

    Attributes:
        name: Name of the distribution, as its folder of metadata has it.
        version: Its version.
        points: Its entry points, as (group, name, value).
        packages: Dotted names of its packages and modules.
    """

    name: str
    version: str
    points: tuple[tuple[str, str, str], ...]
    packages: tuple[str, ...]

    def files(self) -> dict[str, Path]:
        """Return its files by their path in a folder of imports.

        Raises:
            LargePluginError: They have more than `MOST_MB`.
        """
        found = {path: file for package in self.packages for path, file in _files(package)}
        size_mb = sum(file.stat().st_size for file in found.values()) / 1e6
        if size_mb > MOST_MB:
            raise LargePluginError(
                f"the packages of the plug-in {self.name} ({', '.join(self.packages)}) have "
                f"{size_mb:.0f} MB; a copy goes with each submission, of at most {MOST_MB:.0f} MB. "
                "Move data out of the package"
            )
        return found

    def metadata(self) -> dict[str, str]:
        """Return the files that make a copy known as installed, by their path."""
        lines = list[str]()
        for group in dict.fromkeys(group for group, _, _ in self.points):
            lines += [f"[{group}]", *(f"{n} = {v}" for g, n, v in self.points if g == group), ""]
        folder = f"{self.name}-{self.version}.dist-info"
        return {
            f"{folder}/METADATA": f"Metadata-Version: 2.1\nName: {self.name}\n"
            f"Version: {self.version}\n",
            f"{folder}/entry_points.txt": "\n".join(lines),
        }


def installed_plugins() -> list[Plugin]:
    """Return every plug-in that this process finds, by name."""
    found: dict[str, Plugin] = {}
    for one in distributions():
        points = [point for point in one.entry_points if point.group in GROUPS]
        name = _name(one)
        if points and name not in found:  # the first one on the path is imported
            listed = tuple(sorted((point.group, point.name, point.value) for point in points))
            found[name] = Plugin(name, one.version, listed, _packages(one, points))
    return [found[name] for name in sorted(found)]


def _name(one: Distribution) -> str:
    """Return the name of a distribution in the form in which names are compared."""
    return str(one.metadata["Name"]).lower().replace("-", "_").replace(".", "_")


def _packages(one: Distribution, points: list[EntryPoint]) -> tuple[str, ...]:
    """Return the packages of entry points, and those next to them in the distribution."""
    modules = [point.module for point in points]
    modules += (one.read_text("top_level.txt") or "").split()
    return tuple(dict.fromkeys(filter(None, map(_outermost, modules))))


def _outermost(module: str) -> str:
    """Return the outermost package of a module that is not a namespace; empty without one."""
    parts = module.split(".")
    for count in range(1, len(parts) + 1):
        name = ".".join(parts[:count])
        try:
            spec = find_spec(name)
        except (ImportError, ValueError):
            return ""  # the error shows when the plug-in is imported
        if spec is None:
            return ""
        if spec.origin is not None:
            return name
    return ""


def _files(package: str) -> Iterator[tuple[str, Path]]:
    """Yield the files of a package or module, with their path in a folder of imports."""
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        return
    place, origin = package.replace(".", "/"), Path(spec.origin)
    if spec.submodule_search_locations is None:
        yield str(Path(place).with_name(origin.name)), origin
        return
    for path in sorted(origin.parent.rglob("*")):
        inner = path.relative_to(origin.parent)
        if path.is_file() and not SKIPPED & set(inner.parts) and path.suffix != ".pyc":
            yield f"{place}/{inner.as_posix()}", path
