"""The command `doctor`: what works on this machine, and how to repair the rest."""

import platform
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.table import Table
from rich.text import Text

from ..data.find_set import store_at
from ..data.names import split_name
from ..data.prepare import summary
from ..data.registry import dataset_names, pool_names
from ..slurm.commands import Site, SlurmError, read_site
from ..slurm.profile import Profile, ProfileError, check_site, read_profile
from ..store.atomic import NoSpaceError
from ..store.provenance import code_state, host
from ..store.records import Store, StoreError
from .app import app, out, print_json, print_status
from .options import DATA, RUNS, DataDir, Json, RunsDir

PACKAGES = ("sarbench", "torch", "timm", "submitit")
QUICK_S, JOB_S = 2.0, 60.0  # time for an answer of SLURM; the second one with --job
LOCAL_TYPES = {"ext2", "ext3", "ext4", "xfs", "btrfs", "zfs", "overlay", "tmpfs", "f2fs"}
STYLES = {"ok": "green", "note": "yellow", "wrong": "bold red"}


@dataclass(frozen=True)
class Finding:
    """One line of the report; only `wrong` makes the exit status 1."""

    what: str
    state: Literal["ok", "note", "wrong"]
    text: str


@app.command()
def doctor(
    runs: RunsDir = RUNS,
    data: DataDir = DATA,
    profile: Annotated[
        Path | None, typer.Option("--profile", help="compare this profile with the site too")
    ] = None,
    job: Annotated[
        bool, typer.Option("--job", help="run a small job on a node too (needs --profile)")
    ] = False,
    suggested: Annotated[
        Path | None,
        typer.Option(
            "--suggest-profile",
            metavar="FILE",
            help="write a profile for this site: from its partitions, nodes and past jobs",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Check this machine: versions, GPU, store, data, SLURM, a profile."""
    store = store_at(runs)
    if suggested:
        from ..slurm.suggest_profile import suggest_profile

        print_status(suggest_profile(suggested, store))
        profile = profile or suggested
    given = read_profile(profile) if profile else None
    if job and given is None:
        raise ProfileError(
            "--job runs on a node of the cluster; name the site's profile with --profile"
        )
    found = [*_versions(), _gpu(), *_store(store), *_data(store, data)]
    found += [*_slurm(store, data, given, job), _dassl()]
    if as_json:
        print_json([finding.__dict__ for finding in found])
    else:
        table = Table("part", "", "found", box=None, pad_edge=False)
        for finding in found:
            table.add_row(finding.what, Text(finding.state, STYLES[finding.state]), finding.text)
        out.print(table)
    raise typer.Exit(1 if any(finding.state == "wrong" for finding in found) else 0)


def _versions() -> Iterator[Finding]:
    found = [f"python {platform.python_version()}"]
    for name in PACKAGES:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            yield Finding("versions", "wrong", f"{name} is not installed: pip install -e .")
    commit, dirty = code_state()
    code = f"code {commit[:12]}" + (" with local changes" if dirty else "")
    yield Finding("versions", "ok", ", ".join([*found, code]))


def _gpu() -> Finding:
    import torch

    count = torch.cuda.device_count()
    if not count:
        return Finding("GPU", "note", "torch finds none; `run` uses the CPU")
    names = {torch.cuda.get_device_name(index) for index in range(count)}
    return Finding("GPU", "ok", f"{count} x {', '.join(sorted(names))}")


def _store(store: Store) -> Iterator[Finding]:
    try:
        store.check_writable()
    except (StoreError, NoSpaceError) as error:
        yield Finding("store", "wrong", str(error.strerror or error))
        return
    free_gb = shutil.disk_usage(store.root).free / 2**30
    state = "ok" if free_gb > 5 else "note"
    yield Finding("store", state, f"{store.root}: writable, {free_gb:.0f} GB free")


def file_system(path: Path) -> str:
    """Return the type of the file system of a path, "" where it is unknown."""
    best, kind = "", ""
    try:
        lines = Path("/proc/mounts").read_text().splitlines()
    except OSError:
        return ""
    for line in lines:
        _, place, found = line.split()[:3]
        place = place.replace("\\040", " ")  # the kernel writes a blank as octal
        if path.is_relative_to(place) and len(place) >= len(best):
            best, kind = place, found
    return kind


def _data(store: Store, folder: Path) -> Iterator[Finding]:
    ready = []
    for given in (*dataset_names(), *(f"pool:{name}" for name in pool_names())):
        name, pool = split_name(given)
        if summary(name, folder, store.prepared, pool=pool):
            ready.append(given)
    state = "ok" if folder.is_dir() else "note"
    missing = "" if folder.is_dir() else " does not exist; only `synthetic` needs no data"
    listed = ", ".join(ready) or "nothing yet"
    yield Finding("data", state, f"{folder}{missing}; prepared: {listed}")


def _dassl() -> Finding:
    from ..dassl.registration import REPOSITORY, dassl_folder

    if folder := dassl_folder():
        return Finding("Dassl", "ok", f"found in {folder}")
    return Finding("Dassl", "note", f"not found; only sarbench.bench.dassl needs {REPOSITORY}")


def _slurm(store: Store, data: Path, profile: Profile | None, job: bool) -> Iterator[Finding]:
    limit_s = JOB_S if job else QUICK_S
    try:
        site = read_site(wait_s=0.0, timeout_s=limit_s)
    except SlurmError as error:
        yield Finding("SLURM", "wrong" if job else "note", str(error))
        if profile:
            text = "its keys and values are allowed; it was not compared with a site"
            yield Finding("profile", "ok", text)
        return
    yield Finding("SLURM", "ok", _describe(site))
    kind = file_system(store.root)
    alone = site.nodes == {host().split(".")[0]}
    if kind in LOCAL_TYPES and not alone:
        yield Finding(
            "shared store", "wrong" if job else "note",
            f"{store.root} is on {kind}, which nodes do not share: put --runs on a shared file "
            "system, or test with --profile P --job that nodes can read it",
        )  # fmt: skip
    else:
        yield Finding("shared store", "ok", f"{kind or 'unknown file system'}")
    if profile is None:
        return
    try:
        check_site(profile, site)
    except ProfileError as error:
        yield Finding("profile", "wrong", str(error))
        return
    yield Finding("profile", "ok", "the site has its partition and allows its time limits")
    from ..slurm.node_check import check_node, refusals  # imports submitit

    for stage, refusal in refusals(profile, store):
        state = "note" if "available now" in refusal else "wrong"  # the partition is down
        hint = "compare the profile with `sinfo` and `scontrol show partition`"
        yield Finding("profile", state, f"sbatch refuses a job of [{stage}]: {refusal}; {hint}")
    if job:
        try:
            seen = check_node(store, data, profile)
        except OSError as error:  # the code cannot be copied into the store
            seen = [
                ("job", False, f"the test job could not be prepared: {error.strerror or error}")
            ]
        for what, good, text in seen:
            yield Finding(what, "ok" if good else "wrong", text)


def _describe(site: Site) -> str:
    partitions = ", ".join(f"{p.name} ({p.max_time_min:.0f} min)" for p in site.partitions.values())
    accounting = "accounting" if site.accounting else "no accounting, so `sacct` is not used"
    return f"partitions {partitions}; arrays up to {site.max_array}; {accounting}"
