"""Runs in processes of their own, which something happens to."""

import contextlib
import os
import resource
import signal
import sys
from pathlib import Path
from typing import Any

import forked
import torch
from pytorch_lightning.callbacks import Callback

from lra.training import fit
from lra.training.run import run


class Fault(Callback):
    """Does `what` once, after (or, for nan and memory, in) optimizer step `step`."""

    def __init__(self, what: str, step: int) -> None:
        self.what, self.step = what, step

    def on_train_batch_start(self, trainer: Any, module: Any, *_: Any) -> None:
        if trainer.global_step != self.step - 1:
            return
        if self.what == "nan":
            next(module.parameters()).data.fill_(float("nan"))
        elif self.what == "memory":
            torch.empty(1 << 50)

    def on_train_batch_end(self, trainer: Any, *_: Any) -> None:
        if trainer.global_step != self.step:
            return
        if self.what.startswith("SIG"):
            os.kill(os.getpid(), signal.Signals[self.what])
        elif self.what == "disk":
            resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))
        elif self.what == "fill":
            with contextlib.suppress(OSError), open(os.environ["FILLER"], "wb", buffering=0) as file:
                while file.write(bytes(4096)):
                    pass
        elif self.what == "writing":
            os.replace = lambda *_: os.kill(os.getpid(), signal.SIGKILL)

    def on_validation_batch_end(self, trainer: Any, *_: Any) -> None:
        if self.what.startswith("validation") and trainer.global_step >= self.step:
            os.kill(os.getpid(), signal.Signals[self.what.partition("-")[2]])

    def on_test_batch_end(self, *_: Any) -> None:
        if self.what == "test":
            os.kill(os.getpid(), signal.SIGKILL)


def suffer(composed: dict[str, Any], what: str, step: int, log: Path, env: dict[str, str]) -> None:
    """What the forked process does."""
    os.environ |= env
    with open(log, "w") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    torch.set_num_threads(1)
    make = fit.make_trainer
    fit.make_trainer = lambda c, p, d, callbacks, lo: make(c, p, d, [Fault(what, step), *callbacks], lo)
    try:
        run(composed)
    except Exception as error:
        print(f"{type(error).__name__}: {error}", flush=True)
        sys.exit(2)


def struck(composed: dict[str, Any], what: str, step: int, log: Path, **env: str) -> int:
    """Exit code of a run in its own process that a fault strikes: negative if a signal killed it."""
    process = forked.process(suffer, composed, what, step, log, env)
    process.start()
    process.join(120)
    assert process.exitcode is not None, log.read_text()
    return process.exitcode


def killed_after(composed: dict[str, Any], seconds: float | None, log: Path) -> int:
    """Exit code of a run in its own process that is killed after so many seconds, wherever it is then."""
    process = forked.process(suffer, composed, "", 0, log, {})
    process.start()
    process.join(120 if seconds is None else seconds)
    if process.is_alive():
        process.kill()
        process.join()
    return process.exitcode
