"""Names of data sets and pools as grids and plans write them."""

from .registry import Card, card, dataset_names, pool_names


def split_name(given: str) -> tuple[str, bool]:
    """Return the name of a data set or pool, and whether it means a pool (`pool:<name>`)."""
    if given.startswith("pool:"):
        return given.removeprefix("pool:"), True
    pools = given.startswith("folder:") or given in pool_names()
    return given, pools and given not in dataset_names()


def full_name(given: str) -> str:
    """Return the one name of a set in plans and stores: a pool is written `pool:<name>`."""
    name, pool = split_name(given)
    return f"pool:{name}" if pool else name


def card_of(given: str) -> Card:
    """Return the card of a set.

    Raises:
        UnknownDatasetError: No such name.
    """
    name, pool = split_name(given)
    return card(name, pool=pool)
