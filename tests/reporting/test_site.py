"""The site of archives: its pages, what it refuses to replace, and its use in a browser."""

import csv
import json
import re
import shutil
from pathlib import Path

import pytest
from archives import with_plan
from commands import call_here

from sarbench.bench.method_facts.description import method_description, split_docstring
from sarbench.bench.plan.archived import read_plan
from sarbench.bench.plan.filters import Filters
from sarbench.bench.python.frames import run_frame
from sarbench.bench.python.rows import rows_of_plan
from sarbench.bench.reporting import html_report, site
from sarbench.bench.reporting.leaderboard import leaderboard, predictions_of
from sarbench.bench.store.archive import unpacked
from sarbench.bench.suggest import RequestError
from sarbench.methods._registry import own_names
from sarbench.results.page.templates import _environment

ROOT = Path(__file__).parents[2]
TRIALS = ROOT / "results" / "archive" / "tuning_trials.zip"
NO_ICON = '<link rel="icon" href="data:,">'  # without it browsers request one
LINK = re.compile(r'(?:href|src)="([^"]*)"')
EVIL = '<img src=x onerror="alert(1)"> & "quoted"'


def draw_nothing(figures, folder: Path, formats, on_step):
    """Write empty pictures instead of figures, each of which takes a second to draw."""
    folder.mkdir(parents=True)
    paths = [folder / f"{one.name}.svg" for one in figures]
    for path in paths:
        path.write_text('<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>')
    return list(zip(figures, paths, strict=True)), []


def runs(plan):
    return run_frame(rows_of_plan(plan).runs)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A site of two boards, without real figures; names of one board hold markup."""
    folder = tmp_path_factory.mktemp("site")
    first, evil = folder / "trials.zip", folder / "evil.zip"
    shutil.copyfile(TRIALS, first)
    with unpacked(first) as store:
        first.with_suffix(".toml").write_text(
            'made_by = "A group"\ncontact = "<b>someone</b>"\nverified_by = "authors"\n'
            '[rows]\n"MAE, base_lr 0.004" = "us"\n'
        )
        assert store.path == first

    def named(plan: dict) -> dict:
        for one in plan["pretrain"]:
            one["planned"]["label"] += EVIL
        for one in plan["methods"].values():
            one["label"], one["paper"] = EVIL, f"javascript:alert(1) {EVIL}"
        return plan

    with_plan(TRIALS, evil, named)
    evil.with_suffix(".toml").write_text('name = "evil"\nmethods = ["mae"]\n')  # its grid
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(html_report, "draw_all", draw_nothing)
        site.write_site([first, evil], folder / "site", runs)
    return folder / "site"


def test_every_method_file_describes_itself():
    for name in own_names():
        found = method_description(name)
        assert {"Hidden", "Predicted", "Paper", "Source", "Differs from the source"} <= found.keys()
        assert all(points and all(points) for points in found.values()), name
    assert method_description("no_such_method") == {}
    text = (
        "A: b.\n\nHidden: half\n  of it.\n\nDiffers from the source:\n- one;\n- two\n  lines.\n\nC"
    )
    assert split_docstring(text) == {
        "Hidden": ["half of it."], "Differs from the source": ["one", "two lines."],
    }  # fmt: skip


def test_only_a_site_or_an_empty_folder_is_replaced(tmp_path: Path):
    folder = tmp_path / "mine"
    site.refuse_other_folder(folder)
    folder.mkdir()
    site.refuse_other_folder(folder)
    (folder / "thesis.tex").write_text("x")
    for content in (None, "{", "[]", '{"another": 1}'):
        if content is not None:
            (folder / "site.json").write_text(content)
        with pytest.raises(RequestError, match="a folder, but not a site of sarbench"):
            site.refuse_other_folder(folder)
    answer = call_here("site", TRIALS, "--out", folder)
    assert (answer.returncode, answer.stdout) == (2, "")
    assert "not a site of sarbench; a site replaces only a site or an empty folder" in answer.stderr
    assert (folder / "thesis.tex").read_text() == "x"
    with pytest.raises(RequestError, match="is a file"):
        site.refuse_other_folder(folder / "thesis.tex")
    answer = call_here("site", TRIALS, TRIALS, "--out", tmp_path / "new")
    assert (answer.returncode, "would have the same page" in answer.stderr) == (2, True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine"]


def test_a_site_is_replaced_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    folder = tmp_path / "site"
    folder.mkdir()
    (folder / "site.json").write_text('{"sarbench site": "0"}')
    (folder / "old.html").write_text("old")

    def broken(names: dict, folder: Path, *others: object) -> None:
        (folder / "index.html").write_text("half")
        raise RequestError("broken")

    monkeypatch.setattr(site, "_write", broken)
    with pytest.raises(RequestError, match="broken"):
        site.write_site([TRIALS], folder, runs)
    assert (folder / "old.html").read_text() == "old"
    write = lambda names, folder, *others: (folder / "index.html").write_text("new")  # noqa: E731
    monkeypatch.setattr(site, "_write", write)
    site.write_site([TRIALS], folder, runs)
    assert [path.name for path in folder.iterdir()] == ["index.html"]
    assert [path.name for path in tmp_path.iterdir()] == ["site"]


@pytest.mark.slow
def test_every_link_is_relative_and_leads_to_a_file_of_the_site(made: Path):
    pages = sorted(made.rglob("*.html"))
    assert {page.relative_to(made).parts[0] for page in pages} == {
        "index.html",
        "boards",
        "methods",
    }
    reached = set()
    for page in pages:
        text = page.read_text("utf-8").replace(NO_ICON, "", 1)
        for link in LINK.findall(text):
            target, _, _ = link.partition("#")
            assert ":" not in target
            assert not target.startswith("/")
            path = (page.parent / target).resolve() if target else page
            assert path.is_file(), f"{page}: {link}"
            reached.add(path)
    unreached = {path for path in made.rglob("*") if path.is_file()} - reached
    assert {path.name for path in unreached} == {"site.json"}


def test_code_in_a_docstring_is_markup_and_the_rest_is_escaped():
    code = _environment().globals["code"]
    assert code("`lomar` & <b>") == "<code>lomar</code> &amp; &lt;b&gt;"


@pytest.mark.slow
def test_no_text_becomes_markup_and_scripts_are_ours_alone(made: Path):
    for page in made.rglob("*.html"):
        text = page.read_text("utf-8")
        assert "<img src=x" not in text
        assert "<b>someone" not in text
        assert "&lt;code&gt;" not in text
        assert text.count("<script") == 1
        assert re.search(r"default-src 'none'; .* script-src 'sha256-[^']{44}';", text)
    assert "&lt;b&gt;someone&lt;/b&gt;" in (made / "index.html").read_text("utf-8")
    assert "&lt;img src=x" in (made / "boards" / "evil.html").read_text("utf-8")


@pytest.mark.slow
def test_each_row_says_who_has_verified_it(made: Path):
    row = r'<th scope="row"><a href="methods/\w+.html">([^<]*)</a></th>\s*'
    cell = r'<td class="word">(\w+)</td>'
    rows = re.findall(row + cell, (made / "index.html").read_text("utf-8"))
    first = dict(rows[:6])
    assert first.pop("MAE, base_lr 0.004") == "us"
    assert set(first.values()) == {"authors"}
    assert {word for _, word in rows[6:]} == {"nobody"}  # without a declaration
    assert {path.name for path in (made / "archives").iterdir()} == {
        "evil.zip", "trials.toml", "trials.zip"
    }  # fmt: skip


def test_no_label_is_a_formula_in_the_csv_files(tmp_path: Path):
    with unpacked(TRIALS) as store:
        frame = runs(read_plan(store, Filters()))
    site._records("plain", frame, tmp_path)
    assert (tmp_path / "records/plain.csv").read_text() == frame.to_csv(index=False)
    labels = ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "MAE - MSE"]
    frame = frame.iloc[: len(labels)].assign(row=labels, accuracy=-0.5)
    site._records("evil", frame, tmp_path)
    with (tmp_path / "records/evil.csv").open(newline="") as file:
        read = list(csv.DictReader(file))
    assert [one["row"] for one in read] == [f"'{label}" for label in labels[:5]] + ["MAE - MSE"]
    assert {one["accuracy"] for one in read} == {"-0.5"}
    written = json.loads((tmp_path / "records/evil.json").read_text())
    assert [one["row"] for one in written] == labels


@pytest.mark.slow
def test_the_records_to_download_are_the_runs_of_the_archive(made: Path):
    lines = json.loads((made / "records" / "trials.json").read_text())
    with (made / "records" / "trials.csv").open(newline="") as file:
        assert [row["key"] for row in csv.DictReader(file)] == [line["key"] for line in lines]
    with unpacked(TRIALS) as store:
        plan = read_plan(store, Filters())
        board = leaderboard(plan, predictions=predictions_of(plan, store))
        assert [line["accuracy"] for line in lines] == [e.record.accuracy for e in plan.runs]
    for cell in board.cells:  # one run each
        (line,) = (one for one in lines if (one["row"], one["protocol"]) == (
            cell.method, cell.protocol))  # fmt: skip
        assert line["accuracy"] == pytest.approx(cell.mean)
    assert (made / "archives" / "trials.zip").read_bytes() == TRIALS.read_bytes()
    page = (made / "methods" / "mae.html").read_text("utf-8")
    assert "a random 75% of the patches of each chip" in page
    for cell in board.cells:
        if cell.name == "mae":
            assert f">{100 * cell.mean:.1f} ± " in page or f"<strong>{100 * cell.mean:.1f}" in page


@pytest.mark.slow
def test_the_command_writes_real_figures(tmp_path: Path):
    answer = call_here("site", TRIALS, "--out", tmp_path / "deep" / "site")
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.endswith("index.html (1 board)\n")
    figures = list((tmp_path / "deep" / "site" / "boards" / "tuning_trials").iterdir())
    assert {"cost.svg"} <= {path.name for path in figures}
    assert all(path.stat().st_size > 1000 for path in figures)
    again = call_here("site", TRIALS, "--out", tmp_path / "deep" / "site")
    assert again.returncode == 0
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["site"]


@pytest.mark.slow
def test_the_site_works_in_a_browser_and_by_keyboard(made: Path, open_tab):
    tab, said, asked = open_tab(1400, 900)
    tab.goto((made / "index.html").as_uri())
    assert "2 of 2 boards, 12 rows shown." in tab.locator("#shown").inner_text()
    tab.keyboard.press("Tab")
    assert tab.evaluate("document.activeElement.className") == "skip"
    assert tab.locator(".skip").bounding_box()["x"] >= 0
    tab.keyboard.press("Enter")
    assert tab.evaluate("document.activeElement.id") == "content"

    def first() -> str:
        return tab.locator("#board-trials tbody tr:visible th").first.inner_text().strip()

    head = tab.locator("#board-trials thead th").nth(3)
    head.locator("button").focus()
    outline = "getComputedStyle(document.activeElement).outlineStyle"
    tab.keyboard.press("Enter")
    assert (head.get_attribute("aria-sort"), tab.evaluate(outline)) == ("descending", "solid")
    tab.keyboard.press("Space")
    assert head.get_attribute("aria-sort") == "ascending"
    assert first() == "MAE, base_lr 0.004"  # 31.6 under `linear`
    tab.get_by_label("filter rows").fill("sar-jepa 0.016")
    assert (first(), tab.locator("#board-trials tbody tr:visible").count()) == (
        "SAR-JEPA, base_lr 0.016", 1)  # fmt: skip
    tab.get_by_label("filter rows").fill("no such row")
    assert "0 of 2 boards, 0 rows shown." in tab.locator("#shown").inner_text()
    tab.get_by_label("filter rows").fill("")
    tab.locator("input[data-axis=protocol][value=knn]").uncheck()
    assert not tab.locator("#board-trials td[data-protocol=knn]").first.is_visible()
    tab.locator("input[data-axis=shots]").uncheck()
    assert not tab.locator("#trials").is_visible()
    tab.locator("input[data-axis=shots]").check()
    region = tab.locator("#trials .scroll")
    assert (region.get_attribute("role"), region.get_attribute("tabindex")) == ("region", "0")
    assert region.get_attribute("aria-label") == "trials: Accuracy"
    tab.locator("#trials h2 a").click()
    assert tab.title() == "trials"
    loaded = "[...document.images].every((one) => { one.loading = 'eager'; return one.decode })"
    assert tab.locator("figure img").count() > 0
    assert tab.evaluate(loaded)
    tab.wait_for_function("[...document.images].every((one) => one.complete)")
    assert tab.evaluate("[...document.images].every((one) => one.naturalWidth === 9)")
    tab.go_back()
    tab.locator("#methods a").first.click()
    assert tab.locator("#scores table").count() > 0
    assert said == []
    assert {url.split(":")[0] for url in asked} <= {"file", "data"}
    tab.close()


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_site_is_readable_on_a_phone_and_without_scripts(made: Path, browser, scheme: str):
    context = browser.new_context(
        viewport={"width": 360, "height": 740}, color_scheme=scheme, java_script_enabled=False
    )
    plain, scripted = context.new_page(), browser.new_page(
        viewport={"width": 360, "height": 740}, color_scheme=scheme)  # fmt: skip
    light = """() => { const sum = (text) => text.match(/\\d+/g).slice(0, 3)
        .reduce((all, one) => all + Number(one), 0);
        const style = getComputedStyle(document.body);
        return sum(style.backgroundColor) - sum(style.color); }"""
    for page in ("index.html", "boards/trials.html", "methods/mae.html"):
        plain.goto((made / page).as_uri())
        assert not plain.locator(".tools").first.is_visible() or page.startswith("methods")
        assert plain.locator("th button").count() == 0
        assert plain.locator("table").first.is_visible()
        scripted.goto((made / page).as_uri())
        assert scripted.evaluate("document.documentElement.scrollWidth <= innerWidth"), page
        assert (scripted.evaluate(light) > 300) == (scheme == "light")
        assert (scripted.evaluate(light) < -300) == (scheme == "dark")
        if page == "index.html":  # a tooltip needs a mouse; a tap shows the same
            cell = scripted.locator("#board-trials td[title]").first
            cell.click()
            hint = scripted.locator("#board-trials-hint")
            assert hint.inner_text().endswith(str(cell.get_attribute("title")))
            box = hint.bounding_box()
            assert box["y"] + box["height"] <= 740
            assert box["x"] + box["width"] <= 360
    context.close()
    scripted.close()
