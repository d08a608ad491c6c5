"""A whole submission has no finding; each thing that is wrong is a finding with an advice."""

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from archives import edited, with_plan
from chips import write_pool
from commands import Answer, call_here
from stores import fill, link_synthetic, pooled_grid, share

from sarbench.bench.data.prepare import prepare
from sarbench.bench.grid.encoder_entries import GivenRow
from sarbench.bench.plan.archived import read_plan
from sarbench.bench.plan.filters import Filters
from sarbench.bench.store.archive import unpacked
from sarbench.bench.verification import submission, verify_data
from sarbench.bench.verification.declaration import (
    DeclarationError,
    has_declaration,
    manifest_digest,
    read_declaration,
)

ROOT = Path(__file__).parents[2]
GRID = pooled_grid("joined", ["mae", "lomar"])
FILLED = {
    'made_by = ""': 'made_by = "A group"',
    'contact = ""': 'contact = "someone@example.org"',
    'hardware = ""': 'hardware = "8 cores, 64 GB"',
}


def declare(archive: Path, changes: dict[str, str] = FILLED) -> Path:
    """Write the declaration of an archive as its template with changes."""
    text = call_here("submit-check", archive, "--template").stdout
    for old, new in changes.items():
        assert old in text
        text = text.replace(old, new)
    path = archive.with_suffix(".toml")
    path.write_text(text)
    return path


def check(archive: Path, *options: object) -> Answer:
    return call_here("submit-check", archive, *options)


def found(archive: Path) -> list[tuple[str, str]]:
    """Return the findings of an archive as kinds and texts, from its JSON."""
    answer = check(archive, "--json")
    findings = json.loads(answer.stdout)["findings"]
    assert answer.returncode == bool(findings)
    return [(one["kind"], one["text"]) for one in findings]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("joined")
    write_pool(folder / "runs" / "data")
    (folder / "grid.toml").write_text(GRID)

    def right(run, labels: np.ndarray) -> np.ndarray:
        return share(0.5 + 0.01 * run.pretraining.seed, run.seed, len(labels))

    fill(folder / "grid.toml", folder / "runs", right)
    write(folder, folder / "whole.zip")
    return folder


def write(home: Path, path: Path, *options: object) -> Path:
    where = "--runs", home / "runs", "--data", home / "runs" / "data"
    done = call_here("archive", home / "grid.toml", *where, "--out", path, *options)
    assert done.returncode == 0, done.stderr
    return path


@pytest.fixture
def whole(home: Path, tmp_path: Path) -> Path:
    """A copy of the whole archive, with its declaration."""
    path = tmp_path / "whole.zip"
    path.write_bytes((home / "whole.zip").read_bytes())
    declare(path)
    return path


@pytest.mark.slow
def test_a_whole_submission_has_no_finding(whole: Path):
    answer = check(whole)
    assert (answer.returncode, answer.stderr) == (0, "")
    lines = answer.stdout.splitlines()
    assert lines[0] == "checked 13 pretrainings, 52 runs: all hold"
    assert all(line.startswith("not checked: ") for line in lines[1:])
    assert json.loads(check(whole, "--json").stdout)["findings"] == []


def test_a_grid_next_to_an_archive_is_not_its_declaration(tmp_path: Path):
    archive, path = tmp_path / "own.zip", tmp_path / "own.toml"
    assert not has_declaration(archive)
    for text, declares in (('name = "g"\nmethods = ["mae"]', False), ('made_by = "x"', True)):
        path.write_text(text)
        assert has_declaration(archive) is declares
    path.write_text('methods = ["mae"]')
    with pytest.raises(
        DeclarationError, match=r"submit-check own_board.zip --template --out own_b"
    ):
        read_declaration(archive)


@pytest.mark.slow
def test_a_declaration_that_is_missing_empty_or_of_another_archive_is_a_finding(
    whole: Path, home: Path, tmp_path: Path
):
    path = declare(whole, {})
    texts = [text for kind, text in found(whole) if kind == "declaration"]
    assert [text.split()[0] for text in texts] == ["`made_by`", "`contact`", "`hardware`"]
    path.unlink()
    ((kind, text),) = found(whole)
    assert (kind, "--template --out whole.toml` writes it" in text) == ("declaration", True)
    path.write_text('contakt = "x"\nverified_by = "me"\n')
    texts = [text for _, text in found(whole)]
    assert "unknown key 'contakt'. Did you mean 'contact'?" in texts[1]
    assert "unknown value 'me'. Allowed: authors, nobody, us" in texts[0]
    path.write_text('name = "whole"\n[evaluate]\n')
    assert found(whole)[0][1].startswith("it is a grid, not a declaration; rename the archive")
    refused = check(whole, "--template", "--out", path)
    assert (refused.returncode, path.read_text()) == (2, 'name = "whole"\n[evaluate]\n')
    assert "exists (a grid) and is not overwritten; remove it, or give" in refused.stderr
    assert check(whole, "--template", "--out", tmp_path / "new" / "x.toml").returncode == 0
    written = (tmp_path / "new" / "x.toml").read_text()
    assert written == check(whole, "--template").stdout
    assert check(whole, "--out", tmp_path / "y.toml").returncode == 2
    path.write_text("= 1")
    assert "is not a TOML file" in found(whole)[0][1]
    declare(whole, FILLED | {"[rows]": '[rows]\n"MEA" = "us"', "own_rows = []": 'own_rows = ["X"]'})
    rows, own = (text for _, text in found(whole))
    assert "`rows`: unknown row 'MEA'. Did you mean 'MAE'?" in rows
    assert "`own_rows`: unknown row 'X'. Allowed: " in own
    other = write(home, tmp_path / "other.zip", "-m", "mae")
    other.with_suffix(".toml").write_text(declare(whole).read_text())
    assert any(f'archive = "{manifest_digest(other)}"' in text for _, text in found(other))


@pytest.mark.slow
def test_seeds_rows_and_columns_of_the_grid_must_be_there(home: Path, tmp_path: Path):
    path = write(home, tmp_path / "seeds.zip", "-s", 0, "-s", 1)
    declare(path)
    ((kind, text),) = found(path)
    assert kind == "runs"
    assert text.startswith(
        "its grid declares 13 runs that are not finished (13 absent): "
    )  # seed 2 of `linear`
    assert "MAE, synthetic, linear, 5 shots, seed 2; " in text
    path = write(home, tmp_path / "rows.zip", "-m", "mae", "-m", "random_init", "-p", "knn")
    declare(path)
    ((kind, text),) = found(path)
    assert (
        "no finished run of the rows LoMaR; Raw pixels and the columns synthetic/linear/5" in text
    )
    declare(path, FILLED | {'left_out = ""': 'left_out = "LoMaR did not fit"'})
    assert found(path) == []


@pytest.mark.slow
def test_a_plan_with_fewer_seeds_than_its_grid_is_found(whole: Path, tmp_path: Path):
    def without_a_seed(plan: dict) -> dict:
        gone = [k for k, one in enumerate(plan["pretrain"])
                if (one["planned"]["method"], one["planned"]["seed"]) == ("mae", 2)]  # fmt: skip
        return plan | {"runs": [one for one in plan["runs"] if one["start"] not in gone]}

    forged = with_plan(whole, tmp_path / "forged.zip", without_a_seed, hidden=True)
    declare(forged)
    ((kind, text),) = found(forged)
    assert (kind, "declares 4 runs that are not finished (4 absent)" in text) == ("runs", True)
    assert "MAE, seed 2, synthetic, linear, 5 shots, seed 0" in text


@pytest.mark.slow
def test_runs_that_are_not_finished_and_false_scores_are_findings(whole: Path, tmp_path: Path):
    def failed(plan: dict) -> dict:
        plan["runs"][0] |= {"state": "failed", "cause": "error"}
        return plan

    forged = with_plan(whole, tmp_path / "failed.zip", failed, hidden=True)
    declare(forged)
    assert any("1 runs that are not finished (1 failed): " in text for _, text in found(forged))

    def better(name: str, content: bytes) -> bytes | None:
        if name != "evaluate.jsonl":
            return None
        first, *rest = content.decode().splitlines()
        record = json.loads(first) | {"accuracy": 0.999}
        return "\n".join([json.dumps(record), *rest, ""]).encode()

    forged = edited(whole, tmp_path / "better.zip", better, listed=True)
    declare(forged)
    ((kind, text),) = found(forged)
    assert (kind, "accuracy is 0.999000 in the record" in text) == ("scores", True)
    whole.write_bytes(whole.read_bytes()[:-100])
    answer = check(whole)
    assert (answer.returncode, answer.stdout) == (2, "")
    assert "is cut off or not a zip file" in answer.stderr


@pytest.mark.slow
def test_test_chips_in_a_pool_and_pools_that_were_not_compared_are_findings(
    whole: Path, tmp_path: Path
):
    def shared(plan: dict) -> dict:
        for _, datasets in plan["sharing"]:
            datasets["synthetic"]["test"] = 7
        return plan

    forged = with_plan(whole, tmp_path / "shared.zip", shared)
    declare(forged)
    ((kind, text),) = found(forged)
    assert kind == "pool"
    assert "the pool folder:pool holds 7 test chips of synthetic; a board takes no row" in text
    forged = with_plan(whole, tmp_path / "unknown.zip", lambda plan: plan | {"sharing": []})
    declare(forged)
    ((kind, text),) = found(forged)
    assert "its overlap with synthetic is not in the archive" in text


@pytest.mark.slow
def test_a_plug_in_needs_its_contract(whole: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(submission, "plugins", lambda names: [n for n in names if n == "mae"])
    with unpacked(whole) as store:
        plan = read_plan(store, Filters())

        def kinds(contract) -> list[str]:
            made = submission.check_submission(store, plan, contract, lambda done, total: None)
            return [one.text for one in made.checked.findings if one.kind == "contract"]

        assert kinds(lambda name: []) == []
        assert kinds(lambda name: [f"{name} draws"]) == ["mae draws; repair it, and make the "
                                                         "archive again"]  # fmt: skip
        assert "its package is not installed here" in kinds(lambda name: None)[0]
        plan.failing.add("lomar")
        assert "failed its contract when the archive was made" in kinds(lambda name: [])[0]


def test_a_label_that_names_another_method_is_a_finding():
    def start(label: str, method: str):
        return SimpleNamespace(planned=SimpleNamespace(label=label, method=method))

    methods = {"mae": SimpleNamespace(label="MAE"), "simclr": SimpleNamespace(label="SimCLR")}
    starts = [start("MAE", "mae"), start("MAE, tuned", "mae"), start("SimCLR", "mae")]
    ((line),) = [one.line() for one in submission._labels(
        SimpleNamespace(methods=methods, pretrain=starts))]  # fmt: skip
    assert line.startswith("label: SimCLR: it is a row of the method mae, but the name of the ")


def test_given_weights_declare_what_they_have_seen():
    def start(**given):
        one = GivenRow("a.pth", "", **given)
        return SimpleNamespace(planned=SimpleNamespace(row=str(given), given=one))

    plan = SimpleNamespace(pretrain=[
        start(seen=("mstar_rest",), labels=False), start(seen=(), labels=True),
        start(seen=("others",), labels=None), start(seen_declared=True, labels=False),
    ])  # fmt: skip
    texts = [one.text for one in submission._given(plan)]
    assert ["is not declared; write seen" in text for text in texts] == [True, False]
    assert ["with labels; write labels = true or false" in text for text in texts] == [False, True]


@pytest.mark.slow
def test_the_files_of_the_data_give_the_digests_of_the_archive(
    whole: Path, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def quick(name: str, data: Path, prepared: Path, **more):
        link_synthetic(SimpleNamespace(prepared=prepared))  # simulating takes seconds
        return prepare(name, data, prepared, **more)

    monkeypatch.setattr(verify_data, "prepare", quick)
    answer = check(whole, "--data", home / "runs" / "data")
    assert answer.returncode == 0, answer.stdout
    assert "pixels" not in answer.stdout
    write_pool(tmp_path / "data", 5)
    answer = check(whole, "--data", tmp_path / "data")
    assert answer.returncode == 1
    assert answer.stdout.startswith("data: pool:folder:pool: the archive has pixels ")
    answer = check(whole, "--data", tmp_path / "empty")
    assert "not checked: pixels and groups of pool:folder:pool: not in " in answer.stdout


def shared_archives() -> list[Path]:
    return sorted((ROOT / "results" / "archive").glob("*.zip"))


@pytest.mark.slow
@pytest.mark.parametrize("archive", shared_archives(), ids=lambda path: path.stem)
def test_every_archive_of_this_repository_is_a_whole_submission(archive: Path):
    answer = check(archive)
    assert answer.returncode == 0, answer.stdout


def test_the_request_template_names_what_exists():
    text = (ROOT / ".github" / "PULL_REQUEST_TEMPLATE.md").read_text("utf-8")
    for part in ("docs/joining.md", "sarbench submit-check", "own_rows", "make check"):
        assert part in text
    assert (ROOT / "docs" / "joining.md").is_file()
