"""The chips of data sets that a pretraining has seen in its pool."""

from collections.abc import Iterator
from contextlib import suppress

from ...methods import _registry
from ...results.record import GivenSource
from ..data.find_set import Splits
from ..data.names import TRAIN
from ..data.set_descriptions import every_set, read_checked_set
from ..data.sharing import sharing
from ..data.splits import DamagedSetError
from ..identity import Pretraining
from ..store.records import Store
from .given_notes import shared_chips


def seen_by(
    store: Store, identity: Pretraining, source: GivenSource | None = None
) -> Iterator[str]:
    """Yield sentences on the chips of each data set of the store that a pool holds.

    `source` is that of given weights.
    """
    method = _registry.get(identity.method)
    if source and (declared := _declared(source)):
        yield f"As declared when it was imported: {declared}."
        return
    if not method.trains:
        yield (
            "Nothing: it was not trained."
            if method.control
            else "Not recorded in the store: the weights come from a file. Grids declare it "
            "(`seen` of an entry under `encoders`), and `sarbench weights import` takes --seen."
        )
        return
    if method.needs_labels:
        yield "The labels of its pool."
    if identity.init:
        yield (
            f"It continues from given weights {identity.init['digest'][:12]} (layout "
            f"{identity.init['layout']}). What they have seen, and whether with labels, is not "
            "recorded in the store; grids declare it (`seen` and `labels` of `init`). The lines "
            "below are about the pool alone."
        )
    splits, members, names = Splits([store.root], store.prepared), [], []
    for member in identity.pool:
        known = splits.described(store.root, member["digest"], member.get("split", ""))
        if known is None:
            yield f"The store does not describe {member['name']}: overlap with data sets unknown."
            return
        members.append(known.summary)
        names.append(known.given.removeprefix("pool:") + (TRAIN if "split" in member else ""))
    for path in every_set(store.root):
        with suppress(DamagedSetError):  # `sarbench check` reports it
            dataset = read_checked_set(path).summary
            if dataset.kind != "dataset":
                continue
            one = sharing(
                names, members, identity.pool_cap, identity.pool_fraction, dataset, store.root
            )
            named = f"{dataset.name} (pixels {dataset.data_digest[:12]})"
            if one is None:
                yield f"{named}: unknown, because its chips or those of the pool are not packed."
            else:
                yield f"{named}: the pool holds {shared_chips(one)}."
    yield "Data sets that the store does not describe were not compared with the pool."


def _declared(source: GivenSource) -> str:
    """Return what was declared about given weights, in words; empty for nothing."""
    seen = "" if source.seen is None else ", ".join(source.seen) or "nothing"
    labels = {True: "with labels", False: "without labels", None: ""}[source.labels]
    return ", ".join(filter(None, (seen, labels)))
