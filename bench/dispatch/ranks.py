"""The processes of one pretraining: which one this is, and how they meet."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from ..run import Resources


@dataclass(frozen=True)
class Ranks:
    """One of the processes of a job."""

    resources: Resources


@contextmanager
def join_ranks(resources: Resources) -> Iterator[Ranks]:
    """Meet the other processes of this job, if there are any."""
    yield Ranks(resources)
