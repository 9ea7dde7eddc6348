"""The guides are followed to the letter, in a copy of the project."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from lra.paths import CHECKOUT

COPIED = (
    "configs",
    "experiments",
    "results",
    "scripts",
    "src",
    "tests",
    "train.py",
    "pyproject.toml",
    "README.md",
)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    for name in COPIED:
        source = CHECKOUT / name
        if source.is_dir():
            shutil.copytree(source, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__", "runs"))
        else:
            shutil.copy(source, tmp_path / name)
    return tmp_path


def follow(guide: str, folder: Path, extra: dict[str, list[str]]) -> list[str]:
    """Write the guide's files, run its commands; `extra` arguments go to commands that begin with its keys."""
    text = (CHECKOUT / "docs" / guide).read_text(encoding="utf-8")
    files = re.findall(r"^`([^`\n]+\.(?:py|yaml))`(?:(?!```).)*```\w+\n(.*?)```", text, re.M | re.S)
    for name, content in files:
        (folder / name).write_text(content, encoding="utf-8")
    said = []
    for command in re.search(r"```bash\n(.*?)```", text, re.S).group(1).splitlines():
        words = shlex.split(command)
        words += next((more for start, more in extra.items() if command.startswith(start)), [])
        done = subprocess.run(
            [sys.executable, *words[1:]],
            cwd=folder,
            env=os.environ | {"PYTHONPATH": str(folder / "src")},
            capture_output=True,
            text=True,
            timeout=200,
            check=False,
        )
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
        said.append(done.stdout)
    assert len(files) == 2
    return said


def test_adding_a_kernel(copy, listops):
    tested, trained = follow(
        "adding-a-kernel.md", copy, {"python train.py": [f"data_dir={listops}", "trainer.accelerator=cpu"]}
    )
    assert re.search(r"\d\d passed", tested)
    assert "custom/listops" in trained


def test_adding_a_dataset(copy):
    (trained,) = follow("adding-a-dataset.md", copy, {"python train.py": ["trainer.accelerator=cpu"]})
    assert "parity, standin" in trained


def test_adding_a_table(copy):
    table, status = follow("adding-a-table.md", copy, {})
    assert "87.90" in table or "87.9" in table
    assert (copy / "results/tables/example.tex").exists()
    assert "inv:image" in status
