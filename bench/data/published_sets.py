"""Sets that are not prepared, with their published sizes, for a look at jobs before any data."""

from .names import card_of, split_source
from .packed import Summary
from .pools import published_count

NO_DIGEST = "0" * 64  # of pixels and splits that are not known


def published_set(given: str, pools: list[str]) -> Summary | None:
    """Return the summary of a set by its card, without digests.

    Its keys are of no real work. None if a pool of it has no published size.

    Args:
        given: Full name of the set.
        pools: Pools of the grid that are read from it, as the grid names them.
    """
    card = card_of(given)
    counts = {"train": {}, "test": {}} | card.counts
    sizes = [published_count([name]) for name in pools]
    if None in sizes:
        return None
    if pools and split_source(pools[0]) is not None and not counts["train"]:
        counts["train"] = {"": sizes[0] or 0}
    return Summary(
        name=card.name,
        kind=card.kind,
        count=(sizes or [0])[0] or 0,
        counts=counts,
        data_digest=NO_DIGEST,
        split_digest=NO_DIGEST if card.kind == "dataset" else "",
        rendering="",
        transform=card.transform,
        crop_px=card.crop_px,
        dtype="",
        classes=tuple(counts["train"]),
    )
