"""Wrong requests: their exception, the message for an unknown name, and names in a message."""

from collections.abc import Iterable
from difflib import get_close_matches

SHORTEST = 3  # letters of a name that longer ones are found by


class RequestError(ValueError):
    """A command that cannot be carried out as given; the message says why and what to do."""


def nearest(name: str, allowed: Iterable[str]) -> str | None:
    """Return the allowed name that is most similar to `name`, or None without a similar one.

    The shortest of those that begin with three letters or more is the most similar one.
    """
    allowed = list(allowed)
    longer = [one for one in allowed if one.casefold().startswith(name.casefold())]
    if longer and len(name) >= SHORTEST:
        return min(longer, key=len)
    return next(iter(get_close_matches(name, allowed, n=1, cutoff=0.5)), None)


def unknown(kind: str, name: str, allowed: Iterable[str]) -> str:
    """Return a message with the unknown name, the nearest allowed one, and all allowed ones."""
    allowed = sorted(set(allowed))
    near = nearest(name, allowed)
    hint = f" Did you mean {near!r}?" if near else ""
    return f"unknown {kind} {name!r}.{hint} Allowed: {', '.join(allowed)}"


def shortened(names: Iterable[str], most: int = 8, joint: str = "; ") -> str:
    """Return the first names, and the number of the others; `joint` is a line end for lines."""
    every = list(names)
    gap = joint if joint == "\n" else " "
    return joint.join(every[:most]) + (f"{gap}and {len(every) - most} more" * (len(every) > most))
