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


def with_plan(source: Path, path: Path, edit: Callable[[dict[str, Any]], dict[str, Any]]) -> Path:
    """Write a copy of an archive with another plan, whose manifest fits."""

    def change(name: str, content: bytes) -> bytes | None:
        return json.dumps(edit(json.loads(content))).encode() if name == "plan.json" else None

    return edited(source, path, change, listed=True)
