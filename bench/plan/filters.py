"""The part of a grid that a command is about."""

from dataclasses import dataclass

from ..augmentation.conditions import CLEAN
from ..grid.expand import PlannedPretraining, PlannedRun
from ..grid.schema import GridError


@dataclass(frozen=True)
class Filters:
    """The part of a grid that a command is about; an empty filter matches everything."""

    methods: tuple[str, ...] = ()
    datasets: tuple[str, ...] = ()
    protocols: tuple[str, ...] = ()
    shots: tuple[str, ...] = ()
    seeds: tuple[int, ...] = ()
    conditions: tuple[str, ...] = ()  # `clean` for chips without one

    def check(self, planned: list[PlannedRun]) -> None:
        """Refuse a filter value that matches nothing in the grid.

        Raises:
            GridError: The message lists the values that the grid has.
        """
        for name, wanted, have in (
            ("method", self.methods, {n for run in planned for n in _names(run)}),
            ("data set", self.datasets, {run.dataset for run in planned}),
            ("protocol", self.protocols, {run.protocol for run in planned}),
            ("shots", self.shots, {str(run.shots) for run in planned}),
            ("seed", self.seeds, {run.seed for run in planned}),
            ("condition", self.conditions, {run.condition or CLEAN for run in planned}),
        ):
            for value in wanted:
                if value not in have:
                    listed = ", ".join(map(str, sorted(have)))
                    raise GridError(f"no run of this grid has {name} {value!r}; it has: {listed}")

    def matches(self, run: PlannedRun) -> bool:
        """Return whether a run matches."""
        return (
            self.of_row(run.pretraining)
            and (not self.datasets or run.dataset in self.datasets)
            and (not self.protocols or run.protocol in self.protocols)
            and (not self.shots or str(run.shots) in self.shots)
            and (not self.seeds or run.seed in self.seeds)
            and (not self.conditions or (run.condition or CLEAN) in self.conditions)
        )

    def of_row(self, start: PlannedPretraining) -> bool:
        """Return whether the method or the label of a pretraining matches."""
        return not self.methods or not {start.method, start.label}.isdisjoint(self.methods)


def _names(run: PlannedRun) -> set[str]:
    return {run.pretraining.method, run.pretraining.label}
