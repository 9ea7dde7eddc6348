"""Which process this is, its settings, signals that stop it, and leaving no trace of others behind."""

from __future__ import annotations

import logging
import math
import os
import re
import signal
import subprocess
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import torch
from lightning_utilities.core.rank_zero import rank_zero_only

from lra import cpu
from lra.config import Trainer
from lra.errors import Interrupted, UserError

RANK_VARIABLES = ("RANK", "LOCAL_RANK", "SLURM_PROCID", "JSM_NAMESPACE_RANK")
LOCAL_VARIABLES = ("LOCAL_RANK", "SLURM_LOCALID")
LAUNCH_VARIABLES = ("LOCAL_RANK", "NODE_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT", "PL_GLOBAL_SEED")


def is_main() -> bool:
    """Whether this process writes records and speaks; of those that train together, one does."""
    rank = getattr(rank_zero_only, "rank", None)
    if rank is None:  # Lightning is not imported yet; it would find the same
        rank = next((_number(v) for v in RANK_VARIABLES if v in os.environ), 0)
        rank_zero_only.rank = rank  # type: ignore[attr-defined]  # Lightning's own note on a function
    return rank == 0


def training_device(trainer: Trainer) -> torch.device:
    """The device that this process trains on: a CUDA device or the CPU (Apple's MPS has no float64)."""
    if trainer.accelerator == "cpu" or not torch.cuda.is_available():
        return torch.device("cpu")
    local = next((_number(v) for v in LOCAL_VARIABLES if v in os.environ), 0)
    return torch.device("cuda", local if trainer.devices > 1 else 0)  # one device each: it is the first


def prepare_process(trainer: Trainer) -> None:
    """The precision of products, a tuned CPU, and quiet libraries: what Lightning says is on our card."""
    set_precision(trainer)
    cpu.tune()
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", ".*`srun` command is available.*")  # a run on a cluster's login node is one
    warnings.filterwarnings("ignore", ".*isinstance.treespec, LeafSpec.* is deprecated.*")


def set_precision(trainer: Trainer) -> None:
    """Let float32 products on a GPU be TF32, or not."""
    torch.set_float32_matmul_precision("high" if _tf32(trainer) else "highest")


def precision(trainer: Trainer) -> str:
    """The precision of a run in the words of its record."""
    return f"{trainer.precision}, TF32 products" if _tf32(trainer) else trainer.precision


def _tf32(trainer: Trainer) -> bool:
    return trainer.tf32 and training_device(trainer).type == "cuda"


def _number(name: str) -> int:
    """A variable of a launcher. Raises UserError if it is no number."""
    text = os.environ.get(name, "")
    try:
        return int(text)
    except ValueError:
        raise UserError(f"{name}={text!r} in the environment is no number. Launchers set it; unset it.") from None


def check_launch(trainer: Trainer) -> None:
    """Raise UserError if there are too few GPUs, or if the environment speaks of other processes than the trainer."""
    gpus = torch.cuda.device_count()
    if trainer.accelerator == "gpu" and gpus < trainer.devices:
        raise UserError(
            f"trainer.accelerator=gpu with trainer.devices={trainer.devices}, but PyTorch sees {gpus} GPUs here. "
            "Use no more devices than that, or trainer.accelerator=auto."
        )
    for name in (v for v in RANK_VARIABLES if v in os.environ):
        if not 0 <= _number(name) < trainer.processes:
            raise UserError(
                f"{name}={os.environ[name]} in the environment says which of several processes this is, but "
                f"trainer.devices={trainer.devices} and trainer.num_nodes={trainer.num_nodes} make "
                f"{trainer.processes}. Let the two agree, or unset it if it is left over from another command."
            )
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        return
    if (started := _number("WORLD_SIZE")) != trainer.processes:
        raise UserError(
            f"torchrun started {started} processes, but trainer.devices={trainer.devices} and "
            f"trainer.num_nodes={trainer.num_nodes} make {trainer.processes}. Let the two agree."
        )


@contextmanager
def process_group() -> Iterator[None]:
    """Undo what a run with several processes leaves behind, or the next run of a sweep would wait for them."""
    before = {name: os.environ.get(name) for name in LAUNCH_VARIABLES}
    try:
        yield
    finally:
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


class StopSignal:
    """Catches SIGTERM and SIGINT, and SLURM's warnings SIGUSR1 and SIGUSR2; knows when the time is up.

    While `deferred` a signal is only remembered in `signum`, for the training loop to save and stop; a second
    SIGINT, and any signal at other times, raises Interrupted at once. The `limit` is in seconds from now on.
    """

    def __init__(self, limit: float | None = None) -> None:
        self.signum: int | None = None
        self.end = math.inf if limit is None else time.monotonic() + limit
        self.deferred = False
        self.signals = [signal.SIGTERM, signal.SIGINT]
        if slurm_job() is not None:
            self.signals += [signal.SIGUSR1, signal.SIGUSR2]

    def __call__(self, signum: int, _: FrameType | None = None) -> None:
        if self.deferred and (self.signum is None or signum != signal.SIGINT):
            self.signum = self.signum or signum
            return
        raise Interrupted(signum)

    @property
    def due(self) -> bool:
        """Whether this process has a reason to stop."""
        return self.signum is not None or time.monotonic() >= self.end

    def install(self) -> None:
        """Handle the signals from here on; the trainer puts its own handlers in place when it starts."""
        if threading.current_thread() is threading.main_thread():
            for signum in self.signals:
                signal.signal(signum, self)

    @contextmanager
    def caught(self) -> Iterator[None]:
        """Handle the signals inside, and as before outside."""
        before = {signum: signal.getsignal(signum) for signum in self.signals}
        self.install()
        try:
            yield
        finally:
            if threading.current_thread() is threading.main_thread():
                for signum, handler in before.items():
                    signal.signal(signum, handler)


def slurm_job() -> str | None:
    """The SLURM job that this process belongs to, `123` or `123_4` of an array; None outside SLURM."""
    array, task = os.environ.get("SLURM_ARRAY_JOB_ID"), os.environ.get("SLURM_ARRAY_TASK_ID")
    job = f"{array}_{task}" if array and task else os.environ.get("SLURM_JOB_ID")
    return job if job and re.fullmatch(r"\d+(_\d+)?", job) else None


def requeue() -> bool:
    """Put this SLURM job back into the queue, and say whether that was done.

    Only a job that SLURM counts as running is: one that it preempts is requeued by SLURM itself, one that the
    user canceled stays canceled.
    """
    if (job := slurm_job()) is None:
        return False
    state = _slurm("squeue", "--noheader", "--format=%T", f"--jobs={job}")
    if state is None or state.split() != ["RUNNING"]:
        return False
    return _slurm("scontrol", "requeue", job) is not None


def _slurm(*command: str) -> str | None:
    """Output of a SLURM command; None if there is no such command or it fails."""
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    except (OSError, subprocess.SubprocessError):
        return None
