"""A thread that reads the store while somebody looks at the page."""

import json
import threading
import time
from collections.abc import Callable
from typing import Any

from ..plan.plan import Plan
from ..slurm.job_states import update_from_queue
from ..store.records import Store
from .snapshot import Curves, age_s, grid_state

TICK_S = 2.0  # between two looks at the progress of running pretrainings
PLAN_S = 6.0  # between two comparisons of the grid with the store, at least
SHARE = 0.05  # of a core for these comparisons, at most


class Watcher:
    """The newest state of a grid, for any number of clients.

    Nothing is read while no client waits. What cannot be read keeps its last state, and the page
    says so; no error ends the thread.
    """

    def __init__(self, make_plan: Callable[[], Plan], store: Store, tick_s: float = TICK_S) -> None:
        """Keep the arguments.

        Args:
            make_plan: Compares the grid with the store as it is now.
            store: The store; its folder need not exist.
            tick_s: Seconds between two states.
        """
        self._make_plan, self._store, self._tick_s = make_plan, store, tick_s
        self._curves = Curves(store)
        self._state: dict[str, Any] = {}
        self._problem, self._warnings = "", list[str]()
        self._next_plan, self._compared = 0.0, 0.0
        self._changed = threading.Condition()
        self._text, self._version, self._clients, self._ended = "", 0, 0, False

    def start(self) -> None:
        """Read the store in a thread until `end`."""
        threading.Thread(target=self._run, name="watcher", daemon=True).start()

    def end(self) -> None:
        """Stop reading, and let every client return."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    @property
    def ended(self) -> bool:
        """True after `end`."""
        return self._ended

    def wait(self, after: int | None, timeout_s: float) -> tuple[int, str]:
        """Return the first state after a version, or the present one when the time is over.

        None waits for a state that is read from now on.
        """
        with self._changed:
            seen = self._version if after is None else after
            self._clients += 1
            self._changed.notify_all()
            try:
                self._changed.wait_for(lambda: self._version > seen or self._ended, timeout_s)
            finally:
                self._clients -= 1
            return self._version, self._text

    def read(self) -> str:
        """Read the state now and return it as JSON."""
        started = time.monotonic()
        if started >= self._next_plan:
            self._compare()
            now = time.monotonic()
            self._next_plan = now + max(PLAN_S, (now - started) / SHARE)
        running = [one | self._progress(one["key"]) for one in self._state.get("running", [])]
        jobs = [one | {"heartbeat_s": age_s(one["log"])} for one in self._state.get("jobs", [])]
        compared_s = time.monotonic() - self._compared if self._state else None
        return json.dumps(
            self._state
            | {
                "running": running, "jobs": jobs, "compared_s": compared_s,
                "problem": self._problem, "warnings": self._warnings, "time": time.time(),
            }
        )  # fmt: skip

    def _compare(self) -> None:
        if not self._store.root.is_dir():
            self._problem = f"the store {self._store.root} does not exist (yet)"
            if self._state:
                self._problem += "; this is its last state"
                return
        warnings: list[str] = []
        try:
            made = self._make_plan()
            states = update_from_queue(self._store, made, warnings.append)
            self._state = grid_state(made, states, self._store)
            self._compared = time.monotonic()
        except Exception as error:  # whatever is half-written or gone, the page stays
            self._problem = f"the store cannot be read now: {type(error).__name__}: {error}"
            return
        self._warnings = warnings
        if self._store.root.is_dir():
            self._problem = ""

    def _progress(self, key: str) -> dict[str, Any]:
        try:
            return self._curves.progress(key)
        except Exception as error:  # a file of a running process
            return {"error": f"{type(error).__name__}: {error}"}

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._clients or self._ended)
                if self._ended:
                    return
            text = self.read()
            with self._changed:
                self._text, self._version = text, self._version + 1
                self._changed.notify_all()
                if self._changed.wait_for(lambda: self._ended, self._tick_s):
                    return
