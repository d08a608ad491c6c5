"""The chips of a job's pretraining: its pool, and the data set that is watched."""

from ..data.chips import Chips
from ..data.names import card_of
from ..data.pools import Pool, open_pool_of
from ..data.prepare import open_version
from ..identity import Job
from ..store.records import Store


def pool_of_job(job: Job, store: Store) -> Pool | None:
    """Open the pool; None for a control."""
    if job.pretraining.recipe is None:
        return None
    return open_pool_of(job.pretraining, job.pool, store.prepared)


def watched_of_job(job: Job, store: Store) -> Chips | None:
    """Open the data set whose training chips are classified while it trains, if there is one."""
    wanted = job.watched
    if wanted is None or job.pretraining.recipe is None:
        return None
    card = card_of(wanted.dataset)
    return open_version(card, wanted.data_digest, wanted.split_digest, store.prepared)
