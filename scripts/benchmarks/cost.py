"""Seconds and peak memory of a piece of work; on the CPU fast and naive, in turns.

Each side has processes of its own: ours with the settings that training runs have (`lra.environment`, `lra.cpu`), the
naive twin's with PyTorch's. PyTorch does not count what it allocates on a CPU, and what a process held once stays in
its high-water mark, so the mark is read before and after, workspace of libraries included. Linux only.
"""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import torch

from lra import cpu, environment

TURNS = 2
ENOUGH = 20.0  # seconds of repeats in one turn: slow work is not repeated beyond that
# What libgomp and PyTorch do when nobody asks for anything.
PYTORCH_SETTINGS = {"GOMP_SPINCOUNT": "300000", "THP_MEM_ALLOC_ENABLE": "0"}

Work = Callable[[], Any]
Prepare = Callable[..., tuple[Work, Work]]


class Cost(NamedTuple):
    seconds: float
    peak_bytes: int


def costs(prepare: Prepare, *arguments: Any, repeats: int, sides: Iterable[str] = ("fast", "naive")) -> dict[str, Cost]:
    """Least seconds and most bytes of each side, over at most `repeats` in each of two turns.

    `prepare(side, *arguments)`, picklable, is called in a fresh process and returns the work in a tiny version,
    which only loads libraries and starts threads, and the work itself. Bytes are those beyond what was held before.
    """
    found: dict[str, list[Cost]] = {side: [] for side in sides}
    for _ in range(TURNS):
        for side, measured in found.items():
            measured.append(_apart(prepare, side, arguments, repeats))
    return {side: Cost(min(m.seconds for m in s), max(m.peak_bytes for m in s)) for side, s in found.items()}


def gpu_cost(work: Work, repeats: int, device: torch.device) -> Cost:
    """Least seconds of a piece of work, after one call to warm up, and the most bytes that PyTorch held for it."""
    torch.cuda.reset_peak_memory_stats(device)
    work()
    least = min(seconds(work, device) for _ in range(repeats))
    return Cost(least, torch.cuda.max_memory_allocated(device))


def gpu_activity(work: Work) -> dict[str, float]:
    """How many kernels and copies a piece of work starts on a GPU, and how long the GPU works on them."""
    from torch.profiler import ProfilerActivity, profile

    work()
    with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA], acc_events=True) as found:
        work()
        torch.cuda.synchronize()
    spans = [event.time_range.elapsed_us() for event in found.events() if _on_gpu(event)]
    return {"launches": len(spans), "busy_seconds": sum(spans) / 1e6}


def _on_gpu(event: Any) -> bool:
    """Whether a profiled event is work of the device, not a name that PyTorch gave to a stretch of it."""
    return event.device_type == torch.autograd.DeviceType.CUDA and not event.is_user_annotation


def seconds(work: Work, device: torch.device) -> float:
    """Seconds of a piece of work, with the device at rest before and after."""
    _wait(device)
    start = time.perf_counter()
    work()
    _wait(device)
    return time.perf_counter() - start


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def high_water_mark() -> int:
    """Most bytes this process ever held, as Linux counts them (getrusage includes its parent's)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) * 1024


def _apart(prepare: Prepare, side: str, arguments: tuple, repeats: int) -> Cost:
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    work = sender, torch.get_num_threads(), prepare, side, arguments, repeats
    process = context.Process(target=_measure, args=work)
    with mock.patch.dict(os.environ, PYTORCH_SETTINGS if side == "naive" else environment.DEFAULTS):
        process.start()
    sender.close()
    try:
        return receiver.recv()
    except EOFError:
        process.join()
        raise RuntimeError(f"the measured process ended with exit code {process.exitcode}") from None
    finally:
        process.join()


def _measure(sender: Any, threads: int, prepare: Prepare, side: str, arguments: tuple, repeats: int) -> None:
    torch.set_num_threads(threads)
    if side == "fast":
        cpu.tune()
    tiny, work = prepare(side, *arguments)
    tiny()
    before = high_water_mark()
    work()
    peak = high_water_mark() - before
    measured: list[float] = []
    while len(measured) < repeats and sum(measured) < ENOUGH:
        measured.append(seconds(work, torch.device("cpu")))
    sender.send(Cost(min(measured), peak))
