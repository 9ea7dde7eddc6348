"""Batches for measuring what fits into memory, and how its end is recognized."""

from __future__ import annotations

import re

import numpy as np
import torch
from torch import Tensor

from lra.data.datasets import BatchDataset
from lra.data.spec import Batch, TaskSpec
from lra.training.module import SequenceModule

NO_MEMORY = re.compile(
    r"out of memory|not enough memory|can't allocate memory"
    r"|CUFFT_ALLOC_FAILED|CUFFT_INTERNAL_ERROR|CUBLAS_STATUS_ALLOC_FAILED",  # what libraries say of their workspace
    re.IGNORECASE,
)


class RandomData(BatchDataset):
    """Random samples of a task's shape and greatest length, for measuring time and memory only."""

    def __init__(self, spec: TaskSpec, size: int) -> None:
        self.spec = spec
        rng = np.random.default_rng(0)
        self.y = rng.integers(spec.outputs, size=size) if spec.metric == "accuracy" else rng.normal(size=size)

    @property
    def lengths(self) -> np.ndarray:
        return np.full(len(self), self.spec.max_length)

    def __getitem__(self, rows: np.ndarray) -> Batch:
        spec, rng = self.spec, np.random.default_rng(0)
        n = len(rows) * (2 if spec.paired else 1)
        if spec.kind == "tokens":
            x = torch.from_numpy(rng.integers(spec.inputs, size=(n, spec.max_length)))
        else:
            x = torch.from_numpy(rng.standard_normal((n, spec.max_length, spec.inputs), np.float32))
        y = torch.from_numpy(self.y[rows])
        y = y if spec.metric == "accuracy" else y.float()
        return Batch(x, torch.full((n,), spec.max_length), y)

    def to(self, device: torch.device | str) -> RandomData:
        return self


def is_out_of_memory(error: Exception) -> bool:
    """Whether the error says that memory, of a GPU or of the machine, did not suffice."""
    return isinstance(error, (torch.OutOfMemoryError, MemoryError)) or NO_MEMORY.search(str(error)) is not None


def on_device(batch: Batch, device: torch.device) -> Batch:
    """The batch on a device."""
    return Batch(*(part.to(device) for part in batch))


def backward(module: SequenceModule, model: torch.nn.Module, batch: Batch) -> Tensor:
    """One forward and backward pass of `model` as `module` trains it; returns the loss."""
    loss = module.loss(model(batch.x, batch.lengths), batch.y)
    loss.backward()
    return loss.detach()
