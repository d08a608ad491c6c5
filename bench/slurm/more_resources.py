"""More memory or time for work that ran out of it, as `retry` asks for it."""

from collections import Counter
from dataclasses import dataclass
from math import ceil

from ..identity import Kind
from ..plan.entry import Cause
from ..plan.plan import Plan
from .commands import Site
from .job_states import Assignment, JobStates
from .ledger import Asked
from .profile import Allocation, Profile, ProfileError, parse_profile

RAN_OUT = {"out_of_memory": "memory_gb", "time_out": "time_min"}  # class of a failure -> key
WORDS = {"memory_gb": "ran out of memory", "time_min": "ran out of time"}


@dataclass(frozen=True)
class _Increase:
    """A change of one value, with its reason."""

    stage: Kind
    key: str
    before: float
    after: float
    limit: float | None
    source: str  # of the limit

    def describe(self, count: int, factor: float) -> str:
        what = f"{count} {'pretraining' if self.stage == 'pretrain' else 'run'}{'s' * (count > 1)}"
        reason = f"{what} {WORDS[self.key]} with {self.before:g}"
        if self.after <= self.before:
            return (
                f"{self.stage}: {self.key} stays {self.before:g}: {reason}, the most that is "
                f"allowed ({self.source}); it is submitted as before"
            )
        most = f"at most {self.limit:g}: {self.source}" if self.limit else "no limit is known"
        return (
            f"{self.stage}: {self.key} = {self.after:g}, because {reason} "
            f"(retry_factor = {factor:g}; {most})"
        )


def more_resources(
    plan: Plan, states: JobStates, wanted: set[str], profile: Profile, site: Site
) -> tuple[dict[str, Asked], list[str]]:
    """Return the memory or time to ask for by key, and the reasons in words.

    A value is `retry_factor` times that of the job which failed, at most `max_memory_gb` or
    `max_time_min`, or without these the memory of the largest node and the time limit of the
    partition.

    Args:
        plan: The plan.
        states: The jobs before the submission.
        wanted: Keys of the pretrainings and runs to submit.
        profile: The profile of the new jobs.
        site: The limits of the site.
    """
    asked, increases, on_gpu = dict[str, Asked](), Counter[_Increase](), 0
    for entry in plan.entries:
        key = RAN_OUT.get(entry.failure_class or "")
        if entry.key not in wanted or key is None or entry.cause == Cause.PRETRAINING_FAILED:
            continue
        if entry.attempt and entry.attempt.failure == "OutOfMemoryError":  # torch's, of a GPU
            on_gpu += 1
            continue
        stage: Kind = "pretrain" if entry.learns else "evaluate"  # its runs make a control
        now = profile.allocation(stage)
        had = _had(states.assigned.get(entry.key), stage, now)
        found = _increase(stage, key, had, now, profile, site)
        if found is None:
            continue
        increases[found] += 1
        if key == "memory_gb":
            asked[entry.key] = Asked(memory_gb=found.after)
        else:
            asked[entry.key] = Asked(time_min=int(found.after))
    said = [one.describe(count, profile.retry_factor) for one, count in increases.items()]
    if on_gpu:
        said.append(
            f"{on_gpu} ran out of the memory of the GPU, which memory_gb does not change: choose "
            "GPUs with more (`gpu`, `constraint` or `partition` in the profile), or a smaller "
            "encoder"
        )
    return asked, said


def _had(assignment: Assignment | None, stage: Kind, now: Allocation) -> Allocation:
    """Return the resources of the job that failed; those of now if the ledger has none."""
    if assignment is None or not assignment.submission.profile:
        return now
    try:
        had = parse_profile(assignment.submission.profile, "the ledger").allocation(stage)
    except ProfileError:
        return now
    return assignment.array.asked.of(had)


def _increase(
    stage: Kind, key: str, had: Allocation, now: Allocation, profile: Profile, site: Site
) -> _Increase | None:
    """Return the change of a value; None if the profile asks for as much."""
    before, given = float(getattr(had, key) or 0), float(getattr(now, key) or 0)
    limit, source = _limit(key, now, profile, site)
    if not before or not given:  # the whole memory of a node
        return _Increase(stage, key, 0, 0, limit, "0 is the whole node")
    wished = before * profile.retry_factor
    after = min(round(wished, 1) if key == "memory_gb" else ceil(wished), limit or wished)
    if given >= after and given > before:
        return None
    return _Increase(stage, key, before, max(after, before), limit, source)


def _limit(key: str, now: Allocation, profile: Profile, site: Site) -> tuple[float | None, str]:
    """Return the most that may be asked for, and its source in words."""
    own = profile.max_memory_gb if key == "memory_gb" else profile.max_time_min
    if own:
        return float(own), f"max_{key}"
    names = str(now.partition or site.default_partition).split(",")
    partitions = [site.partitions[name] for name in names if name in site.partitions]
    if key == "memory_gb":
        known = [int(10 * one.memory_gb) / 10 for one in partitions if one.memory_gb]
    else:
        known = [one.max_time_min for one in partitions if one.max_time_min != float("inf")]
    return (max(known), f"partition {','.join(names)}") if known else (None, "")
