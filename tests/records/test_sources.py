"""A record's hashes of the code: own modules, and every class that a configuration names outside the package."""

import importlib
import sys

import pytest

from lra.records import sources as module
from lra.records.sources import changed, sources


@pytest.fixture
def outside(tmp_path, monkeypatch):
    """A package with a kernel and its base class in another module."""
    folder = tmp_path / "their_lab"
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    (folder / "base.py").write_text("class Base:\n    pass\n")
    (folder / "kernel.py").write_text("from their_lab.base import Base\n\n\nclass New(Base):\n    pass\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    importlib.invalidate_caches()
    yield folder
    for name in [name for name in sys.modules if name.startswith("their_lab")]:
        del sys.modules[name]


CONFIG = {
    "kernel": {"_target_": "their_lab.kernel.New"},
    "model": {"_target_": "lra.models.backbone.SSMBackbone"},
}


def test_own_code_and_outside_classes_are_hashed(outside):
    assert set(sources(CONFIG)) == {"lra", "their_lab.kernel.New"}
    assert changed(sources(CONFIG), CONFIG) == []


@pytest.mark.parametrize("file", ["kernel.py", "base.py"])
def test_an_edited_class_or_base_class_is_named(outside, file):
    before = sources(CONFIG)
    (outside / file).write_text((outside / file).read_text() + "    \n")
    assert changed(before, CONFIG) == ["their_lab.kernel.New"]


def test_edited_own_code_is_named(monkeypatch):
    config = {"model": CONFIG["model"]}
    before = sources(config)
    monkeypatch.setattr(module, "MODEL_PARTS", ("ops",))
    assert changed(before, config) == ["lra"]


def test_records_from_before_say_nothing():
    assert changed({}, CONFIG) == []
