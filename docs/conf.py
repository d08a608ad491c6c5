"""Settings of the site: `make docs` builds it from these pages and from the code."""

import sys
from importlib import metadata
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from _reference import insert_reference
from _repository import link_to_pages

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


def setup(app) -> None:
    """Change pages before they are parsed."""
    app.connect("source-read", insert_reference)
    app.connect("source-read", link_to_pages)
