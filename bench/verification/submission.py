"""Check a submission: an archive, its declaration, and what both claim."""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...results.record import PretrainRecord, RunRecord
from ..grid.expand import pools_of
from ..method_facts.contract_outcomes import plugins
from ..plan.expand_again import compare_with_grid
from ..plan.plan import Plan, counted
from ..store.archive import ArchivedStore
from ..suggest import shortened, unknown
from .check import Checked, Finding, OnProgress, check_plan
from .declaration import (
    Declaration,
    DeclarationError,
    declaration_file,
    manifest_digest,
    read_declaration,
    rows_of,
    template_command,
)
from .grid_findings import AGAIN, edits, expand_or_find, undeclared_runs

UNKNOWN = "unknown"  # commit of code outside a repository

Contract = Callable[[str], list[str] | None]  # name -> failures; None if it is not installed here


@dataclass(frozen=True)
class Submission:
    """Findings about a submission, and the parts that were not checked."""

    checked: Checked
    unchecked: list[str]

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return self.checked.to_json() | {"unchecked": self.unchecked}


def check_submission(
    store: ArchivedStore, plan: Plan, contract: Contract, on_progress: OnProgress
) -> Submission:
    """Check an archive and its declaration without data.

    Args:
        store: The store in the archive, whose members have the digests of its manifest.
        plan: Its plan.
        contract: Runs the contract of a plug-in.
        on_progress: Called with (done, total) before each record.
    """
    checked = check_plan(plan, store, on_progress, weights=False)
    unchecked = list(_unchecked(plan, store))
    declared = _read(store.path)
    left_out = declared.left_out if isinstance(declared, Declaration) else ""
    found = [*checked.findings, *_incomplete(plan, store, left_out)]
    found += [*_labels(plan), *_contracts(plan, contract), *_pools(plan), *_given(plan)]
    found += (
        _declared(declared, plan, store.path) if isinstance(declared, Declaration) else declared
    )
    return Submission(Checked(checked.pretrainings, checked.runs, found), unchecked)


def _unchecked(plan: Plan, store: ArchivedStore) -> Iterator[str]:
    """Yield what neither the records nor the grid of an archive say."""
    yield "weights: an archive holds none"
    if store.classes:
        yield "scores of single chips: this archive holds none"
    if plan.moved:
        yield f"facts about methods and protocols of other versions: {'; '.join(plan.moved)}"
    if plan.grid.tune:
        yield "trials of [tune], and the number of failed ones: they are an archive of their own"
    if any(entry.planned.given for entry in plan.pretrain):
        yield "notes on given weights: their files are not in an archive"
    if any(one.copied is not None for pool in plan.sharing.values() for one in pool.values()):
        yield "copies of test chips in pools: `sarbench data audit` finds them again"


def _incomplete(plan: Plan, store: ArchivedStore, left_out: str) -> Iterator[Finding]:
    """Yield findings about rows, columns, runs and seeds of the grid that the archive lacks.

    Also those about everything that the plan says otherwise than the grid.
    """
    archive, expanded = store.path, expand_or_find(plan, store)
    if isinstance(expanded, Finding):
        yield expanded
        return
    yield from edits(plan, expanded, store)
    found = compare_with_grid(plan, expanded)
    if found.missing:
        states = counted(Counter(found.missing.values()))
        yield Finding("runs", archive.name, (
            f"its grid declares {len(found.missing)} runs that are not finished ({states}): "
            f"{shortened(found.missing)}; finish them with `sarbench run` and {AGAIN}, with every "
            "pretraining seed and evaluation seed"
        ))  # fmt: skip
    parts = {"rows": found.rows, "columns": found.columns}
    lacking = [f"the {what} {shortened(names)}" for what, names in parts.items() if names]
    if lacking and not left_out.strip():
        yield Finding("runs", archive.name, (
            f"it has no finished run of {' and '.join(lacking)}, which its grid declares; {AGAIN} "
            f"with them, or say in `left_out` of {declaration_file(archive).name} why they "
            "are missing"
        ))  # fmt: skip
    yield from undeclared_runs(found.undeclared, store)


def _labels(plan: Plan) -> Iterator[Finding]:
    """Yield a finding for each row with the name of another method."""
    names = {info.label: name for name, info in plan.methods.items()}
    rows = {entry.planned.label: entry.planned.method for entry in plan.pretrain}
    for label, method in rows.items():
        if names.get(label, method) != method:
            yield Finding("label", label, (
                f"it is a row of the method {method}, but the name of the method {names[label]}; "
                f"give it another label in the grid, and {AGAIN}"
            ))  # fmt: skip


def _contracts(plan: Plan, contract: Contract) -> Iterator[Finding]:
    """Yield findings about the contracts of plug-ins; our test suite checks bundled methods."""
    used = dict.fromkeys(entry.planned.method for entry in plan.pretrain)
    failing = [name for name in used if name in plan.failing]
    for name in failing:
        yield Finding("contract", name, (
            f"it failed its contract when the archive was made; repair it until `sarbench methods "
            f"check {name}` passes, raise its version if it computes something else, and {AGAIN}"
        ))  # fmt: skip
    for name in plugins(one for one in used if one not in failing):
        failures = contract(name)
        if failures is None:
            yield Finding("contract", name, (
                "its contract is unknown, because its package is not installed here; install it "
                f"and check again, or bring its file as methods/{name}.py"
            ))  # fmt: skip
        for failure in failures or ():
            yield Finding("contract", name, f"{failure}; repair it, and {AGAIN}")


def _pools(plan: Plan) -> Iterator[Finding]:
    """Yield findings about test chips in pools, and about pools that were not compared."""
    for statement in plan.overlaps:
        yield Finding("pool", plan.grid.name, (
            f"{statement}; a board takes no row that has seen its test chips: use another pool, or "
            "leave the data set out"
        ))  # fmt: skip
    shown = dict.fromkeys(entry.planned.dataset for entry in plan.runs)
    for pool in pools_of(entry.planned for entry in plan.pretrain):
        known = plan.sharing.get(pool, {})
        if unknown_sets := [name for name in shown if name not in known]:
            yield Finding("pool", ", ".join(pool), (
                f"its overlap with {', '.join(unknown_sets)} is not in the archive; prepare pool "
                f"and data sets (`sarbench data prepare`) in the store, and {AGAIN}"
            ))  # fmt: skip


def _given(plan: Plan) -> Iterator[Finding]:
    """Yield findings about given weights whose training data are not declared."""
    rows = {e.planned.row: e.planned.given for e in plan.pretrain if e.planned.given}
    for row, given in rows.items():
        where = "their entry in the grid"
        if not (given.seen or given.seen_declared):
            yield Finding("seen", row, (
                f"what the weights of {given.file} have seen is not declared; write seen = "
                f'["..."] into {where}, also names that `sarbench data ls` does not list, and '
                f"{AGAIN}"
            ))  # fmt: skip
        if given.labels is None:
            yield Finding("seen", row, (
                f"it is not declared if the weights of {given.file} were trained with labels; "
                f"write labels = true or false into {where}, and {AGAIN}"
            ))  # fmt: skip


def _read(archive: Path) -> Declaration | list[Finding]:
    """Return the declaration of an archive, or findings if there is none that can be read."""
    path = declaration_file(archive)
    try:
        found = read_declaration(archive)
    except DeclarationError as error:
        lines = [line.removeprefix(f"{path}: ") for line in str(error).splitlines()]
        return [Finding("declaration", path.name, line) for line in lines]
    return found or [Finding("declaration", path.name, (
        f"it is missing; `{template_command(archive)}` writes it to be filled in, next to the "
        "archive"
    ))]  # fmt: skip


def _declared(found: Declaration, plan: Plan, archive: Path) -> Iterator[Finding]:
    """Yield findings about a declaration, and about records that need a statement in it."""
    name, digest = declaration_file(archive).name, manifest_digest(archive)
    texts = [*_statements(found), *_machines(plan, found), *_rows(found, rows_of(plan))]
    if found.archive != digest:
        texts.append(
            f"`archive` is {found.archive[:12] or 'empty'}, but the manifest of {archive.name} has "
            f"{digest[:12]}, so it declares another archive; correct what has changed, then write "
            f'archive = "{digest}"'
        )
    yield from (Finding("declaration", name, text) for text in texts)


def _statements(found: Declaration) -> Iterator[str]:
    """Yield a sentence for each statement that every submission needs."""
    if not found.made_by.strip():
        yield "`made_by` is empty; name the person or group that made the numbers"
    if not found.contact.strip():
        yield "`contact` is empty; give an address at which somebody answers"


def _machines(plan: Plan, found: Declaration) -> Iterator[str]:
    """Yield a sentence for everything that provenance leaves open and nobody has declared."""
    records = [entry.record for entry in plan.entries]
    made = [one.provenance for one in records if isinstance(one, PretrainRecord | RunRecord)]
    on_cpu = sum(one.device in ("", "cpu") for one in made)
    if on_cpu and not found.hardware.strip():
        yield (
            f"`hardware` is empty, and {on_cpu} records name no processor; write its model, the "
            "number of cores and the memory"
        )
    without = sum(one.commit == UNKNOWN for one in made)
    edited = sum(one.dirty and one.commit != UNKNOWN for one in made)
    if (without or edited) and not found.uncommitted.strip():
        counts = Counter({"without a commit": without, "with uncommitted changes": edited})
        listed = " and ".join(f"{count} {what}" for what, count in (+counts).items())
        yield (
            f"`uncommitted` is empty, and there are records made by code {listed}; say what was "
            "changed, or that it is not known"
        )


def _rows(found: Declaration, rows: list[str]) -> Iterator[str]:
    """Yield a sentence for each declared row that the archive does not have."""
    for section, named in (("rows", found.rows), ("own_rows", found.own_rows)):
        for row in named:
            if row not in rows:
                yield f"`{section}`: {unknown('row', row, rows)}"
