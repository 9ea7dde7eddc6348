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
    """Row numbers of each batch; the order of an epoch is a function of the seed and the epoch's number."""

    def __init__(self, size: int, batch_size: int, *, shuffle: bool, drop_last: bool, seed: int = 0) -> None:
        self.size, self.batch_size = size, batch_size
        self.shuffle, self.drop_last, self.seed = shuffle, drop_last, seed
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Called by the trainer before each epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.size // self.batch_size if self.drop_last else -(-self.size // self.batch_size)

    def __iter__(self) -> Iterator[np.ndarray]:
        order = np.arange(self.size)
        if self.shuffle:
            order = np.random.default_rng([self.seed, self.epoch]).permutation(self.size)
        for i in range(len(self)):
            yield order[i * self.batch_size : (i + 1) * self.batch_size]


def loader(dataset: BatchDataset, sampler: BatchSampler) -> DataLoader:
    """A DataLoader whose items are the dataset's batches. It leaves the global random numbers alone."""
    own = torch.Generator()  # or each pass would draw from those that dropout uses
    return DataLoader(dataset, batch_size=None, sampler=sampler, collate_fn=_identity, generator=own)


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
