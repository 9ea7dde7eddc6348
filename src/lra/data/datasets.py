"""Datasets that fetch whole batches at once, and the loader that feeds them to the trainer.

Their arrays are memory maps, or tensors on a device after `to(device)`: then batches are made there.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import suppress
from typing import Self

import numpy as np
import torch
from torch import Tensor

from lra.data.spec import Batch
from lra.errors import UserError


class BatchDataset(ABC):
    """A split: its size, the target and the length of every row, and a batch for an array of row numbers."""

    y: np.ndarray

    @property
    @abstractmethod
    def lengths(self) -> np.ndarray: ...

    def __len__(self) -> int:
        return len(self.y)

    @abstractmethod
    def __getitem__(self, rows: np.ndarray) -> Batch: ...

    @abstractmethod
    def to(self, device: torch.device | str) -> BatchDataset:
        """The same split, kept on the device; its batches are there too."""


class TokenSequences(BatchDataset):
    """Sequences of different length, stored end to end: row i is tokens[offsets[i]:offsets[i + 1]].

    Batches are padded on the right with `pad`, to the longest of the batch.
    """

    def __init__(self, tokens: np.ndarray | Tensor, offsets: np.ndarray, y: np.ndarray, pad: int = 0) -> None:
        self.tokens, self.y, self.pad = tokens, np.array(y), pad
        self.offsets = np.array(offsets)
        device = _device(tokens)
        self._offsets, self._targets = torch.tensor(self.offsets, device=device), _targets(self.y, device)

    @property
    def lengths(self) -> np.ndarray:
        return np.diff(self.offsets)

    def __getitem__(self, rows: np.ndarray) -> Batch:
        x, lengths = self.pad_rows(rows)
        return Batch(x, lengths, self._targets[_index(rows, self._targets.device)])

    def pad_rows(self, rows: np.ndarray) -> tuple[Tensor, Tensor]:
        """Rows (B,) -> tokens (B, L) int64 and lengths (B,). The greatest length is read here, not from the device."""
        index = _index(rows, self._offsets.device)
        longest = (self.offsets[rows + 1] - self.offsets[rows]).max()
        start = self._offsets[index]
        lengths = self._offsets[index + 1] - start
        position = torch.arange(int(longest), device=index.device)
        padding = position >= lengths[:, None]
        place = (start[:, None] + position).masked_fill_(padding, 0)
        return _take(self.tokens, place).long().masked_fill_(padding, self.pad), lengths

    def to(self, device: torch.device | str) -> Self:
        return type(self)(_on(self.tokens, device), self.offsets, self.y, self.pad)


class TokenPairs(BatchDataset):
    """Pairs of documents: row i is documents pairs[i, 0] and pairs[i, 1], each stored once.

    Batches hold 2B rows, all first documents and then all second ones, padded to one common length.
    """

    def __init__(self, documents: TokenSequences, pairs: np.ndarray, y: np.ndarray) -> None:
        self.documents, self.pairs, self.y = documents, np.array(pairs), np.array(y)
        self._targets = _targets(self.y, _device(documents.tokens))

    @property
    def lengths(self) -> np.ndarray:
        return self.documents.lengths[self.pairs].max(axis=1)  # what the pair is padded to

    def __getitem__(self, rows: np.ndarray) -> Batch:
        x, lengths = self.documents.pad_rows(self.pairs[rows].T.reshape(-1))
        return Batch(x, lengths, self._targets[_index(rows, self._targets.device)])

    def to(self, device: torch.device | str) -> Self:
        return type(self)(self.documents.to(device), self.pairs, self.y)


class FeatureSequences(BatchDataset):
    """Sequences of one length, x (N, L) or (N, L, d) of any number type; a batch is x · scale + shift, float32.

    `scale` and `shift` broadcast to (L, d): numbers, a value a channel (d,) or a value a time step (L, 1).
    `order` (L,) rearranges the positions.
    """

    def __init__(
        self,
        x: np.ndarray | Tensor,
        y: np.ndarray,
        scale: np.ndarray | float = 1.0,
        shift: np.ndarray | float = 0.0,
        order: np.ndarray | None = None,
    ) -> None:
        self.x, self.y, self.order = x, np.array(y), order
        self.scale, self.shift = np.asarray(scale, np.float32), np.asarray(shift, np.float32)
        device = _device(x)
        self._scale, self._shift = (torch.tensor(a, device=device) for a in (self.scale, self.shift))
        self._order = None if order is None else torch.tensor(order, device=device)
        self._targets = _targets(self.y, device)

    @property
    def lengths(self) -> np.ndarray:
        return np.full(len(self), self.x.shape[1])

    def __getitem__(self, rows: np.ndarray) -> Batch:
        index = _index(rows, self._targets.device)
        x = _take(self.x, index)
        x = (x if x.ndim == 3 else x.unsqueeze(-1)).to(torch.float32).mul_(self._scale).add_(self._shift)
        if self._order is not None:
            x = x[:, self._order]
        return Batch(x, torch.full((len(x),), x.shape[1], device=x.device), self._targets[index])

    def to(self, device: torch.device | str) -> Self:
        return type(self)(_on(self.x, device), self.y, self.scale, self.shift, self.order)


class BatchSampler:
    """Row numbers of each batch; the order of an epoch is a function of the seed and the epoch's number.

    Several processes, no more than there are rows, divide a split among them, row by row, so that none is seen twice:
    of a training batch each takes its share, and batches are the same as with one process. `parts` cuts batches for
    gradient accumulation; `start` leaves out the first batches of one epoch.
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
        return min(-(-self.size * self.parts // self.batch_size), self.size // share()[1])  # none is empty

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


class Loader:
    """Batches of a data set, one for each item of the sampler.

    Its state is how much of an epoch it has given out, which the trainer saves and restores in mid-epoch.
    """

    batch_sampler = None  # Lightning asks for it where there is a sampler

    def __init__(self, dataset: BatchDataset, sampler: BatchSampler) -> None:
        self.dataset, self.sampler = dataset, sampler
        self._given = self._restored = 0

    def __len__(self) -> int:
        return len(self.sampler)

    def __iter__(self) -> Iterator[Batch]:
        self._given, self._restored = self._restored, 0
        self.sampler.start = self._given
        for rows in self.sampler:
            self._given += 1
            yield self.dataset[rows]

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


class Subset(BatchDataset):
    """Some rows of a dataset."""

    def __init__(self, dataset: BatchDataset, rows: np.ndarray) -> None:
        self.dataset, self.rows = dataset, rows
        self.y = dataset.y[rows]

    @property
    def lengths(self) -> np.ndarray:
        return self.dataset.lengths[self.rows]

    def __getitem__(self, rows: np.ndarray) -> Batch:
        return self.dataset[self.rows[rows]]

    def to(self, device: torch.device | str) -> Subset:
        return Subset(self.dataset.to(device), self.rows)


class Strided(BatchDataset):
    """Every `rate`-th position of a dataset: 16 kHz audio becomes 8 kHz at rate 2, not filtered."""

    def __init__(self, dataset: BatchDataset, rate: int) -> None:
        self.dataset, self.rate, self.y = dataset, rate, dataset.y

    @property
    def lengths(self) -> np.ndarray:
        return -(-self.dataset.lengths // self.rate)

    def __getitem__(self, rows: np.ndarray) -> Batch:
        x, lengths, y = self.dataset[rows]
        return Batch(x[:, :: self.rate], (lengths + self.rate - 1) // self.rate, y)

    def to(self, device: torch.device | str) -> Strided:
        return Strided(self.dataset.to(device), self.rate)


def _index(rows: np.ndarray, device: torch.device) -> Tensor:
    """Row numbers on a device, sent there without waiting for it."""
    index = torch.as_tensor(rows)
    return index.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else index


def _take(array: np.ndarray | Tensor, index: Tensor) -> Tensor:
    """array[index] as a new tensor, on the array's device. Raises UserError as `_check_whole` does."""
    if isinstance(array, Tensor):
        return array[index]
    _check_whole(array)
    return torch.from_numpy(array[index.numpy()])


def _check_whole(array: np.ndarray) -> None:
    """Raise UserError if a memory-mapped file has become shorter: to read beyond its end kills the process.

    A file that was deleted or replaced is still mapped as it was.
    """
    if not isinstance(array, np.memmap) or array.filename is None:
        return
    with suppress(FileNotFoundError):
        if (size := os.stat(array.filename).st_size) < array.offset + array.nbytes:
            raise UserError(
                f"{array.filename} was cut off while it was in use: it has {size} bytes in place of "
                f"{array.offset + array.nbytes}. Delete its folder; the same command then prepares the data again."
            )


def _device(array: np.ndarray | Tensor) -> torch.device:
    return array.device if isinstance(array, Tensor) else torch.device("cpu")


def _on(array: np.ndarray | Tensor, device: torch.device | str) -> Tensor:
    if isinstance(array, Tensor):
        return array.to(device)
    _check_whole(array)
    return torch.tensor(np.asarray(array), device=device)


def _targets(y: np.ndarray, device: torch.device) -> Tensor:
    return torch.tensor(y, device=device).to(torch.float32 if y.dtype.kind == "f" else torch.int64)
