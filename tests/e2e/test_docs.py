"""The guides are followed to the letter, in a copy of the project."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import forked
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


def write(guide: str, folder: Path) -> tuple[int, str]:
    """Write the files of a guide; how many they are, and its commands."""
    text = (CHECKOUT / "docs" / guide).read_text(encoding="utf-8")
    files = re.findall(r"^`([^`\n]+\.(?:py|yaml))`(?:(?!```).)*```\w+\n(.*?)```", text, re.M | re.S)
    for name, content in files:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content, encoding="utf-8")
    return len(files), re.search(r"```bash\n(.*?)```", text, re.S).group(1)


def follow(guide: str, folder: Path, extra: dict[str, list[str]]) -> list[str]:
    """Write the guide's files, run its commands; `extra` arguments go to commands that begin with its keys."""
    count, commands = write(guide, folder)
    said = []
    for command in commands.splitlines():
        words = shlex.split(command)
        words += next((more for start, more in extra.items() if command.startswith(start)), [])
        environment = os.environ | {"PYTHONPATH": str(folder / "src")}
        if "pytest" in words:  # which is to load the libraries itself
            command = [sys.executable, *words[1:]]
            done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
        else:
            done = forked.run(*words[1:], cwd=folder, env=environment)
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
        said.append(done.stdout)
    assert count == 2
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


@pytest.mark.timeout(600)
def test_adding_a_model(copy, listops, tmp_path_factory):
    """From a folder outside the project, by a shell, to one's own row beside the paper's in LaTeX."""
    mine, programs = tmp_path_factory.mktemp("mine"), tmp_path_factory.mktemp("bin")
    for name, start in (("lra", "-m lra"), ("python", "")):
        (programs / name).write_text(f'#!/bin/sh\nexec {sys.executable} {start} "$@"\n')
        (programs / name).chmod(0o755)
    (copy / "configs/local").mkdir()
    (copy / "configs/local/default.yaml").write_text(
        f"# @package _global_\ndata_dir: {listops}\ntrainer: {{accelerator: cpu}}\n"
    )
    count, commands = write("adding-a-model.md", mine)
    assert count == 4
    done = subprocess.run(
        ["bash", "-ec", commands],
        cwd=mine,
        env=os.environ
        | {
            "PATH": f"{programs}:{os.environ['PATH']}",
            "PYTHONPATH": str(copy / "src"),
            "LRA": str(copy),
            "COLUMNS": "200",
        },
        capture_output=True,
        text=True,
        timeout=560,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-2000:]
    assert re.search(r"\d\d passed", done.stdout)
    assert "gru:listops" in done.stdout
    table = done.stdout[done.stdout.index(r"\begin{table") :]
    own, paper = ([x for x in table.splitlines() if name in x] for name in ("GRU (ours)", "S4D-LegS"))
    assert "60.47" in paper[0]
    assert re.search(r"\d\d?\.\d", own[-1])  # in the part of the table for reduced runs
    (record,) = (copy / "results/runs/my/listops-gru").glob("*.json")
    assert "gru.GRU" in record.read_text()


def carry_out(guide: str, folder: Path) -> list[str]:
    """Run every command of a guide's bash blocks; those that need files or a network are in sh blocks."""
    text = (CHECKOUT / "docs" / guide).read_text(encoding="utf-8")
    said = []
    for command in "".join(re.findall(r"```bash\n(.*?)```", text, re.S)).splitlines():
        words = shlex.split(command, comments=True)[1:]
        environment = os.environ | {"PYTHONPATH": str(folder / "src")}
        done = forked.run(*words, cwd=folder, env=environment)
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
        said.append(done.stdout)
    return said


@pytest.mark.slow
def test_data_by_hand(copy, listops):
    (copy / "data").mkdir(exist_ok=True)
    (copy / "data/listops").symlink_to(listops / "listops")  # half a minute of work, done before
    listed, prepared, verified = carry_out("data-by-hand.md", copy)
    assert "retrieval" in listed
    assert "listops" in prepared
    assert "listops" in verified


def test_local_settings(copy):
    text = (CHECKOUT / "docs/faq.md").read_text(encoding="utf-8")
    local = copy / "configs/local/default.yaml"
    local.parent.mkdir(exist_ok=True)
    local.write_text(re.search(r"```yaml\n(.*?)```", text, re.S)[1], encoding="utf-8")
    environment = os.environ | {"PYTHONPATH": str(copy / "src")}
    said = forked.run("train.py", "experiment=lra/listops-s4d", "--cfg", "job", cwd=copy, env=environment)
    assert said.returncode == 0, said.stderr
    assert "data_dir: /scratch/lra/data" in said.stdout
    assert "accelerator: gpu" in said.stdout
