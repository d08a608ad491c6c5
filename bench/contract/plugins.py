"""Check plug-ins before they are trained, once per state of their code."""

import time
from collections.abc import Callable, Iterable

from ...methods import _registry
from ..method_facts.contract_outcomes import (
    Contract,
    failed_contracts,
    outcome_file,
    plugins,
    read_outcome,
)
from ..method_facts.method_info import plugin_digest
from ..store.atomic import write_atomic
from ..store.records import Store

NAMED = 3  # failures with their explanations; `sarbench methods check` explains all


def check_contracts(
    store: Store,
    names: Iterable[str],
    warn: Callable[[str], None],
    tell: Callable[[str], None] = lambda text: None,
) -> None:
    """Check each method that is not bundled, unless its code was checked before.

    The store keeps the outcomes. A failure is reported and does not stop a run.
    """
    names = list(names)
    for name in plugins(names):
        path = outcome_file(store, name)
        if read_outcome(path) is None:
            tell(f"checking that {name} fulfils the contract, once per state of its code")
            text = _check(name).model_dump_json(indent=1)
            write_atomic(path, text + "\n")
    for name, failures in failed_contracts(store, names).items():
        others = ", ".join(failure.partition(":")[0] for failure in failures[NAMED:])
        more = f"; also: {others}" if others else ""
        warn(
            f"{name} fails {len(failures)} checks of the contract: {'; '.join(failures[:NAMED])}"
            f"{more}. It runs, and tables mark its rows. For details: sarbench methods check {name}"
        )


def _check(name: str) -> Contract:
    from .checks import run_checks  # imports torch

    checked = run_checks(_registry.get(name))
    return Contract(
        method=name,
        code=plugin_digest(name),
        failures=[f"{check}: {problem}" for check, problem in checked if problem is not None],
        time=time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime()),
    )
