"""A copy of the code at submission, with plug-ins and folders of methods, which the jobs run.

The copy is first on `PYTHONPATH`, with `PYTHONSAFEPATH=1`. So jobs run neither later edits nor
another clone in the current folder. Each job compares the digest of its code with the copy's.
"""

import json
import os
import shutil
import tempfile
from dataclasses import asdict
from hashlib import sha256
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from ...methods import _folders
from ..store.provenance import code_state
from .plugin_code import Plugin, installed_plugins

FOLDERS = ("bench", "methods", "protocols", "results")
ENDINGS = (".py", ".toml", ".json")
USER = "methods_"  # begins the name of a folder of methods in a copy
PLUGINS = "plugins.json"  # in a copy: the plug-ins that it holds, next to our folders


class WrongCodeError(RuntimeError):
    """A job would run other code than was submitted."""

    failure_class = "code"


def _folder(name: str) -> Path:
    spec = find_spec(f"sarbench.{name}")
    if spec is None or spec.origin is None:
        raise WrongCodeError(f"the package sarbench.{name} is not installed")
    return Path(spec.origin).parent


def _plugins() -> list[Plugin]:
    """Return the plug-ins of the running copy; without a copy, the installed ones.

    So plug-ins that were installed after the submission do not count as other code.
    """
    listed = _folder("bench").parent / PLUGINS
    if not listed.exists():
        return installed_plugins()
    return [
        Plugin(
            one["name"], one["version"], tuple(map(tuple, one["points"])), tuple(one["packages"])
        )
        for one in json.loads(listed.read_text())
    ]


def _files(plugins: list[Plugin]) -> dict[str, Path]:
    """Return every code file of this process, by its path in a folder of imports."""
    whole = find_spec("sarbench")
    if whole is None or whole.origin is None:
        raise WrongCodeError(
            "the package `sarbench` cannot be found; install it with: pip install -e ."
        )
    found = {"sarbench/__init__.py": Path(whole.origin)}
    for name in FOLDERS:
        folder = _folder(name)
        for path in sorted(folder.rglob("*")):
            if path.suffix in ENDINGS and path.is_file():
                found[f"sarbench/{name}/{path.relative_to(folder).as_posix()}"] = path
    for plugin in plugins:
        found |= plugin.files()
    for number, folder in enumerate(_folders.folders()):
        found |= {f"{USER}{number}/{path.name}": path for path in sorted(folder.glob("*.py"))}
    return found


def copied_methods(copy: Path) -> list[Path]:
    """Return the user's folders of methods in a copy of the code of this process."""
    return [copy / f"{USER}{number}" for number in range(len(_folders.folders()))]


def running_digest() -> str:
    """Return the digest of the code of this process, of its plug-ins and folders of methods."""
    plugins = _plugins()
    return _digest(plugins, _files(plugins))


def _digest(plugins: list[Plugin], files: dict[str, Path]) -> str:
    digest = sha256()
    for name, path in files.items():
        digest.update(f"{name}\n{sha256(path.read_bytes()).hexdigest()}\n".encode())
    for plugin in plugins:
        digest.update(json.dumps(plugin.metadata()).encode())
    return digest.hexdigest()[:16]


def take_snapshot(ledger: Path) -> tuple[Path, str]:
    """Copy the code of this process, unless a copy exists; return its folder and digest.

    Raises:
        LargePluginError: A plug-in is too large to be copied.
    """
    plugins = _plugins()
    files = _files(plugins)
    digest = _digest(plugins, files)
    target = ledger / f"code-{digest}"
    if not target.exists():
        ledger.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=".code-", dir=ledger))
        try:
            for name, path in files.items():
                copy = temporary / name
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, copy)
            ourselves = Plugin("sarbench", version("sarbench"), (), ())
            for each in (ourselves, *plugins):  # known as installed, in a container too
                for name, text in each.metadata().items():
                    copy = temporary / name
                    copy.parent.mkdir(parents=True, exist_ok=True)
                    copy.write_text(text)
            commit, dirty = code_state()
            state = json.dumps({"commit": commit, "dirty": dirty})
            (temporary / "sarbench" / "commit.json").write_text(state)
            listed = json.dumps([asdict(plugin) for plugin in plugins])
            (temporary / "sarbench" / PLUGINS).write_text(listed)
            temporary.chmod(0o755)
            _rename(temporary, target)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    return target, digest


def _rename(temporary: Path, target: Path) -> None:
    try:
        temporary.rename(target)
    except OSError:
        if not target.exists():  # if it exists, another submission has copied the same code
            raise


def check_code(expected: str) -> None:
    """Compare the code of this process with the submitted code.

    Raises:
        WrongCodeError: They differ; the message names the folder of the running code.
    """
    found = running_digest()
    if found != expected:
        raise WrongCodeError(
            f"this job runs the code {found} in {_folder('bench').parent}, but {expected} was "
            f"submitted. PYTHONPATH is {os.environ.get('PYTHONPATH', 'not set')!r}. Lines under "
            "`setup` in the profile must not change it"
        )
