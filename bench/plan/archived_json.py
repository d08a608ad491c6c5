"""The content of `plan.json` in an archive."""

from typing import Any

from pydantic import Field, TypeAdapter

from ...results.record import Strict
from ..data.sharing import Sharing
from ..grid.applicable import NotApplicable
from ..grid.expand import PlannedPretraining, PlannedRun
from ..method_facts.method_info import MethodInfo
from .entry import Cause, State

RUN = TypeAdapter(PlannedRun)


class ArchivedEntry(Strict):
    """The state of a pretraining or run when the archive was made."""

    state: State
    cause: Cause | None = None
    detail: str = ""
    failure_class: str | None = None


class ArchivedStart(ArchivedEntry):
    """A pretraining of the plan."""

    planned: PlannedPretraining


class ArchivedRun(ArchivedEntry):
    """A run of the plan.

    Attributes:
        start: Place of its pretraining in the plan.
        key: Key of its record, which holds its identity.
        identity: Its identity, without a record.
        planned: The other fields of a planned run.
    """

    start: int
    key: str | None = None
    identity: dict[str, Any] | None = None
    planned: dict[str, Any]


class ArchivedPlan(Strict):
    """Everything of a plan that its records do not hold."""

    pretrain: list[ArchivedStart]
    runs: list[ArchivedRun]
    methods: dict[str, MethodInfo]
    sets: dict[str, str]  # name of a data set or pool -> file in `sets/`
    sharing: list[tuple[tuple[str, ...], dict[str, Sharing]]]
    own: list[tuple[tuple[str, ...], dict[str, Sharing]]] = Field(default_factory=list)
    seen: list[tuple[tuple[str, ...], dict[str, Sharing]]] = Field(default_factory=list)
    not_applicable: list[NotApplicable]
    failing: list[str]
    trials: bool = False  # the plan is that of the trials of [tune]
