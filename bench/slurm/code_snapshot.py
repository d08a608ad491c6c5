"""The code that a job runs is the code that was submitted: a copy, named by its digest.

The copy goes first on `PYTHONPATH` with `PYTHONSAFEPATH=1`, so neither an edit made while jobs wait
nor another clone in the current folder is what runs; the job compares the digest.
"""

import json
import os
import shutil
import tempfile
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path

from ..store.provenance import code_state

FOLDERS = ("bench", "methods", "protocols", "results")
ENDINGS = (".py", ".toml", ".json")


class WrongCodeError(RuntimeError):
    """A job that would run other code than was submitted."""


def _folder(name: str) -> Path:
    spec = find_spec(f"sarbench.{name}")
    if spec is None or spec.origin is None:
        raise WrongCodeError(f"the package sarbench.{name} is not installed")
    return Path(spec.origin).parent


def _files() -> dict[str, Path]:
    """Return every file of the running packages, by its path inside `sarbench`."""
    found = {}
    for name in FOLDERS:
        folder = _folder(name)
        for path in sorted(folder.rglob("*")):
            if path.suffix in ENDINGS and path.is_file():
                found[f"{name}/{path.relative_to(folder).as_posix()}"] = path
    return found


def running_digest() -> str:
    """Return the digest of the code that this process runs."""
    digest = sha256()
    for name, path in _files().items():
        digest.update(f"{name}\n{sha256(path.read_bytes()).hexdigest()}\n".encode())
    return digest.hexdigest()[:16]


def take_snapshot(ledger: Path) -> tuple[Path, str]:
    """Copy the running code, unless that was done before; return its place and digest."""
    digest = running_digest()
    target = ledger / f"code-{digest}"
    if not target.exists():
        ledger.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=".code-", dir=ledger))
        try:
            for name, path in _files().items():
                copy = temporary / "sarbench" / name
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, copy)
            commit, dirty = code_state()
            state = json.dumps({"commit": commit, "dirty": dirty})
            (temporary / "sarbench" / "commit.json").write_text(state)
            temporary.chmod(0o755)
            _give_name(temporary, target)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    return target, digest


def _give_name(temporary: Path, target: Path) -> None:
    try:
        temporary.rename(target)
    except OSError:
        if not target.exists():  # else another submission was first, with the same code
            raise


def check_code(expected: str) -> None:
    """Refuse to go on where this process runs other code than was submitted.

    Raises:
        WrongCodeError: With where the running code lies.
    """
    found = running_digest()
    if found != expected:
        raise WrongCodeError(
            f"this job runs code {found} from {_folder('bench').parent}, submitted was {expected}; "
            f"PYTHONPATH is {os.environ.get('PYTHONPATH', 'not set')!r}. A `setup` line of the "
            "profile must not change PYTHONPATH"
        )
