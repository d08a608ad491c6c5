"""The command line; the only folder that prints.

Exit status: 0 success, 1 something failed and is listed, 2 the request was wrong.
"""

import sys

from .app import Stopped, print_error, root


def main() -> None:
    """Run `sarbench`; print an expected error as one message, let any other one through."""
    try:
        root()(prog_name="sarbench")
    except (KeyboardInterrupt, Stopped):
        print_error("stopped; finished work is stored, run the same command again to resume")
        sys.exit(1)
    except OSError as error:
        from ..store.atomic import NoSpaceError

        if not _is_ours(error) and error.errno is None:
            raise
        print_error(str(error.strerror if isinstance(error, NoSpaceError) else error))
        sys.exit(getattr(error, "exit_status", 2) if _is_ours(error) else 1)
    except (ValueError, LookupError) as error:
        if not _is_ours(error):
            raise
        print_error(str(error.args[0] if error.args else error))
        sys.exit(2)


def _is_ours(error: Exception) -> bool:
    return type(error).__module__.startswith("sarbench.")
