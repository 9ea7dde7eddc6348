"""docs/library.md runs as it is, and its public names exist."""

import importlib
import re
from collections.abc import Iterator
from typing import Any

import pytest

from lra.commands import export
from lra.paths import CHECKOUT
from lra.records import store
from lra.training import run as training

PAGE = (CHECKOUT / "docs/library.md").read_text(encoding="utf-8")
NAMES = re.findall(r"`(lra\.[\w.]+)`", PAGE.split("## Public names")[1])


def blocks() -> Iterator[str]:
    yield from re.findall(r"```python\n(.*?)```", PAGE, re.S)


@pytest.mark.slow
def test_blocks(listops, tmp_path, monkeypatch):
    def trained(composed: dict[str, Any], **options: Any) -> Any:
        places = {
            "data_dir": listops,
            "output_dir": tmp_path / "outputs",
            "results_dir": tmp_path / "results",
        }
        record = run(composed | {name: str(path) for name, path in places.items()}, **options)
        where = [f"{name}={path}" for name, path in places.items()]
        record_path = str(store.path(record, tmp_path / "results"))
        export.main([record_path, *where, "--to", str(tmp_path / "model.safetensors")])
        return record

    run = training.run
    monkeypatch.setattr(training, "run", trained)  # the page's own run would write into the checkout
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    for block in blocks():
        exec(compile(block, "docs/library.md", "exec"), names)
    assert len(names["curve"]) > 0
    assert names["trained"].recipe["experiment"] == "lra/listops-s4d"


@pytest.mark.parametrize("name", NAMES)
def test_public_names(name):
    module, _, attribute = name.rpartition(".")
    assert hasattr(importlib.import_module(module), attribute)
