"""Two descriptions of one version of a data set, from two stores, put together."""

from dataclasses import replace

from .facts import Facts
from .set_descriptions import SetDescription
from .splits import same_groups


class DifferentSetError(ValueError):
    """Two descriptions of one version of a set that contradict each other."""


def united(
    first: SetDescription, second: SetDescription, places: tuple[str, str]
) -> SetDescription:
    """Return a description with the groups and facts of both; `first` itself if it has all.

    Args:
        first: One description.
        second: Another one, of the same pixels and split.
        places: Where they are, for messages.

    Raises:
        DifferentSetError: Both have groups, or a fact about a chip, and these differ.
    """
    one, other = first.split, second.split
    differ: list[str] = []
    if one.group is not None and other.group is not None:
        differ += [] if same_groups(one.group, other.group) else ["groups of near duplicates"]
    facts = other.facts if one.facts is None else one.facts
    if one.facts is not None and other.facts is not None:
        differ += one.facts.differences(other.facts)
        facts = one.facts.over(other.facts)
    if differ:
        raise DifferentSetError(
            f"{first.given} has other {' and '.join(differ)} in {places[0]} than in {places[1]}, "
            "and tables follow from them; prepare the set again where its files are out of date, "
            "or leave out the source that is wrong"
        )
    group = other.group if one.group is None else one.group
    if group is one.group and _json(facts) == _json(one.facts):
        return first
    return replace(first, split=replace(one, group=group, facts=facts))


def _json(facts: Facts | None) -> object:
    return {} if facts is None else facts.to_json()
