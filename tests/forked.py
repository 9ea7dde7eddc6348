"""Commands in processes of their own that are forked from one with the large libraries loaded.

To load them takes most of the time of a short command. What depends on how a process starts, on its environment
before PyTorch is loaded or on another copy of the code, is tested with fresh processes.
"""

import multiprocessing
import os
import runpy
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from multiprocessing import forkserver
from pathlib import Path
from unittest import mock

from lra.paths import CHECKOUT

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["libraries"])


def run(
    *arguments: str, env: Mapping[str, str] | None = None, timeout: float = 240
) -> subprocess.CompletedProcess[str]:
    """`python` with a script of the checkout and its arguments, as subprocess.run with captured output."""
    with tempfile.TemporaryDirectory() as folder:
        said = [Path(folder) / name for name in ("stdout", "stderr")]
        environment = dict(os.environ if env is None else env)
        with mock.patch.dict(os.environ, PYTHONPATH=os.pathsep.join(sys.path)):
            forkserver.ensure_running()  # which finds what it is to load through the environment alone
        process = CONTEXT.Process(target=_carry_out, args=(arguments, environment, said))
        process.start()
        process.join(timeout)
        if process.exitcode is None:
            process.kill()
            raise subprocess.TimeoutExpired(arguments, timeout)
        out, err = (path.read_text(encoding="utf-8") for path in said)
        return subprocess.CompletedProcess(arguments, process.exitcode, out, err)


def _carry_out(arguments: tuple[str, ...], environment: dict[str, str], said: list[Path]) -> None:
    for number, path in ((0, os.devnull), (1, said[0]), (2, said[1])):
        os.dup2(os.open(path, os.O_RDWR | os.O_CREAT), number)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(CHECKOUT)
    script = CHECKOUT / arguments[0]
    sys.path[:0] = [str(script.parent), *environment.get("PYTHONPATH", "").split(os.pathsep)]
    sys.argv, sys.orig_argv = list(arguments), [sys.executable, *arguments]
    runpy.run_path(str(script), run_name="__main__")
