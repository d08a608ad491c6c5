"""The reference, generated from the code: it replaces `<!-- reference: NAME -->` in a page."""

import re

MARK = re.compile(r"^<!-- reference: (\w+) -->$", re.MULTILINE)


def insert_reference(app, name: str, source: list[str]) -> None:
    """Replace each mark of a page by what the code says now."""
    source[0] = MARK.sub("", source[0])
