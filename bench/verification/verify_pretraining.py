"""Check the identity and the weights of a pretraining."""

import json
from math import prod
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from ...methods._registry import own_names
from ...results.record import PretrainRecord
from ..store.atomic import file_digest
from .verify_run import Problem

# Keys of a member of a pool, with their types; a training split has those of `SPLIT` too.
MEMBER = {"name": str, "digest": str, "count": int}
SPLIT = {"split": str, "classes": int}
MISSING = (
    "{} is missing; merge a store that has it, or repeat the pretraining and its runs with "
    "`sarbench run GRID -m METHOD --force`"
)


def _is_member(member: Any) -> bool:
    """Return whether a value has the form of a member of a pool in an identity."""
    if not isinstance(member, dict):
        return False
    types = MEMBER | (SPLIT if member.keys() & SPLIT.keys() else {})
    return {name: type(value) for name, value in member.items()} == types


def _encoder_of(record: PretrainRecord) -> dict[str, Any]:
    encoder = record.identity.get("encoder")
    return encoder if isinstance(encoder, dict) else {}


def encoder_problems(record: PretrainRecord, path: Path) -> list[Problem]:
    """Return the problems in identity and weights of a pretraining."""
    members = record.identity.get("pool")
    if not (isinstance(members, list) and all(map(_is_member, members))):
        text = (
            "its pool is not a list of name, digest and count, with split and classes for a "
            "training split"
        )
        return [Problem("identity", text)]
    try:
        found = file_digest(path)
        if found != record.weights_digest:
            text = (
                f"{path.name} has SHA-256 {found[:12]}, its record says "
                f"{record.weights_digest[:12]}"
            )
            return [Problem("weights", text)]
        with safe_open(path, framework="np") as file:
            metadata = (file.metadata() or {}).get("pretraining", "{}")
            weights = sum(prod(file.get_slice(name).get_shape()) for name in file.keys())  # noqa: SIM118
        named = json.loads(metadata)
    except FileNotFoundError:
        return [Problem("missing", MISSING.format(path.name))]
    except (SafetensorError, OSError, ValueError, RecursionError) as error:
        return [Problem("weights", f"{path.name} cannot be read: {error}")]
    if named != record.identity:
        return [Problem("weights", f"{path.name} says that it holds another pretraining")]
    claimed = record.architecture.encoder_parameters if record.architecture else weights
    # The file of a plug-in's network or of one of timm may also hold buffers.
    ours = record.identity.get("method") in own_names() and "patch_px" in _encoder_of(record)
    if claimed > weights or (ours and claimed != weights):
        text = f"{path.name} has {weights:,} weights, its record says {claimed:,}"
        return [Problem("weights", text)]
    return []
