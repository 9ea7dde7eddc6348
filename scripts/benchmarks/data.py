"""How fast prepared data become batches, on one core."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import torch

from lra.data.catalog import make_task, ready, task_names
from lra.data.datasets import BatchSampler, Loader

BATCH_SIZE = 64
SECONDS = 3.0


def rows(data_dir: Path) -> list[dict[str, Any]]:
    """A row for every task of which something is prepared (its largest set): shuffled training batches."""
    made = []
    for name in task_names():
        task = make_task(name)
        sets = [one for one in ready(data_dir, task) if one.meta is not None]
        if not sets:
            continue
        largest = max(sets, key=lambda one: one.meta.bytes if one.meta else 0)
        task, prepared = largest.open(name)
        data = task.dataset(prepared, "train")
        samples, positions, seconds = measure(data)
        made.append(
            {
                "task": name,
                "variant": prepared.meta.variant,
                "training samples": len(data),
                "batch size": min(BATCH_SIZE, len(data)),
                "samples/s": round(samples / seconds),
                "positions/s": round(positions / seconds),
            }
        )
    return made


def measure(data, seconds: float = SECONDS) -> tuple[int, int, float]:
    """Samples and positions (padding included) fetched, and the seconds that took, with one thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    sampler = BatchSampler(len(data), min(BATCH_SIZE, len(data)), shuffle=True, drop_last=True)
    samples = positions = epoch = 0
    start = time.perf_counter()
    try:
        while time.perf_counter() - start < seconds:
            sampler.set_epoch(epoch)
            for batch in Loader(data, sampler):
                samples, positions = samples + len(batch.y), positions + batch.x.shape[0] * batch.x.shape[1]
                if time.perf_counter() - start >= seconds:
                    break
            epoch += 1
    finally:
        torch.set_num_threads(threads)
    return samples, positions, time.perf_counter() - start
