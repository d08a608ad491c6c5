"""Archives with other contents than the ones that `sarbench archive` writes."""

import hashlib
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any


def edited(
    source: Path,
    path: Path,
    edit: Callable[[str, bytes], bytes | None] = lambda name, content: None,
    added: dict[str, bytes] | None = None,
    *,
    listed: bool = False,
    lzma: dict[str, bytes] | None = None,
) -> Path:
    """Write a copy of an archive with other contents; b"" removes a member.

    `listed`: the manifest is made to fit. `lzma`: members added with this compression.
    """
    with zipfile.ZipFile(source) as stored:
        members = {name: stored.read(name) for name in stored.namelist()}
    for name, content in list(members.items()):
        members[name] = content if (changed := edit(name, content)) is None else changed
    members = {name: content for name, content in members.items() if content} | (added or {})
    if listed:
        manifest = json.loads(members.pop("manifest.json"))
        manifest["files"] = {n: hashlib.sha256(c).hexdigest() for n, c in members.items()}
        members["manifest.json"] = json.dumps(manifest).encode()
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as target:
        for name, content in members.items():
            target.writestr(name, content)
        for name, content in (lzma or {}).items():
            target.writestr(name, content, zipfile.ZIP_LZMA)
    return path


def with_plan(
    source: Path,
    path: Path,
    edit: Callable[[dict[str, Any]], dict[str, Any]],
    *,
    hidden: bool = False,
) -> Path:
    """Write a copy of an archive with another plan, whose manifest fits.

    `hidden`: the records that the plan no longer calls finished are removed too.
    """
    with zipfile.ZipFile(source) as stored:
        plan = edit(json.loads(stored.read("plan.json")))
    done = [one["key"] for one in plan["runs"] if one["state"] == "done"]

    def change(name: str, content: bytes) -> bytes | None:
        if name == "plan.json":
            return json.dumps(plan).encode()
        if hidden and name == "evaluate.jsonl":
            lines = content.splitlines(keepends=True)
            return b"".join(line for line in lines if json.loads(line)["key"] in done)
        kept = not name.startswith("evaluate/") or name.split("/")[1] in done
        return b"" if hidden and not kept else None

    return edited(source, path, change, listed=True)
