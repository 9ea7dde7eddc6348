"""docs/library.md runs as it is, and its public names exist."""

import importlib
import re
from typing import Any

import pytest

from lra import paths

PAGE = (paths.CHECKOUT / "docs/library.md").read_text(encoding="utf-8")
NAMES = re.findall(r"`(lra\.[\w.]+)`", PAGE.split("## Public names")[1])


@pytest.mark.slow
def test_blocks(listops, tmp_path, monkeypatch):
    """As written, one after the other; only the workspace is another one."""
    monkeypatch.setattr(paths, "CHECKOUT", None)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").symlink_to(listops)
    names: dict[str, Any] = {}
    for block in re.findall(r"```python\n(.*?)```", PAGE, re.S):
        exec(compile(block, "docs/library.md", "exec"), names)
    assert len(names["curve"]) > 0
    assert names["trained"].recipe["experiment"] == "lra/listops-s4d"
    assert {path.name for path in tmp_path.iterdir()} == {"data", "outputs", "results", "model.safetensors"}


@pytest.mark.parametrize("name", NAMES)
def test_public_names(name):
    module, _, attribute = name.rpartition(".")
    assert hasattr(importlib.import_module(module), attribute)
