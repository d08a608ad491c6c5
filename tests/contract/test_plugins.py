"""Methods that are not bundled are checked once for each state of their code."""

import json
from pathlib import Path

import pytest

from sarbench.bench.cli import slurm as _cluster
from sarbench.bench.cli.grid import run_grid
from sarbench.bench.cli.grid_arguments import Request
from sarbench.bench.contract import checks as method_checks
from sarbench.bench.contract import plugins as contracts
from sarbench.bench.contract.plugins import check_contracts
from sarbench.bench.contract.skeleton import skeleton
from sarbench.bench.grid.schema import read_grid
from sarbench.bench.method_facts.contract_outcomes import CHECKS, failed_contracts
from sarbench.bench.method_facts.method_info import code_digest, plugin_digest
from sarbench.bench.plan.filters import Filters
from sarbench.bench.plan.plan import make_plan
from sarbench.bench.reporting.leaderboard import scores_of
from sarbench.bench.slurm.commands import Site
from sarbench.bench.slurm.profile import Profile
from sarbench.bench.store.records import Store

DRAWS = "predicted = torch.rand(()) * 0 + "


@pytest.fixture
def plugin(package, tmp_path) -> Path:
    """Install a plug-in that draws from the global random state; return its file."""
    text = skeleton("plugin_draws", in_this_repository=False)
    broken = text.replace("predicted = ", DRAWS)
    assert broken != text
    package("plugin_draws", broken)
    return tmp_path / "plugin_draws.py"


def test_a_plugin_that_breaks_the_contract_is_reported_stored_and_run(
    plugin, tmp_path, monkeypatch
):
    monkeypatch.setattr(method_checks, "checks_for", lambda method: method_checks.ALWAYS)
    store, said = Store(tmp_path / "runs"), []
    check_contracts(store, ["mae", "plugin_draws"], said.append)
    failed = failed_contracts(store, ["mae", "plugin_draws"])
    assert list(failed) == ["plugin_draws"]
    assert any("the global random state has moved" in line for line in failed["plugin_draws"])
    assert len(said) == 1
    assert "plugin_draws fails" in said[0]
    assert "sarbench methods check plugin_draws" in said[0]
    (path,) = (store.root / "contracts").iterdir()
    assert path.name == f"plugin_draws-{plugin_digest('plugin_draws')}-{CHECKS}.json"
    stored = json.loads(path.read_text())
    assert stored["failures"] == failed["plugin_draws"]
    assert {"method", "code", "time"} <= stored.keys()


@pytest.fixture
def counted(monkeypatch) -> list[str]:
    """Replace the checks by one that fails while the plug-in draws; return the checked methods."""
    checked = []

    def run_checks(method):
        checked.append(method.name)
        yield "draws nothing", None
        yield "docstring", "lacks Paper:" if len(checked) == 1 else None

    monkeypatch.setattr(method_checks, "run_checks", run_checks)
    return checked


def test_the_contract_is_checked_once_until_the_source_changes(plugin, tmp_path, counted):
    store = Store(tmp_path / "runs")
    for _ in range(2):
        check_contracts(store, ["plugin_draws"], print)
    failed = failed_contracts(store, ["plugin_draws"])
    assert failed == {"plugin_draws": ["docstring: lacks Paper:"]}
    assert counted == ["plugin_draws"]
    before = plugin_digest("plugin_draws")
    plugin.write_text(plugin.read_text() + "\n# another state, under the same version\n")
    assert plugin_digest("plugin_draws") != before
    assert failed_contracts(store, ["plugin_draws"])  # never checked: the newest outcome counts
    check_contracts(store, ["plugin_draws"], print)
    assert counted == ["plugin_draws"] * 2
    assert failed_contracts(store, ["plugin_draws"]) == {}


def test_bundled_methods_are_not_checked_and_a_damaged_outcome_is_made_again(
    plugin, tmp_path, counted
):
    store = Store(tmp_path / "runs")
    check_contracts(store, ["mae", "raw_pixels"], print)
    assert not (tmp_path / "runs").exists()
    check_contracts(store, ["plugin_draws"], print)
    (path,) = (store.root / "contracts").iterdir()
    path.write_text(path.read_text().replace('"plugin_draws"', "3"))
    check_contracts(store, ["plugin_draws"], print)
    assert counted == ["plugin_draws"] * 2


def test_a_name_that_is_not_an_identifier_does_not_become_a_path(tmp_path):
    assert failed_contracts(Store(tmp_path), ["../x", "a/b", "*"]) == {}


def test_stored_properties_of_methods_change_with_the_source_of_a_plugin(plugin):
    code_digest.cache_clear()
    before = code_digest()
    plugin.write_text(plugin.read_text() + "\n")
    code_digest.cache_clear()
    assert code_digest() != before


class ReachedError(Exception):
    pass


def test_run_and_submit_check_the_contract_before_any_work(tmp_path, monkeypatch):
    from commands import TINY

    (tmp_path / "grid.toml").write_text(TINY)
    asked = Request(tmp_path / "grid.toml", tmp_path / "runs", tmp_path, Filters())

    def reached(store, names, *tell):
        assert set(names) == {"mae", "raw_pixels", "random_init"}
        raise ReachedError

    monkeypatch.setattr("sarbench.bench.cli.grid.check_contracts", reached)
    monkeypatch.setattr(_cluster, "check_contracts", reached)
    monkeypatch.setattr(_cluster, "prepare_missing", lambda request, plan: plan)
    monkeypatch.setattr(_cluster, "check_site", lambda *_: None)
    site = Site(max_array=100, partitions={}, default_partition=None, accounting=False)
    monkeypatch.setattr(_cluster, "read_site", lambda *_: site)
    with pytest.raises(ReachedError):
        run_grid(asked)
    with pytest.raises(ReachedError):
        _cluster.submit_work(asked, Profile(), lambda entry: True)
    assert contracts.failed_contracts(asked.store, ["mae"]) == {}


def test_the_rows_of_a_plugin_that_fails_its_contract_are_marked(plugin, tmp_path, counted):
    from commands import TINY

    (tmp_path / "grid.toml").write_text(TINY.replace('["mae"]', '["mae", "plugin_draws"]'))
    store, grid = Store(tmp_path / "runs"), read_grid(tmp_path / "grid.toml")
    assert {score.name for score in scores_of(make_plan(grid, store, tmp_path))} > {"plugin_draws"}
    assert not any(score.fails_contract for score in scores_of(make_plan(grid, store, tmp_path)))
    check_contracts(store, ["plugin_draws"], lambda text: None)
    marked = {s.name for s in scores_of(make_plan(grid, store, tmp_path)) if s.fails_contract}
    assert marked == {"plugin_draws"}
