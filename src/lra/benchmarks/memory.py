"""Peak memory of a piece of work on the CPU, workspace of libraries included.

PyTorch does not count what it allocates on a CPU, and what a process held once stays in its high-water mark;
so the work is done in a fresh process, and the mark is read before and after.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from lra import cpu

Work = Callable[[], Any]


def peak(prepare: Callable[..., tuple[Work, Work]], *arguments: Any) -> int:
    """Most bytes that a piece of work holds beyond what was held before it.

    `prepare(*arguments)`, picklable, is called in a fresh process and returns the work in a tiny version, which
    only loads libraries and starts threads, and the work itself. Linux only.
    """
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_measure, args=(sender, torch.get_num_threads(), prepare, arguments))
    process.start()
    sender.close()
    try:
        return receiver.recv()
    except EOFError:
        process.join()
        raise RuntimeError(f"the measured process ended with exit code {process.exitcode}") from None
    finally:
        process.join()


def high_water_mark() -> int:
    """Most bytes this process ever held, as Linux counts them (getrusage includes its parent's)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) * 1024


def _measure(sender: Any, threads: int, prepare: Callable[..., tuple[Work, Work]], arguments: tuple) -> None:
    torch.set_num_threads(threads)
    cpu.tune()
    tiny, work = prepare(*arguments)
    tiny()
    before = high_water_mark()
    work()
    sender.send(high_water_mark() - before)
