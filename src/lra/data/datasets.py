"""Datasets that fetch whole batches at once, and the loader that feeds them to the trainer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from lra.data.spec import Batch


class BatchDataset(Protocol):
    """A split: its size, the target and the length of every row, and a batch for an array of row numbers."""

    y: np.ndarray
    lengths: np.ndarray

    def __len__(self) -> int: ...

    def __getitem__(self, rows: np.ndarray) -> Batch: ...


class TokenSequences(Dataset):
    """Sequences of different length, stored end to end: row i is tokens[offsets[i]:offsets[i + 1]].

    Batches are padded on the right with `pad`, to the longest of the batch.
    """

    def __init__(self, tokens: np.ndarray, offsets: np.ndarray, y: np.ndarray, pad: int = 0) -> None:
        self.tokens, self.offsets, self.y, self.pad = tokens, np.asarray(offsets), np.asarray(y), pad

    @property
    def lengths(self) -> np.ndarray:
        return np.diff(self.offsets)

    def __len__(self) -> int:
        return len(self.y)

    def __getitem__(self, rows: np.ndarray) -> Batch:
        start = self.offsets[rows]
        lengths = self.offsets[rows + 1] - start
        position = np.arange(lengths.max())
        valid = position < lengths[:, None]
        tokens = self.tokens[np.where(valid, start[:, None] + position, 0)]
        x = np.where(valid, tokens, self.pad).astype(np.int64)
        return Batch(torch.from_numpy(x), torch.from_numpy(lengths), torch.from_numpy(self.y[rows]).long())


class BatchSampler:
    """Row numbers of each batch; the order of an epoch is a function of the seed and the epoch's number.

    Several processes divide a split among them, row by row, so that none is seen twice: of a training batch
    each takes its share, and batches are the same as with one process. `parts` cuts batches for gradient
    accumulation; `start` leaves out the first batches of one epoch.
    """

    def __init__(self, size: int, batch_size: int, *, shuffle: bool, drop_last: bool, seed: int = 0) -> None:
        self.size, self.batch_size = size, batch_size
        self.shuffle, self.drop_last, self.seed = shuffle, drop_last, seed
        self.epoch = self.start = 0
        self.parts = 1

    def set_epoch(self, epoch: int) -> None:
        """Called by the trainer before each epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        if self.drop_last:
            return self.size // self.batch_size * self.parts
        return -(-self.size * self.parts // self.batch_size)

    def __iter__(self) -> Iterator[np.ndarray]:
        start, self.start = self.start, 0
        rank, world = share()
        order = np.arange(self.size)
        if self.shuffle:
            order = np.random.default_rng([self.seed, self.epoch]).permutation(self.size)
        if self.drop_last:
            batches = order[: self.size // self.batch_size * self.batch_size].reshape(-1, self.batch_size)
            own = batches[:, rank::world].ravel()
        else:
            own = order[rank::world]
        yield from np.array_split(own, len(self))[start:]


def share() -> tuple[int, int]:
    """Number of this process and of all processes that train together."""
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        return torch.distributed.get_rank(), torch.distributed.get_world_size()
    return 0, 1


class Loader(DataLoader):
    """A DataLoader whose items are the dataset's batches. It leaves the global random numbers alone.

    Its state is how much of an epoch it has given out, which the trainer saves and restores in mid-epoch.
    """

    def __init__(self, dataset: BatchDataset, sampler: BatchSampler) -> None:
        own = torch.Generator()  # or each pass would draw from those that dropout uses
        super().__init__(dataset, batch_size=None, sampler=sampler, collate_fn=_identity, generator=own)
        self._given = self._restored = 0

    def __iter__(self) -> Iterator[Batch]:
        self._given, self._restored = self._restored, 0
        self.sampler.start = self._given
        for batch in super().__iter__():
            self._given += 1
            yield batch

    def state_dict(self) -> dict[str, int]:
        """Batches given out in this epoch, and in how many parts a batch was cut."""
        return {"given": self._given, "parts": self.sampler.parts}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """The next pass begins after the batches of the state."""
        self._restored = state["given"] // state["parts"] * self.sampler.parts


def subset(dataset: BatchDataset, size: int, seed: int, longest: int | None = None) -> BatchDataset:
    """A random sample of `size` rows of at most `longest` positions, the same for the same seed."""
    rows = np.arange(len(dataset)) if longest is None else np.flatnonzero(dataset.lengths <= longest)
    if size == len(dataset):
        return dataset
    return Subset(dataset, np.sort(np.random.default_rng(seed).choice(rows, size, replace=False)))


class Subset(Dataset):
    """Some rows of a dataset."""

    def __init__(self, dataset: BatchDataset, rows: np.ndarray) -> None:
        self.dataset, self.rows = dataset, rows
        self.y, self.lengths = dataset.y[rows], dataset.lengths[rows]

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, rows: np.ndarray) -> Batch:
        return self.dataset[self.rows[rows]]


def _identity(batch: Batch) -> Batch:
    return batch
