"""Settings of the site: `make docs` builds it from these pages and from the code."""

import sys
from importlib import metadata
from pathlib import Path

FOLDER = Path(__file__).parent
sys.path.insert(0, str(FOLDER))

from _reference import UNDOCUMENTED, with_reference
from _repository import with_paths
from sphinx.util.logging import getLogger

project = "sarbench"
author = "The sarbench authors"
release = metadata.version("sarbench")
extensions = ["myst_parser"]
exclude_patterns = ["_build", "notebooks"]
myst_heading_anchors = 4
smartquotes = False  # `--option` is not a dash
highlight_language = "none"  # indented blocks
html_theme = "furo"
html_title = f"sarbench {release}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_copyright = False


def complete(app, name: str, source: list[str]) -> None:
    """Complete a page before it is parsed."""
    log = getLogger(__name__)
    source[0] = with_reference(source[0])
    if UNDOCUMENTED in source[0]:
        log.warning("a key has no description", location=name)
    try:
        source[0] = with_paths(source[0], FOLDER / f"{name}.md")
    except FileNotFoundError as error:
        log.warning(str(error), location=name)


def setup(app) -> None:
    """Call `complete` for each page."""
    app.connect("source-read", complete)
