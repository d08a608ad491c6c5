"""The command cite."""

from ..reporting.citations import bibliography
from .app import out
from .grid_arguments import Request, grid_command


@grid_command
def cite(request: Request) -> None:
    """Print BibTeX of the benchmark, and of the methods, data and weights of a grid."""
    out.file.write(str(bibliography(request.plan())))
