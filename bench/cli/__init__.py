"""The command line; the only folder that prints.

Exit status: 0 all well, 1 something failed and is listed, 2 the request was wrong.
"""

import sys

from ..store import NoSpaceError
from ._app import Stopped, app, complain


def main() -> None:
    """Run `sarbench`; turn an error of ours into one message, anything else is a bug."""
    from . import (  # noqa: F401 - their decorators add the commands
        _cluster,
        _data,
        _doctor,
        _grid,
        _methods,
        _results,
        _status,
    )

    try:
        app(prog_name="sarbench")
    except (KeyboardInterrupt, Stopped):
        complain("stopped; what is finished is stored, the same command goes on")
        sys.exit(1)
    except OSError as error:
        if not _is_ours(error) and error.errno is None:
            raise
        complain(str(error.strerror if isinstance(error, NoSpaceError) else error))
        sys.exit(getattr(error, "exit_status", 2) if _is_ours(error) else 1)
    except (ValueError, LookupError) as error:
        if not _is_ours(error):
            raise
        complain(str(error.args[0] if error.args else error))
        sys.exit(2)


def _is_ours(error: Exception) -> bool:
    return type(error).__module__.startswith("sarbench.")
