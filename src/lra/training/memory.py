"""Batches that do not fit into memory: how many parts do, and gradients accumulated over them."""

from __future__ import annotations

import copy
import gc
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback
from torch import Tensor
from torch.utils.data import Dataset

from lra.data.datasets import Loader
from lra.data.spec import Batch, TaskSpec
from lra.errors import UserError
from lra.training.module import SequenceModule

NO_MEMORY = re.compile(
    r"out of memory|not enough memory|can't allocate memory"
    r"|CUFFT_ALLOC_FAILED|CUFFT_INTERNAL_ERROR|CUBLAS_STATUS_ALLOC_FAILED",  # what libraries say of their workspace
    re.IGNORECASE,
)


class MadeUp(Dataset):
    """Random samples of a task's shape and greatest length, for measuring time and memory only."""

    def __init__(self, spec: TaskSpec, size: int) -> None:
        self.spec, self.size = spec, size
        self.lengths = np.full(size, spec.max_length)
        rng = np.random.default_rng(0)
        self.y = rng.integers(spec.outputs, size=size) if spec.metric == "accuracy" else rng.normal(size=size)

    def __len__(self) -> int:
        return self.size

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

    def to(self, device: torch.device | str) -> MadeUp:
        return self


def is_out_of_memory(error: Exception) -> bool:
    """Whether the error says that memory, of a GPU or of the machine, did not suffice."""
    return (
        isinstance(error, (torch.OutOfMemoryError, MemoryError)) or NO_MEMORY.search(str(error)) is not None
    )


def on_device(batch: Batch, device: torch.device) -> Batch:
    """The batch on a device."""
    return Batch(*(part.to(device) for part in batch))


def backward(module: SequenceModule, model: torch.nn.Module, batch: Batch) -> Tensor:
    """One forward and backward pass of `model` as `module` trains it; returns the loss."""
    loss = module.loss(model(batch.x, batch.lengths), batch.y)
    loss.backward()
    return loss.detach()


def parts_that_fit(module: SequenceModule, batch_size: int, device: torch.device) -> int:
    """Into how many equal parts a batch of the longest sequences must be cut to train it in memory.

    Tries real steps with a copy of the model, optimizer state included. Raises UserError if one sample alone
    does not fit.
    """
    samples = MadeUp(module.spec, batch_size)
    devices = [device] if device.type == "cuda" else []
    for parts in (n for n in range(1, batch_size + 1) if batch_size % n == 0):
        model = optimizer = None
        try:
            with torch.random.fork_rng(devices):
                model = copy.deepcopy(module.model).to(device).train()
                optimizer = torch.optim.AdamW(model.parameters())
                batch = on_device(samples[np.arange(batch_size // parts)], device)
                for _ in range(2):  # the second has optimizer state beside activations
                    backward(module, model, batch)
                    optimizer.step()
            return parts
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
        finally:
            del model, optimizer
            gc.collect()
            if device.type == "cuda":
                torch.cuda.empty_cache()
    raise UserError(
        f"One sequence of {module.spec.max_length} positions does not fit into the memory of {device}. "
        "Use a device with more memory."
    )


class AutoBatch(Callback):
    """Finds the parts before training; all processes take the number of the one that needs most."""

    def __init__(self, loaders: list[Loader], batch_size: int, note: Callable[[str], None]) -> None:
        self.loaders, self.batch_size, self.note = loaders, batch_size, note

    def setup(self, trainer: pl.Trainer, module: Any, stage: str) -> None:
        if stage != "fit":
            return
        own = self.batch_size // trainer.world_size
        device = trainer.strategy.root_device
        parts = parts_that_fit(module, own, device)
        parts = int(trainer.strategy.reduce(torch.tensor(parts, device=device), reduce_op="max"))
        trainer.accumulate_grad_batches = parts
        for loader in self.loaders:
            loader.sampler.parts = parts
        if parts > 1:
            self.note(
                f"A batch of {self.batch_size} is computed in {parts} parts of {own // parts} samples on each device; "
                "normalization over the batch sees a part at a time."
            )
