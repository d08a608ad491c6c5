"""The live page answers on this machine only, follows the store, and outlives its loss."""

import json
import socket
import threading
import time
from contextlib import closing, contextmanager
from http.client import HTTPConnection

import pytest
from small_plans import make_plan

from sarbench.bench.live.server import LiveServer
from sarbench.bench.live.watcher import Watcher
from sarbench.bench.slurm.job_states import JobStates
from sarbench.bench.store.attempts import make_attempt
from sarbench.bench.store.progress import LEASE, Progress, write_progress
from sarbench.bench.store.records import Store
from sarbench.bench.suggest import RequestError

EVIL = '<img src=x onerror="alert(1)">'
STEPS = 100


class Grid:
    """A plan with one running and one failed pretraining, and its server."""

    def __init__(self, folder, monkeypatch):
        self.store, self.plans = Store(folder / "runs"), 0
        self.made = make_plan(runs_each=2, trained=3, untrained=1)
        self.running, failed = self.made.pretrain[:2]
        self.running.set("running")
        failed.set(
            "failed", detail="RuntimeError: the sonar hit an iceberg", failure_class="exception"
        )
        failed.attempt = make_attempt("RuntimeError", "iceberg", ["first", f"last {EVIL}"])
        self.folder = self.store.folder("pretrain", self.running.key)
        self.folder.mkdir(parents=True)
        (self.folder / LEASE).touch()
        lines = [{"step": 0, "epoch": 0}, *({"step": 20 * n, "loss": 1 / n} for n in (1, 2))]
        text = "".join(json.dumps(line) + "\n" for line in lines)
        self.store.history(self.running.key).write_text(text + '{"step": 60, "lo')
        self.step(41, 0.5)
        monkeypatch.setattr(
            "sarbench.bench.live.watcher.update_from_queue",
            lambda store, plan, warn: JobStates(store),
        )
        monkeypatch.setattr("sarbench.bench.live.watcher.PLAN_S", 0.0)

    def step(self, step, loss):
        write_progress(self.folder, Progress(step, STEPS, 16, loss, 120.0))

    def plan(self):
        self.plans += 1
        return self.made

    def watcher(self):
        return Watcher(self.plan, self.store, tick_s=0.05)


@pytest.fixture
def grid(tmp_path, monkeypatch):
    return Grid(tmp_path, monkeypatch)


@contextmanager
def serving(watcher, port=0):
    """Serve in a thread of this process."""
    server = LiveServer(watcher, port)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join(5)
        assert not thread.is_alive()


def ask(server, path, **headers):
    connection = HTTPConnection("127.0.0.1", server.server_address[1], timeout=10)
    connection.request("GET", path, headers=headers)
    with closing(connection):
        answer = connection.getresponse()
        return answer, answer.read().decode()


def test_the_page_and_its_files_load_nothing_from_elsewhere(grid):
    with serving(grid.watcher()) as server:
        assert server.server_address[0] == "127.0.0.1"
        for path in ("/", "/page.css", "/live.css", "/live.js"):
            answer, text = ask(server, path)
            assert answer.status == 200
            assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
            assert "http" not in text.replace("http://www.w3.org/2000/svg", "").replace(
                "http-equiv", ""
            )
        assert ask(server, "/../../etc/passwd")[0].status == 404
        assert ask(server, "/state", Host="evil.example")[0].status == 403
    assert grid.plans == 0  # nobody asked for a state


def test_the_state_has_counts_losses_heartbeat_and_log_tails(grid):
    with serving(grid.watcher()) as server:
        state = json.loads(ask(server, "/state")[1])
    assert state["counts"] == {"new": 8}
    assert state["pretrain_counts"] == {"running": 1, "failed": 1, "new": 2}
    (one,) = state["running"]
    assert (one["step"], one["steps"], one["loss"]) == (41, STEPS, 0.5)
    assert one["means"] == [[10, 1], [30, 0.5]]  # in the middle of each epoch; half a line is left
    assert one["seen"] == [[41, 0.5]]
    assert 0 <= one["heartbeat_s"] < 60
    assert one["left_s"] == pytest.approx(59 * 16 / 120)
    assert state["rows"][0]["reason"] == ""  # its progress is that of "running", which is newer
    assert 0 <= state["compared_s"] < 60
    (failure,) = state["failures"]
    assert (failure["class"], failure["tail"][-1]) == ("exception", f"last {EVIL}")


def test_events_follow_a_run_and_outlive_broken_files_and_a_store_that_vanishes(grid):
    with serving(grid.watcher()) as server:
        connection = HTTPConnection("127.0.0.1", server.server_address[1], timeout=10)
        connection.request("GET", "/events")
        answer = connection.getresponse()
        assert answer.headers["Content-Type"].startswith("text/event-stream")

        def event(wanted):
            for _ in range(100):
                line = answer.readline().decode()
                if line.startswith("data: ") and wanted(state := json.loads(line[6:])):
                    return state
            raise AssertionError("no such event")

        event(lambda state: state["running"][0]["step"] == 41)
        grid.step(42, 0.25)
        later = event(lambda state: state["running"][0]["step"] == 42)
        assert later["running"][0]["seen"] == [[41, 0.5], [42, 0.25]]
        (grid.folder / "progress.json").write_text('{"step": 4')
        half = event(lambda state: "step" not in state["running"][0])
        assert half["running"][0]["seen"][-1] == [42, 0.25]
        grid.store.root.rename(grid.store.root.with_name("gone"))
        gone = event(lambda state: state["problem"])
        assert "does not exist" in gone["problem"]
        assert gone["counts"] == {"new": 8}  # the last state
        grid.store.root.with_name("gone").rename(grid.store.root)
        event(lambda state: not state["problem"])
        grid.made = None  # a plan that raises
        broken = event(lambda state: state["problem"])
        assert "cannot be read now: AttributeError" in broken["problem"]
        connection.close()


def test_nothing_is_read_while_nobody_looks(grid):
    with serving(grid.watcher()) as server:
        ask(server, "/state")
        time.sleep(0.3)
        read = grid.plans
        time.sleep(0.3)
        assert grid.plans == read
        ask(server, "/state")
        assert grid.plans <= read + 2


def test_a_port_in_use_is_a_clear_error(grid):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(RequestError, match=rf"port {port} is in use.*--port"):
            LiveServer(grid.watcher(), port)
    with pytest.raises(RequestError, match=r"port 99999 cannot be used.*1024 to 65535"):
        LiveServer(grid.watcher(), 99999)


def test_what_a_method_cannot_do_is_in_the_state(grid):
    grid.made.not_applicable.append(("My MAE", "encoder", "ValueError: odd width"))
    with serving(grid.watcher()) as server:
        state = json.loads(ask(server, "/state")[1])
    assert state["not_applicable"] == ["My MAE, encoder: ValueError: odd width"]


@pytest.mark.slow
def test_an_open_page_follows_a_job_and_a_server_that_are_started_again(grid, browser):
    grid.running.job = "7_0"
    tab = browser.new_page(viewport={"width": 360, "height": 800}, color_scheme="dark")
    with serving(grid.watcher()) as server:
        port = server.server_address[1]
        tab.goto(server.address)
        tab.get_by_text("step 41 of 100").first.wait_for()
        (grid.folder / "progress.json").unlink()
        tab.get_by_text("job 7_0, no step yet, last heartbeat").wait_for()
        assert tab.locator(".card svg circle").count() == 1
        assert "late" not in str(tab.locator(".card p").last.get_attribute("class"))
        server.shutdown()
    tab.get_by_text("the server does not answer, trying again").wait_for()
    assert tab.get_by_text("no step yet").is_visible()  # the last state stays
    grid.step(60, 0.01)
    with serving(grid.watcher(), port):
        tab.locator(".card").get_by_text("step 60 of 100").wait_for()
        tab.locator("#clock:not(.bad)").wait_for()
        assert tab.get_by_text("log loss").is_visible()  # from 1 to 0.01
        widest = "document.documentElement.scrollWidth"
        assert tab.evaluate(widest) <= 360
        detail = "document.querySelector('#rows td:last-child').getBoundingClientRect().x"
        assert tab.evaluate(detail) < 60  # below its name
    tab.close()


@pytest.mark.slow
def test_the_live_page_in_a_browser(grid, open_tab):
    with serving(grid.watcher()) as server:
        tab, said, asked = open_tab(1300, 900)
        tab.goto(server.address)
        tab.get_by_text("step 41 of 100").first.wait_for()
        grid.step(55, 0.2)
        tab.locator(".card").get_by_text("step 55 of 100").wait_for()
        assert tab.locator(".card svg polyline").count() == 2
        assert "loss 0.2" in tab.locator(".card svg").get_attribute("aria-label")
        tab.locator("#failures summary").click()
        tab.wait_for_timeout(300)  # some events later it is still open
        assert tab.locator("#failures pre").is_visible()
        assert EVIL in tab.locator("#failures pre").inner_text()
        assert tab.locator("img").count() == 0
        tab.set_viewport_size({"width": 390, "height": 800})
        assert tab.evaluate("document.documentElement.scrollWidth") <= 390
        grid.store.root.rename(grid.store.root.with_name("gone"))
        tab.locator("#problem").wait_for(state="visible")
        tab.close()
    assert said == []
    assert all(url.startswith((server.address, "data:")) for url in asked)
