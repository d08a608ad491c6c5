"""Processes that share the work of another one end with it."""

import os
import signal
import subprocess
import sys

import pytest

FIRST = """
import os, sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from sarbench.bench.machine import start_worker

pool = ProcessPoolExecutor(1, get_context("spawn"), start_worker)
for line in sys.stdin:
    print(pool.submit(os.getpid).result(), flush=True)
"""


@pytest.mark.slow
def test_a_worker_ends_when_the_first_process_is_killed_and_not_at_ctrl_c():
    words, pipe = [sys.executable, "-c", FIRST], subprocess.PIPE
    with subprocess.Popen(words, stdin=pipe, stdout=pipe, text=True, bufsize=1) as first:
        assert first.stdin
        assert first.stdout
        first.stdin.write("\n")
        worker = int(first.stdout.readline())
        os.kill(worker, signal.SIGINT)  # Ctrl-C reaches every process of a terminal
        first.stdin.write("\n")
        assert int(first.stdout.readline()) == worker
        first.kill()
        first.communicate(timeout=20)  # until the worker, too, no longer has the pipe open
