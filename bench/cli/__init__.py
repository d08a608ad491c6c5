"""The command line; the only folder that prints.

Exit status: 0 all well, 1 something failed and is listed, 2 the request was wrong.
"""

import sys
from importlib import import_module

from ..store.atomic import NoSpaceError
from .app import Stopped, app, complain

# The commands of each file. Only the file of the command that is asked for is imported: some bring
# SciPy and matplotlib, which take longer to import than a plan takes to make.
COMMANDS = {
    "grid": ("plan", "run", "demo"),
    "slurm": ("submit", "retry", "cancel"),
    "status": ("status", "logs"),
    "results": ("table", "compare", "paper", "report", "merge"),
    "check": ("check",),
    "data": ("data",),
    "methods": ("methods", "protocols"),
    "doctor": ("doctor",),
}


def main() -> None:
    """Run `sarbench`; turn an error of ours into one message, anything else is a bug."""
    asked = sys.argv[1] if len(sys.argv) > 1 else ""
    for module in [name for name, made in COMMANDS.items() if asked in made] or COMMANDS:
        import_module(f".{module}", __package__)  # its decorators add the commands
    try:
        app(prog_name="sarbench")
    except (KeyboardInterrupt, Stopped):
        complain("stopped; finished work is stored, run the same command again to resume")
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
