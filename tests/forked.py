"""Processes that are forked from one with the large libraries loaded; and Python commands in them.

To load those takes most of the time of a short command. What depends on how a process starts, such as its environment
before PyTorch is loaded, is tested with fresh processes.
"""

import multiprocessing
import os
import runpy
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from multiprocessing import forkserver
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any
from unittest import mock

CHECKOUT = Path(__file__).resolve().parents[1]
OURS = ("lra", "toy", "faulty")
CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["libraries"])


def process(target: Callable[..., None], *arguments: Any) -> BaseProcess:
    """A process, not yet started."""
    with mock.patch.dict(os.environ, PYTHONPATH=os.pathsep.join(sys.path)):
        forkserver.ensure_running()  # which finds what it is to load through the environment alone
    return CONTEXT.Process(target=target, args=arguments)


def run(
    *arguments: str, cwd: Path = CHECKOUT, env: Mapping[str, str] | None = None, timeout: float = 240
) -> subprocess.CompletedProcess[str]:
    """`python` with these arguments (a script, -m or -c first), as subprocess.run with its output captured."""
    with tempfile.TemporaryDirectory() as folder:
        said = [Path(folder) / name for name in ("stdout", "stderr")]
        environment = dict(os.environ if env is None else env)
        command = process(_carry_out, arguments, cwd, environment, said)
        command.start()
        command.join(timeout)
        if command.exitcode is None:
            command.kill()
            raise subprocess.TimeoutExpired(arguments, timeout)
        out, err = (path.read_text(encoding="utf-8") for path in said)
        return subprocess.CompletedProcess(arguments, command.exitcode, out, err)


def _carry_out(arguments: tuple[str, ...], cwd: Path, environment: dict[str, str], said: list[Path]) -> None:
    for number, path in ((0, os.devnull), (1, said[0]), (2, said[1])):
        os.dup2(os.open(path, os.O_RDWR | os.O_CREAT), number)
    for name in [name for name in sys.modules if name.partition(".")[0] in OURS]:
        del sys.modules[name]  # a command imports them from the copy of the code that it runs
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(cwd)
    first, *rest = arguments
    where = cwd if first in ("-c", "-m") else (cwd / first).parent
    sys.path[:0] = [str(where), *filter(None, environment.get("PYTHONPATH", "").split(os.pathsep))]
    sys.orig_argv = [sys.executable, *arguments]
    if first == "-m":
        sys.argv = rest
        runpy.run_module(rest[0], run_name="__main__", alter_sys=True)
    elif first == "-c":
        sys.argv = ["-c", *rest[1:]]
        exec(rest[0], {"__name__": "__main__"})
    else:
        sys.argv = list(arguments)
        runpy.run_path(str(cwd / first), run_name="__main__")
