"""Installing: what make says and does before anything is downloaded, and what the Dockerfile builds."""

import ast
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.specifiers import SpecifierSet

from lra.paths import CHECKOUT


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(CHECKOUT / name, tmp_path)
    return tmp_path


def make(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run make where no uv is found, and nothing of the make that runs the tests."""
    return subprocess.run(
        ["make", *arguments], cwd=folder, env={"PATH": "/usr/bin:/bin"}, capture_output=True, text=True, check=False
    )


def python(folder: Path, script: str) -> str:
    """A stand-in for Python."""
    path = folder / "python"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return f"PYTHON={path}"


def test_an_unsuitable_python_is_named(folder):
    old = python(folder, 'case "$1" in --version) echo Python 3.9.2;; *) exit 1;; esac')
    result = make(folder, "demo", old)
    assert result.returncode != 0
    assert "Python 3.9.2" in result.stdout
    assert "make demo PYTHON=python3.12" in result.stdout
    assert not (folder / ".venv").exists()


def test_no_broken_environment_is_left(folder):
    bare = python(folder, 'case "$*" in *venv*) mkdir -p .venv/bin; exit 1;; esac')  # as without python3-venv
    result = make(folder, "demo", bare)
    assert result.returncode != 0
    assert "python3-venv" in result.stdout
    assert not (folder / ".venv").exists()


@pytest.mark.parametrize(
    ("arguments", "steps"),
    [
        ([], [r"-c constraints.txt -e '\.\[dev\]'"]),
        (["CONSTRAINTS=", "VENV=.v"], [r"^\.v/bin/python -m pip install -q --\S+ +-e '\.\[dev\]'"]),
        (
            ["INDEX=here"],
            [r"--no-deps -i here torch torchvision torchaudio$", r"-c constraints.txt -e "],
        ),
    ],
)
def test_what_is_installed(folder, arguments, steps):
    lines = [line for line in make(folder, "-n", "test", *arguments).stdout.splitlines() if " install " in line]
    pip = [line for line in lines if "pip install" in line]
    assert len(pip) == len(steps)
    for line, step in zip(pip, steps, strict=True):
        assert re.search(step, line)


def test_the_tested_versions_are_within_the_ranges():
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    pins = dict(re.findall(r"^([\w.-]+)==([^\s;]+)", (CHECKOUT / "constraints.txt").read_text(), re.M))
    for requirement in project["dependencies"]:
        name, _, limits = re.fullmatch(r"([\w.-]+)(\[.*\])?(.*)", requirement).groups()
        assert pins[name] in SpecifierSet(limits), requirement
    for version in ("3.11", "3.12", "3.13", "3.14"):
        assert version in SpecifierSet(project["requires-python"])
        assert version in (CHECKOUT / "Makefile").read_text()


def imports(path: Path) -> set[str]:
    """Top-level names of the modules that a file imports, wherever it does."""
    nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
    modules = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    modules += [node.module for node in nodes if isinstance(node, ast.ImportFrom)]
    return {module.partition(".")[0] for module in modules}


def test_what_is_imported_is_declared():
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    declared = {re.match(r"[\w.-]+", d)[0].replace("-", "_") for d in project["dependencies"]}
    names = {"hydra": "hydra_core", "yaml": "pyyaml", "PIL": "pillow", "triton": "torch"}
    imported = {name for path in (CHECKOUT / "src").rglob("*.py") for name in imports(path)}
    known = {*sys.stdlib_module_names, "lra"}
    assert {names.get(name, name) for name in imported - known} - declared == set()


def test_the_image_is_built_by_the_documented_steps():
    text = (CHECKOUT / "Dockerfile").read_text(encoding="utf-8")
    assert re.search(r"^ARG TORCH_BACKEND=cpu$", text, re.M)
    assert "python3-venv" in text
    targets = re.findall(r"""^(?:RUN|CMD)[ \["]+make\W+(\w+)""", text, re.M)
    assert targets == ["install", "demo"]
    for target in targets:
        assert make(CHECKOUT, "-n", target).returncode == 0
    guide = (CHECKOUT / "docs" / "installing.md").read_text(encoding="utf-8")
    for argument in re.findall(r"--build-arg (\w+)=", guide):
        assert f"ARG {argument}=" in text
