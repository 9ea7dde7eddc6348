"""The base of every task: from raw data or a generator to prepared arrays to datasets."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path

from lra.data.datasets import BatchDataset
from lra.data.spec import TaskSpec
from lra.data.storage import Prepared, Store, Writer

Progress = Callable[[str, int, int], None]  # what is going on, done, total


def silent(what: str, done: int, total: int) -> None:
    """A Progress that shows nothing."""


class Task(ABC):
    """A task of the arena. Subclasses take their options by keyword, from `configs/task/*.yaml`."""

    @property
    @abstractmethod
    def spec(self) -> TaskSpec:
        """The facts of the task."""

    @abstractmethod
    def store(self, data_dir: Path) -> Store:
        """Where the prepared data of these options lies. Raises UserError if the raw data cannot be found."""

    @abstractmethod
    def build(self, writer: Writer, progress: Progress) -> None:
        """Write the prepared arrays: a pure function of the raw bytes and the options."""

    @abstractmethod
    def dataset(self, prepared: Prepared, split: str) -> BatchDataset:
        """The split `train`, `val` or `test`."""

    def prepare(self, data_dir: Path, progress: Progress = silent) -> Prepared:
        """The prepared data, made first if need be."""
        return self.store(data_dir).prepare(lambda writer: self.build(writer, progress))
