import json
from dataclasses import asdict
from hashlib import sha256

import pytest

from sarbench.protocols import PROTOCOLS

# One entry per version that ever gave a number; old ones stay.
FROZEN = {
    ("few_shot", 1): "ff65f159781bc10342adcf236375b745c3e6d11d5a451c8a7dd9c67791ceace1",
    ("linear", 1): "54b460a266f6c9a3cb7890b080c99571e654933e3428e3efa49bf6be0c419347",
    ("logistic", 1): "dc106a4cffd4d96cb5b92111b315ee0c39f1bd1d760af743d5f7ff90311995fd",
    ("finetune", 1): "ada1b10a5d15112e5e55b016f1cb9ab8d133d803a876adf32b22121f1d2a3c01",
    ("lora", 1): "a369b53f0919262917fa3b0222af577fb9016aada87fafa2a2b00b3f37e3a20b",
    ("knn", 1): "973381c33d28bb90609319223f701ef09688492a32f88b7b471cb69f8bf0408c",
    ("knn", 2): "fb0066c51eaf8d412c66f9048c60626cc4701bc99f6c541f127efc7c29458f9e",
}


def settings_digest(name: str) -> str:
    """Return the SHA-256 of a protocol's name, version and frozen settings, without None."""
    protocol = PROTOCOLS[name]
    settings = {k: v for k, v in asdict(protocol.settings()).items() if v is not None}
    content = {"name": name, "version": protocol.version, "settings": settings}
    return sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


@pytest.mark.parametrize("name", PROTOCOLS)
def test_settings_do_not_change_without_a_new_version(name: str) -> None:
    version, digest = PROTOCOLS[name].version, settings_digest(name)
    assert (name, version) in FROZEN, (
        f"{name} is at version {version}: add its digest {digest!r} to FROZEN, keep the old ones, "
        "and say in CHANGELOG.md, section Numbers, what moved"
    )
    assert digest == FROZEN[name, version], (
        f"the settings of {name} are not those that version {version} was frozen with; raise "
        f"`version` in protocols/_settings.py, then add its new digest here"
    )


def test_every_version_has_settings_of_its_own() -> None:
    assert len(set(FROZEN.values())) == len(FROZEN)
