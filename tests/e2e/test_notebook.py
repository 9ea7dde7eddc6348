"""The notebook runs from top to bottom."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from lra.paths import CHECKOUT

pytest.importorskip("nbclient", reason="runs notebooks; pip install -e '.[dev]' brings it")

NOTEBOOK = CHECKOUT / "docs" / "examples" / "quickstart.ipynb"


@pytest.mark.slow
def test_quickstart(tmp_path: Path) -> None:
    """With a smaller budget and stand-in data; a process of its own, for Jupyter has warnings of its own."""
    content = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    (options,) = [cell for cell in content["cells"] if "budget=demo" in "".join(cell["source"])]
    small = "budget=smoke task.source=standin trainer.accelerator=cpu"
    options["source"] = "".join(options["source"]).replace("budget=demo", small)
    copy = tmp_path / "quickstart.ipynb"
    copy.write_text(json.dumps(content), encoding="utf-8")
    environment = os.environ | {"PYTHONPATH": str(CHECKOUT / "src"), "OMP_NUM_THREADS": "1"}
    environment["JUPYTER_PLATFORM_DIRS"] = "1"
    command = [
        sys.executable,
        "-c",
        "from nbclient.cli import main; main()",
        "--inplace",
        "--timeout=250",
        copy,
    ]
    done = subprocess.run(
        list(map(str, command)), cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    cells = json.loads(copy.read_text(encoding="utf-8"))["cells"]
    outputs = [output for cell in cells for output in cell.get("outputs", [])]
    shown = [kind for output in outputs for kind in output.get("data", {})]
    assert {"image/svg+xml", "image/png", "text/markdown"} <= set(shown)
    assert "S4D-LegS" in json.dumps(outputs)
