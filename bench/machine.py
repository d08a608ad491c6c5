"""The cores of this machine, the memory that a process keeps, and the end of other processes."""

import ctypes
import os
import signal
import threading
from multiprocessing import parent_process

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # malloc.h of glibc


def cores() -> int:
    """Return the number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def keep_freed_memory(trim: int, *mmap: int) -> None:
    """Let glibc keep freed memory for later instead of returning it to the system.

    Other C libraries are left as they are.

    Args:
        trim: Bytes to keep.
        mmap: Size from which a block is returned all the same; the first that glibc takes counts.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt:
        mallopt(M_TRIM_THRESHOLD, trim)
        any(mallopt(M_MMAP_THRESHOLD, size) for size in mmap)


def start_worker() -> None:
    """Ignore Ctrl-C, which the first process handles, and end when that one was killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_wait_for_parent, daemon=True).start()


def _wait_for_parent() -> None:
    if parent := parent_process():
        parent.join()
        os._exit(1)
