"""Check every claim of the records in a store: digests, scores, labelled chips, weights."""

import shlex
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from ...results.record import PretrainRecord, RunRecord
from ..data.find_set import Splits
from ..data.set_descriptions import FOLDER, every_set, read_checked_set
from ..data.splits import DamagedSetError
from ..identity import KINDS, Kind
from ..plan.comparability import mixed_code
from ..plan.plan import Plan
from ..store.records import UNWEIGHTED, DamagedRecordError, Store
from ..store.run_predictions import PREDICTIONS_FILE
from ..suggest import RequestError, shortened
from .verify_pretraining import encoder_problems
from .verify_run import Problem, RunVerifier, start_problems


@dataclass(frozen=True)
class Finding:
    """A claim that does not hold or cannot be checked.

    Attributes:
        kind: As in `verify_run.Problem`; `set` for the description of a set.
        what: Folder in the store, with a shortened key; a data set if many runs are concerned.
        text: The problem and, if there is one, the advice to the user.
        keys: Keys of the records concerned.
    """

    kind: str
    what: str
    text: str
    keys: tuple[str, ...] = ()

    def line(self) -> str:
        """Return the finding as one line."""
        return f"{self.kind}: {self.what}: {self.text}"


@dataclass(frozen=True)
class Checked:
    """Counts and findings of one check.

    Attributes:
        pretrainings: Checked pretrainings.
        runs: Checked runs.
        findings: Claims that do not hold or cannot be checked.
        unweighted: Pretrainings by key that were merged without weights, with their source.
    """

    pretrainings: int
    runs: int
    findings: list[Finding]
    unweighted: dict[str, str] = field(default_factory=dict)

    def __add__(self, other: "Checked") -> "Checked":
        """Return both checks as one."""
        return Checked(
            self.pretrainings + other.pretrainings,
            self.runs + other.runs,
            self.findings + other.findings,
            self.unweighted | other.unweighted,
        )

    @property
    def empty(self) -> bool:
        """True if there was nothing to check."""
        return not (self.pretrainings or self.runs or self.findings)

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return asdict(self)

    def summary(self, *, weights: bool = True) -> str:
        """Return counts and number of findings in a sentence.

        Args:
            weights: False if only the runs were checked.
        """
        starts = f"{self.pretrainings} pretrainings, " if weights else ""
        count = len(self.findings)
        found = f"{count} finding{'s' if count > 1 else ''}" if count else "all hold"
        return f"checked {starts}{self.runs} runs: {found}"

    def without_weights(self) -> str:
        """Return the number of encoders that cannot be checked here, and why, in a sentence."""
        if not (count := len(self.unweighted)):
            return ""
        sources = ", ".join(sorted(set(self.unweighted.values())))
        what = "1 encoder has" if count == 1 else f"{count} encoders have"
        return f"{what} no weights here to check: merged without them from {sources}"


OnProgress = Callable[[int, int], None]
LISTED = 5  # findings that a message lists


def refuse_no_store(store: Store) -> None:
    """Check that a folder is a store.

    Raises:
        RequestError: It holds neither pretrainings nor runs.
    """
    if not store.has_results:
        raise RequestError(
            f"{store.root} is not a store: it has neither a folder pretrain/ nor evaluate/; name "
            "a store, or a grid with --runs STORE"
        )


def check_store(store: Store, on_progress: OnProgress = lambda done, total: None) -> Checked:
    """Check every record of a store.

    Args:
        store: The store; nothing is written.
        on_progress: Called with (done, total) before each record.

    Raises:
        RequestError: The folder is not a store, or holds no record.
    """
    refuse_no_store(store)
    keys = {kind: sorted(store.keys(kind)) for kind in KINDS}
    found = check_keys(store, keys["pretrain"], keys["evaluate"], on_progress)
    if found.empty:
        raise RequestError(f"the store {store.root} holds no record; there is nothing to check")
    return found


def check_plan(
    plan: Plan,
    store: Store,
    on_progress: OnProgress = lambda done, total: None,
    *,
    encoders: bool = True,
    weights: bool = True,
    verifier: RunVerifier | None = None,
) -> Checked:
    """Check the records of a grid; missing records are skipped.

    Args:
        plan: The plan of the grid.
        store: The store; nothing is written.
        on_progress: Called with (done, total) before each record.
        encoders: Check the pretrainings and their weights too.
        weights: False for the plan of an archive, which holds no weights.
        verifier: One of this store, which then keeps the metrics of the runs.
    """
    starts = [entry.key for entry in plan.pretrain if entry.key] if encoders else []
    runs = [entry.key for entry in plan.runs if entry.key]
    found = check_keys(store, starts, runs, on_progress, weights=weights, verifier=verifier)
    unknown = [
        Finding("split", name, "it is not prepared, and the store does not describe it, so the "
                f"records that need it were not checked; run `sarbench data prepare "
                f"{shlex.quote(name)}`")
        for name in plan.needs()
        if name not in plan.data
    ]  # fmt: skip
    mixed = [Finding("code", plan.grid.name, text) for text in mixed_code(plan)]
    return replace(found, findings=[*unknown, *mixed, *found.findings])


def refuse_false_runs(plan: Plan, store: Store, on_progress: OnProgress) -> None:
    """Check every finished run of a plan, as `merge` does before it copies one.

    Raises:
        RequestError: A claim does not hold or cannot be checked; the message lists the first ones.
    """
    runs = [entry.key for entry in plan.runs if entry.key and entry.record]
    findings = check_keys(store, [], runs, on_progress).findings
    if not findings:
        return
    raise RequestError(
        f"{len(findings)} claims of the runs in {store.shown} do not hold or cannot be checked; "
        "`sarbench check` lists all of one source. Leave that source out, or correct it and make "
        "its archive again:\n" + shortened((one.line() for one in findings), LISTED, "\n")
    )


def check_keys(
    store: Store,
    starts: Collection[str],
    runs: Collection[str],
    on_progress: OnProgress,
    *,
    weights: bool = True,
    verifier: RunVerifier | None = None,
) -> Checked:
    """Check the records with these keys; keys without a record are skipped."""
    findings = list(_set_findings(store))
    checker = _Checker(store, weights, verifier)
    counts = {"pretrain": 0, "evaluate": 0}

    def readable(kind: Kind, keys: Collection[str]) -> Iterator[Any]:
        for key in keys:
            on_progress(sum(counts.values()), len(starts) + len(runs))
            try:
                record = store.read(kind, key)
            except (DamagedRecordError, OSError) as error:
                counts[kind] += 1
                findings.append(_finding(kind, key, Problem("record", str(error))))
            else:
                if record is not None:
                    counts[kind] += 1
                    yield record

    for start in readable("pretrain", starts):
        findings += checker.of_start(start)
    findings += checker.of_runs(readable("evaluate", runs))
    return Checked(counts["pretrain"], counts["evaluate"], findings, checker.unweighted)


def _set_findings(store: Store) -> Iterator[Finding]:
    for path in every_set(store.root):
        try:
            read_checked_set(path)
        except DamagedSetError as error:
            yield Finding("set", f"{FOLDER}/{path.name}", str(error))


def _finding(kind: Kind, key: str, problem: Problem, more: str = "") -> Finding:
    return Finding(problem.kind, f"{kind}/{key[:12]}{more}", problem.text, (key,))


class _Checker:
    """A checker of records that reads each pretraining once."""

    def __init__(self, store: Store, weights: bool, verifier: RunVerifier | None) -> None:
        self._store, self._weights = store, weights
        splits = Splits([store.root], store.prepared)
        self._verifier = verifier or RunVerifier(splits, store.read_predictions)
        self._starts: dict[str, tuple[str | None, str | None, str]] = {}
        self.unweighted: dict[str, str] = {}

    def of_start(self, record: PretrainRecord) -> list[Finding]:
        """Return the problems of a pretraining."""
        self._starts[record.key] = record.weights_digest, record.identity.get("method"), ""
        problems = encoder_problems(record, self._store.encoder(record.key))
        if any(one.kind == "missing" for one in problems):
            if not self._weights:
                return []
            source = self._store.file("pretrain", record.key, UNWEIGHTED)
            if source.is_file():
                self.unweighted[record.key] = source.read_text("utf-8", "replace").strip()
                return []
        return [_finding("pretrain", record.key, one) for one in problems]

    def of_runs(self, records: Iterable[RunRecord]) -> list[Finding]:
        """Return the problems of runs; all runs with one unknown split are one finding."""
        findings: list[Finding] = []
        unscored: dict[str, list[RunRecord]] = {}
        paths = (
            (one, self._store.folder("evaluate", one.key) / PREDICTIONS_FILE) for one in records
        )
        for run in self._verifier.check(paths):
            record = run.record
            weights, method, why = self._start(str(record.identity.get("start")))
            for problem in (*run.problems, *start_problems(record, weights, method, why=why)):
                if problem.kind == "unscored":
                    unscored.setdefault(problem.text, []).append(record)
                else:
                    findings.append(
                        _finding("evaluate", record.key, problem, f" ({_describe(record)})")
                    )
        for text, of_split in unscored.items():
            text = f"{len(of_split)} runs could not be scored again: {text}"
            dataset = str(of_split[0].identity["dataset"])
            keys = tuple(record.key for record in of_split)
            findings.append(Finding("unscored", dataset, text, keys))
        return findings

    def _start(self, key: str) -> tuple[str | None, str | None, str]:
        """Return weights digest, method, and the reason if both are None, of a pretraining."""
        if key not in self._starts:
            try:
                record = self._store.read("pretrain", key)
                found = record and (record.weights_digest, record.identity.get("method"), "")
            except (DamagedRecordError, OSError, ValueError):
                found = None, None, "has a damaged record"
            self._starts[key] = found or (None, None, "")
        return self._starts[key]


def _describe(record: RunRecord) -> str:
    names = ("method", "dataset", "protocol", "shots", "seed", "condition")
    known = record.identity
    return ", ".join(f"{n} {known.get(n)}" for n in names if n != "condition" or n in known)
