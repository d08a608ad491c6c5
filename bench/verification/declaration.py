"""The declaration of a submission: a TOML file next to an archive, with the same name.

It is not a member of the archive. So a reviewer reads and changes it as text, the archive keeps its
bytes, and older versions still read it. The declaration names the SHA-256 of the
archive's manifest, so it cannot be used for another archive.
"""

import json
from hashlib import sha256
from pathlib import Path
from typing import Literal
from zipfile import ZipFile

from pydantic import Field

from ..plan.plan import Plan
from ..store.archive import MANIFEST
from ..toml_file import Section, has_keys, read_toml

Verified = Literal["us", "authors", "nobody"]
VERIFIED_WORDS: dict[str, str] = {
    "us": "The maintainers of this board have computed the numbers on their own machines.",
    "authors": "Authors of the method have confirmed that its code and settings are theirs.",
    "nobody": "Only the people who submitted the row have computed it. Its scores follow from its "
    "predictions.",
}
_TEMPLATE = """\
# Declaration of the submission {name}. It is the file {toml} next to the archive.
# `sarbench submit-check {name}` says what is missing. The pool and what given weights have seen are
# declared in the grid (`pool`, `seen`, `labels`), which the archive holds.

# SHA-256 of the archive's {manifest}. Another archive needs another declaration.
archive = "{digest}"

# Who made the numbers: a person or a group.
made_by = ""

# An address at which somebody answers: an e-mail address, or an account at the code host.
contact = ""

# Processor or GPU, number of cores, memory. Needed where a record says only `cpu`.
hardware = ""

# Changes of the code that no commit holds, if a record says that there were some; or that they are
# not known.
uncommitted = ""

# Rows or columns of the grid that the archive does not have, and why.
left_out = ""

# Rows whose method is by the people who made the numbers: ["My method"].
own_rows = []

# "nobody" in a new submission. Maintainers write "us" or "authors" when they have verified a row.
verified_by = "nobody"

# Rows with another value than `verified_by`. Rows of this archive:
{rows}
[rows]
"""


GRID_KEYS = {"methods", "evaluate"}  # a file with one of them is a grid


class DeclarationError(ValueError):
    """A declaration that cannot be read or written; the message has a line for each problem."""


class Declaration(Section):
    """The declaration of a submission; an empty text is not declared.

    Attributes:
        archive: SHA-256 of the archive's manifest.
        made_by: Who made the numbers.
        contact: An address at which somebody answers.
        hardware: The machine, where the records do not say it.
        uncommitted: Changes of the code that no commit holds.
        left_out: Rows or columns of the grid that the archive lacks, with the reason.
        own_rows: Rows whose method is by the people who made the numbers.
        verified_by: Who has verified the rows.
        rows: Row -> another value of `verified_by`.
    """

    archive: str = ""
    made_by: str = ""
    contact: str = ""
    hardware: str = ""
    uncommitted: str = ""
    left_out: str = ""
    own_rows: list[str] = Field(default_factory=list)
    verified_by: Verified = "nobody"
    rows: dict[str, Verified] = Field(default_factory=dict)

    def verified(self, row: str) -> Verified:
        """Return who has verified a row."""
        return self.rows.get(row, self.verified_by)


def declaration_file(archive: Path) -> Path:
    """Return the file of the declaration of an archive; it need not exist."""
    return archive.with_suffix(".toml")


def has_declaration(archive: Path) -> bool:
    """Return whether a declaration is next to an archive; a grid of that name is not one."""
    path = declaration_file(archive)
    return path.exists() and not has_keys(path, GRID_KEYS)


def read_declaration(archive: Path) -> Declaration | None:
    """Return the declaration of an archive, or None if it has none.

    Raises:
        DeclarationError: The file cannot be read.
    """
    path = declaration_file(archive)
    if not path.exists():
        return None
    if has_keys(path, GRID_KEYS):
        other = archive.with_name(f"{archive.stem}_board{archive.suffix}")
        raise DeclarationError(
            f"{path}: it is a grid, not a declaration; rename the archive, because its declaration "
            f"has its name, then run `{template_command(other)}`"
        )
    return read_toml(path, Declaration, DeclarationError)


def template_command(archive: Path) -> str:
    """Return the command that writes an empty declaration of an archive."""
    name = declaration_file(archive).name
    return f"sarbench submit-check {archive.name} --template --out {name}"


def manifest_digest(archive: Path) -> str:
    """Return the SHA-256 of the manifest of an archive, which holds those of its members."""
    with ZipFile(archive) as opened:
        return sha256(opened.read(MANIFEST)).hexdigest()


def rows_of(plan: Plan) -> list[str]:
    """Return the rows of the leaderboards of a plan."""
    return list(dict.fromkeys(entry.planned.row for entry in plan.pretrain))


def declaration_template(archive: Path, plan: Plan) -> str:
    """Return the text of an empty declaration for an archive."""
    return _TEMPLATE.format(
        name=archive.name,
        toml=declaration_file(archive).name,
        manifest=MANIFEST,
        digest=manifest_digest(archive),
        rows="\n".join(f"# {json.dumps(row, ensure_ascii=False)}" for row in rows_of(plan)),
    )


def write_template(archive: Path, plan: Plan, path: Path) -> None:
    """Write an empty declaration; overwrite nothing.

    Raises:
        DeclarationError: The file exists.
    """
    if path.exists() or path.is_symlink():
        what = "a grid" if has_keys(path, GRID_KEYS) else "a file"
        raise DeclarationError(
            f"{path} exists ({what}) and is not overwritten; remove it, or give the archive "
            "another name: its declaration has the same one"
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("x", encoding="utf-8") as file:
        file.write(declaration_template(archive, plan))
