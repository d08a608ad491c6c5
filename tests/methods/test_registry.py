"""Methods are found by name, and an error in one does not affect others."""

import subprocess
import sys
from pathlib import Path

import pytest

from sarbench import methods
from sarbench.bench.contract.checks import checks_for
from sarbench.bench.contract.skeleton import check_name, skeleton, write_skeleton
from sarbench.bench.suggest import RequestError
from sarbench.methods import BrokenMethodError, UnknownMethodError, get, names

FOLDER = Path(methods.__file__).parent
SEVEN = ("fg_mae", "i_jepa", "lomar", "mae", "pgga", "sar_hog", "sar_jepa")
REST = ("chip_size", "lomar_sar", "low_pass", "random_init", "raw_pixels", "sar_jepa_gauss")
GOOD = """
from dataclasses import dataclass
from sarbench.methods import Method, register

@dataclass(frozen=True)
class Config:
    pass

@register(label="Good", paper="none", version=3, unconfirmed=True)
class Good(Method):
    pass
"""


def test_names_are_the_files_that_are_not_private():
    assert set(SEVEN + REST) <= set(names())
    assert not [name for name in names() if name.startswith("_")]
    assert names() == sorted(names())


def test_get_returns_the_class_of_the_file():
    for name in SEVEN + REST:
        method = get(name)
        assert method.name == name
        assert method.__module__ == f"sarbench.methods.{name}"
        assert method.control == (name in ("chip_size", "random_init", "raw_pixels"))


def test_methods_with_an_open_definition_are_marked():
    marked = {name for name in SEVEN + REST if get(name).unconfirmed}
    assert marked == {"low_pass", "pgga", "sar_hog", "sar_jepa_gauss"}


def test_labels_differ():
    labels = [get(name).label for name in SEVEN + REST]
    assert len(set(labels)) == len(labels)


@pytest.mark.parametrize("task", ["names()", "SIZES", "EncoderConfig"])
def test_listing_names_does_not_import_torch(task):
    code = f"import sys, sarbench.methods as m; m.{task}; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_getting_one_method_imports_its_file_only(monkeypatch):
    imported = []
    monkeypatch.setattr("sarbench.methods._registry.import_module", imported.append)
    get("lomar")
    assert imported == ["sarbench.methods.lomar"]


def test_the_message_for_an_unknown_name_has_the_nearest_and_the_list():
    with pytest.raises(UnknownMethodError, match=r"'fgmae'.*mean 'fg_mae'.*chip_size, .*sar_jepa"):
        get("fgmae")
    with pytest.raises(LookupError, match=r"'_vit'"):
        get("_vit")


def test_a_package_installed_while_the_process_runs_is_found(package):
    assert "plugin_late" not in names()
    package("plugin_late", "")
    assert "plugin_late" in names()


def test_a_method_of_another_package_is_found(package):
    package("plugin_good", GOOD)
    assert "plugin_good" in names()
    method = get("plugin_good")
    assert (method.label, method.version, method.unconfirmed) == ("Good", 3, True)
    assert method.name == "plugin_good"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1 / 0", r"importing plugin_bad failed with ZeroDivisionError"),
        ("import no_such_thing", r"ModuleNotFoundError: No module named 'no_such_thing'"),
        ("", r"plugin_bad registers no method; put @register"),
        (GOOD.replace("(Method)", "(dict)"), r"Good is not a subclass of Method"),
        (GOOD.replace("frozen=True", "frozen=False"), r"no frozen dataclass Config"),
        (
            GOOD + "@register(label='Two', paper='none')\nclass Two(Method):\n    pass\n",
            r"registers both Good and Two; put each",
        ),
    ],
)
def test_a_broken_method_breaks_only_itself(package, text, message):
    package("plugin_bad", text)
    assert "plugin_bad" in names()
    assert get("mae").name == "mae"
    with pytest.raises(BrokenMethodError, match=message):
        get("plugin_bad")


def test_a_name_claimed_twice_is_an_error_for_that_name_only(package):
    package("plugin_thief", GOOD, "mae = plugin_thief")
    assert names().count("mae") == 1
    assert get("lomar").name == "lomar"
    with pytest.raises(BrokenMethodError, match=r"'mae': sarbench.methods.mae and plugin_thief"):
        get("mae")


def test_an_entry_point_has_the_name_of_its_file(package):
    package("plugin_file", GOOD, "plugin_other = plugin_file")
    with pytest.raises(BrokenMethodError, match=r"'plugin_other' points to plugin_file"):
        get("plugin_other")


def test_a_new_method_runs_and_passes_every_check(package):
    package("plugin_new", skeleton("plugin_new", in_this_repository=False))
    method = get("plugin_new")
    for check in checks_for(method):
        check(method)


def test_the_skeleton_for_this_repository_differs_in_its_imports_only():
    here, there = (skeleton("my_own", inside) for inside in (True, False))
    assert "class MyOwn(MaskedPrediction):" in here
    assert 'label="My own"' in here
    assert "from ._masked import" in here
    assert "from sarbench.methods import" in there
    assert here.split("@dataclass")[1] == there.split("@dataclass")[1]
    assert all(len(line) <= 100 for line in (here + there).splitlines())


@pytest.mark.parametrize(
    "name", ["", "MAE2", "my-method", "_hidden", "2nd", "class", "über", "a/b"]
)
def test_a_name_that_cannot_be_a_file_name_is_refused(name):
    with pytest.raises(RequestError, match="cannot name a method"):
        check_name(name)


def test_a_taken_name_is_refused():
    with pytest.raises(RequestError, match="'mae' exists already"):
        check_name("mae")


def test_a_skeleton_overwrites_no_file(tmp_path):
    path = write_skeleton("my_own", tmp_path)
    assert path.read_text() == skeleton("my_own", in_this_repository=False)
    path.write_text("mine")
    with pytest.raises(RequestError, match="exists and is not overwritten"):
        write_skeleton("my_own", tmp_path)
    assert path.read_text() == "mine"
    with pytest.raises(RequestError, match="does not exist; create it"):
        write_skeleton("my_own", tmp_path / "nowhere")


def test_method_files_stay_short():
    for path in FOLDER.glob("*.py"):
        limit = 300 if path.stem.startswith("_") else 250
        assert len(path.read_text().splitlines()) <= limit, path.name


@pytest.mark.parametrize(
    ("parent", "body", "says"),
    [
        ("Method", "def loss(self, images, rng):\n        return 0", "it must take .batch, rng."),
        ("Method", "def predict(self, images, rng):\n        return 0", "from MaskedPrediction"),
    ],
)
def test_a_plug_in_of_the_old_contract_gets_a_message_that_names_the_change(
    package, parent, body, says
):  # fmt: skip
    package(
        "plugin_old",
        f"from dataclasses import dataclass\nfrom sarbench.methods import {parent}, register\n"
        "@dataclass(frozen=True)\nclass Config:\n    pass\n"
        f"@register(label='Old', paper='none')\nclass Old({parent}):\n    {body}\n",
    )
    with pytest.raises(BrokenMethodError, match=says):
        get("plugin_old")
