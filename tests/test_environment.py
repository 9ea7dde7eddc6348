"""Odd homes, users and outputs, each in a process of its own."""

import argparse
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hydra._internal.utils import get_args_parser

from lra.advice import lazy_help
from lra.paths import CHECKOUT

NOBODY = "import pwd\ndef unknown(*_): raise KeyError('getpwuid(): uid not found')\npwd.getpwuid = unknown\n"


def start(code: str, *, output=subprocess.PIPE, **environment: str) -> subprocess.CompletedProcess[str]:
    """Configure the environment in a bare process, then run `code`."""
    code = f"from lra import environment\nenvironment.configure()\nimport os, sys\n{code}"
    environment = {"PYTHONPATH": str(CHECKOUT / "src"), "PATH": os.environ["PATH"]} | environment
    command = [sys.executable, "-c", environment.pop("BEFORE", "") + code]
    return subprocess.run(
        command, env=environment, stdout=output, stderr=subprocess.PIPE, encoding="latin-1", check=False
    )


def test_a_user_without_a_name_or_home():
    result = start(
        "import getpass, pathlib\nprint(getpass.getuser(), os.access(pathlib.Path.home(), os.W_OK))",
        BEFORE=NOBODY,
    )
    assert result.stdout == f"{os.getuid()} True\n", result.stderr


def test_caches_leave_a_home_that_cannot_be_written():
    shown = "print(os.environ['HOME'], *[os.access(os.environ[n], os.W_OK) for n in environment.CACHES])"
    result = start(shown, HOME="/dev/null/home")
    assert result.stdout == "/dev/null/home True True True\n", result.stderr


def test_a_home_that_can_be_written_is_used(tmp_path):
    result = start("print(*[n in os.environ for n in environment.CACHES])", HOME=str(tmp_path))
    assert result.stdout == "False False False\n", result.stderr


def test_functions_are_compiled_where_nothing_can_be_written(tmp_path):
    """As in a read-only checkout with a read-only home."""
    package = tmp_path / "frozen"
    package.mkdir()
    module = package / "frozen.py"
    module.write_text("import numba\n@numba.njit(cache=True)\ndef double(x): return 2 * x\n")
    (package / "__pycache__").write_text("")  # not a folder, for root may write anywhere
    result = start(f"sys.path.append({str(package)!r})\nimport frozen\nprint(frozen.double(21))", HOME="/dev/null/home")
    assert result.stdout == "42\n", result.stderr


def test_signs_that_the_output_lacks_are_replaced():
    result = start("print('Δ é')", HOME="/tmp", PYTHONIOENCODING="latin-1")
    assert result.stdout == "? é\n", result.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux has /dev/full")
def test_a_full_output_ends_nothing():
    with open("/dev/full", "w") as full:
        result = start("for _ in range(99): print('x' * 999, flush=True)\nprint('done', file=sys.stderr)", output=full)
    assert (result.returncode, result.stderr) == (0, "done\n")


def test_a_closed_pipe_ends_nothing():
    read, write = os.pipe()
    os.close(read)
    result = start("for _ in range(99): print('x' * 999)\nprint('done', file=sys.stderr)", output=write)
    os.close(write)
    assert (result.returncode, result.stderr) == (0, "done\n")


def test_hydras_help_passes_the_check_of_python_3_14(monkeypatch):
    """Python 3.14 checks the help of each option; one of Hydra 1.3.8's is no string."""

    def as_in_3_14(parser: argparse.ArgumentParser, action: argparse.Action) -> None:
        if "%q" in action.help:
            raise ValueError("badly formed help string")

    with lazy_help():
        options = get_args_parser()._actions
    lazy = next(option for option in options if not isinstance(option.help, str | None))
    monkeypatch.setattr(argparse._ActionsContainer, "_check_help", as_in_3_14, raising=False)
    parser = argparse.ArgumentParser()
    with pytest.raises(TypeError):
        parser._check_help(lazy)
    with lazy_help():
        parser._check_help(lazy)
        with pytest.raises(ValueError, match="badly formed"):
            parser._check_help(argparse.Action(["-x"], "x", help="%q"))
    with pytest.raises(TypeError):
        parser._check_help(lazy)
