"""The base of every task: from raw data or a generator to prepared arrays to datasets."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from lra.data.datasets import BatchDataset
from lra.data.sources import lra_folders, lra_release, raw_folder, unpacked
from lra.data.spec import TaskSpec
from lra.data.storage import Prepared, Store, Writer
from lra.errors import UserError
from lra.vocabulary import GeneratedSource, Variant

Progress = Callable[[str, int, int], None]  # what is being done, done, total

NEED_NO_FILES = ("generate", "standin")


def silent(what: str, done: int, total: int) -> None:
    """A Progress that shows nothing."""


class Task(ABC):
    """A task of the arena. Subclasses take their options by keyword, from `configs/task/*.yaml`."""

    needs: str = "no download; made here"  # what the data cost, for people
    resumable: ClassVar[bool] = False  # whether `build` resumes from what an interrupted one left behind
    workers: int = os.cpu_count() or 1  # threads that `build` may use; the arrays do not depend on it

    @property
    @abstractmethod
    def spec(self) -> TaskSpec:
        """The facts of the task, as published."""

    def spec_of(self, prepared: Prepared) -> TaskSpec:
        """The facts of prepared data: the task's, but for what the data decide, which is the vocabulary of texts."""
        return self.spec

    @abstractmethod
    def store(self, data_dir: Path) -> Store:
        """Where the prepared data of these options lie. Raises UserError if raw data it needs are missing."""

    @abstractmethod
    def build(self, writer: Writer, progress: Progress) -> None:
        """Write the prepared arrays: a pure function of the raw bytes and the options."""

    @abstractmethod
    def dataset(self, prepared: Prepared, split: str) -> BatchDataset:
        """The split `train`, `val` or `test`."""

    @property
    def stored_as(self) -> str:
        """Folder of the prepared data, that of `store`; tasks that differ in how batches are made only may share it."""
        return self.spec.name

    def write_official(self, prepared: Prepared, folder: Path, progress: Progress = silent) -> None:
        """Write the data in the official file layout. Raises UserError for tasks that cannot."""
        raise UserError(f"{self.spec.name} has no generator, so there is no official layout to write.")

    def prepare(self, data_dir: Path, progress: Progress = silent) -> Prepared:
        """The prepared data, made first if need be."""
        return self.store(data_dir).prepare(lambda writer: self.build(writer, progress), self.resumable)


class PublishedTask(Task):
    """A task whose raw data come from several sources.

    `source` is `generate` (our generator), `download` (what lies in the raw folder, else the library or
    archive that publishes it), `files` (what lies there, nothing else) or `standin` (tiny synthetic data for
    tests and demonstrations). `path` is the raw folder or file; without it the raw folder is
    `<data_dir>/raw`. The default source is `files` if a path is given, otherwise `default_source`.
    """

    version: ClassVar[int]  # of the code that makes the arrays
    default_source: ClassVar[GeneratedSource] = "download"

    def __init__(self, source: GeneratedSource | None, path: str | None) -> None:
        default = "files" if path is not None else self.default_source
        self.source: GeneratedSource = default if source is None else source
        self.path = None if path is None else Path(path).expanduser()
        if self.path is not None and self.source in NEED_NO_FILES:
            raise UserError(f"task.path={path} is given, but task.source={self.source} reads no files. Drop one.")

    @abstractmethod
    def provenance(self, data_dir: Path) -> tuple[Variant, dict[str, Any]]:
        """The variant and everything the arrays depend on. Raises UserError if raw data it needs are missing."""

    @staticmethod
    def hashes(data_dir: Path) -> Path:
        """The file that remembers what raw files hold."""
        return Path(data_dir) / "hashes.json"

    def raw(self, data_dir: Path) -> Path:
        """Where raw data are looked for and downloaded to."""
        return Path(data_dir) / "raw" if self.path is None else self.path

    def release_folder(self, data_dir: Path, place: str, names: Sequence[str], otherwise: str) -> Path:
        """The folder `place` of the arena's archive, which has all `names`; downloaded if that is the source.

        Raises UserError if there is none, with `otherwise` as another way to the data.
        """
        raw = self.raw(data_dir)
        return raw_folder(
            f"{place} of the Long Range Arena, with {', '.join(names)}",
            lra_folders(raw, place),
            names,
            self.hashes(data_dir),
            partial(lra_release, raw, place, self.spec.name) if self.source == "download" else None,
            f"They are in lra_release.gz (8.23 GB; its link has failed for many). Put it into {raw} and "
            f"{unpacked(place)}. Or {otherwise}",
        )

    def store(self, data_dir: Path) -> Store:
        try:
            variant, parameters = self.provenance(data_dir)
        except OSError as error:
            raise UserError(f"The raw data of {self.spec.name} cannot be read: {error}.") from error
        return Store(data_dir, self.stored_as, self.version, variant, parameters)
