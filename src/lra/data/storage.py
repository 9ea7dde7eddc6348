"""Prepared data: folders `<data_dir>/<task>/<fingerprint>/` of .npy arrays, committed by their meta.json.

The fingerprint is a hash of everything the arrays depend on: task, code version, parameters, and for files the
sha256 of their bytes. A folder is written under another name and renamed when complete, under a file lock; so
what can be opened is whole, whoever was killed and whoever prepared at the same time.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock
from pydantic import BaseModel, ConfigDict, ValidationError

from lra.errors import Interrupted, UserError
from lra.records.schema import Variant

META = "meta.json"


class ArrayInfo(BaseModel):
    model_config = ConfigDict(extra="forbid")
    shape: list[int]
    dtype: str
    bytes: int
    sha256: str


class Meta(BaseModel):
    """What meta.json holds."""

    model_config = ConfigDict(extra="forbid")
    task: str
    fingerprint: str
    version: int  # of the code that prepared the data
    variant: Variant
    parameters: dict[str, Any]
    counts: dict[str, int]
    facts: dict[str, Any]  # what the task wants to remember: vocabulary, class counts, raw hashes …
    arrays: dict[str, ArrayInfo]


class Prepared:
    """A committed folder, opened: `meta`, and arrays as memory maps."""

    def __init__(self, folder: Path, meta: Meta) -> None:
        self.folder, self.meta = folder, meta

    def array(self, name: str) -> np.ndarray:
        """The array as a read-only memory map."""
        return np.load(self.folder / f"{name}.npy", mmap_mode="r", allow_pickle=False)

    def verify(self) -> None:
        """Compare every array with its sha256 in meta.json. Raises UserError naming the first that differs."""
        for name, info in self.meta.arrays.items():
            path = self.folder / f"{name}.npy"
            if (found := file_sha256(path)) != info.sha256:
                raise UserError(
                    f"{path} has sha256 {found}, but {META} says {info.sha256}: the prepared data is damaged. "
                    f"Delete the folder {self.folder} and prepare again."
                )


class Writer:
    """Collects the arrays and facts of a folder that is being prepared, below `data_dir`."""

    def __init__(self, folder: Path, data_dir: Path) -> None:
        self.folder, self.data_dir = folder, data_dir
        self.arrays: dict[str, ArrayInfo] = {}
        self.facts: dict[str, Any] = {}
        self.counts: dict[str, int] = {}

    def save(self, name: str, array: np.ndarray) -> None:
        """Write one array and remember its hash."""
        np.save(self.folder / f"{name}.npy", array, allow_pickle=False)
        self.adopt(name)

    def create(self, name: str, shape: tuple[int, ...], dtype: np.typing.DTypeLike) -> np.memmap:
        """An array on disk to be filled piece by piece; flush it and call `adopt` when it is complete.

        The space is claimed at once: a full disk is an OSError here, not a signal while filling.
        """
        path = self.folder / f"{name}.npy"
        array = np.lib.format.open_memmap(path, mode="w+", dtype=dtype, shape=shape)
        with open(path, "r+b") as file:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
        return array

    def reopen(self, name: str) -> np.memmap:
        """An array that `create` made before an interruption."""
        return np.lib.format.open_memmap(self.folder / f"{name}.npy", mode="r+")

    def adopt(self, name: str) -> None:
        """Take a finished `<name>.npy` of the folder into the record."""
        path = self.folder / f"{name}.npy"
        _fsync(path)
        array = np.load(path, mmap_mode="r", allow_pickle=False)
        self.arrays[name] = ArrayInfo(
            shape=list(array.shape),
            dtype=str(array.dtype),
            bytes=path.stat().st_size,
            sha256=file_sha256(path),
        )


class Store:
    """The prepared form of one task with given parameters, in `<data_dir>/<task>/<fingerprint>`."""

    def __init__(self, data_dir: Path, task: str, version: int, variant: Variant, parameters: dict[str, Any]):
        self.task, self.version, self.variant, self.parameters = task, version, variant, parameters
        key = json.dumps([task, version, variant, parameters], sort_keys=True)
        self.fingerprint = hashlib.sha256(key.encode()).hexdigest()[:16]
        self.data_dir = Path(data_dir)
        self.folder = self.data_dir / task / self.fingerprint

    def open(self) -> Prepared | None:
        """The prepared data, or None if there is none. Raises UserError if what lies there is damaged."""
        path = self.folder / META
        if not path.is_file():
            return None
        try:
            meta = Meta.model_validate_json(path.read_bytes())
            missing = [
                name
                for name, info in meta.arrays.items()
                if not (file := self.folder / f"{name}.npy").is_file() or file.stat().st_size != info.bytes
            ]
        except ValidationError as error:
            raise UserError(
                f"{path} cannot be read: {error}. Delete {self.folder} and prepare again."
            ) from error
        if missing:
            raise UserError(
                f"Prepared data is damaged: {', '.join(missing)} of {self.folder} missing or of the wrong size. "
                "Delete the folder and prepare again."
            )
        return Prepared(self.folder, meta)

    def prepare(self, build: Callable[[Writer], None], resume: bool = False) -> Prepared:
        """Open the data; if there is none, let `build` write it, once however many processes ask.

        With `resume`, `build` finds in its folder what it had written when it was last killed or interrupted.
        """
        if prepared := self.open():
            return prepared
        with self._locked():
            if prepared := self.open():
                return prepared
            temporary = self.folder.with_name(f".{self.fingerprint}.partial")
            if not resume:
                shutil.rmtree(temporary, ignore_errors=True)  # of a process that was killed
            temporary.mkdir(exist_ok=True)
            keep = False
            try:
                writer = Writer(temporary, self.data_dir)
                build(writer)
                self._commit(writer)
            except OSError as error:
                raise UserError(
                    f"Preparing {self.task} in {temporary} failed: {error}. Nothing was kept. "
                    f"{shutil.disk_usage(temporary).free / 1e9:.1f} GB are free there: if that is too little, "
                    "free some space or choose another data_dir, and run the command again."
                ) from error
            except (KeyboardInterrupt, Interrupted):
                keep = resume
                raise
            finally:
                if not keep:
                    shutil.rmtree(temporary, ignore_errors=True)
        prepared = self.open()
        assert prepared is not None
        return prepared

    def _commit(self, writer: Writer) -> None:
        meta = Meta(
            task=self.task,
            fingerprint=self.fingerprint,
            version=self.version,
            variant=self.variant,
            parameters=self.parameters,
            counts=writer.counts,
            facts=writer.facts,
            arrays=writer.arrays,
        )
        path = writer.folder / META
        path.write_text(meta.model_dump_json(indent=2) + "\n", encoding="utf-8")
        _fsync(path)
        os.replace(writer.folder, self.folder)
        _fsync(self.folder.parent)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(self.folder.with_name(f"{self.fingerprint}.lock")):
            yield


def file_sha256(path: Path) -> str:
    """Hex sha256 of a file's bytes."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def files_sha256(files: Iterable[Path], root: Path, cache: Path) -> str:
    """Hex sha256 of many files: of the sorted lines `<name relative to root> <sha256>`.

    Kept in the JSON file `cache` for as long as no name, size or modification time changes, because official
    folders hold up to 200 000 files.
    """
    entries = sorted((str(path.relative_to(root)), path) for path in files)
    stamps = hashlib.sha256()
    for name, path in entries:
        stat = path.stat()
        stamps.update(f"{name} {stat.st_size} {stat.st_mtime_ns}\n".encode())
    key = f"{root.resolve()} {stamps.hexdigest()}"
    known = json.loads(cache.read_text(encoding="utf-8")) if cache.is_file() else {}
    if key not in known:
        digest = hashlib.sha256()
        for name, path in entries:
            digest.update(f"{name} {file_sha256(path)}\n".encode())
        known[key] = digest.hexdigest()
        cache.parent.mkdir(parents=True, exist_ok=True)
        partial = cache.with_name(f".{cache.name}.{os.getpid()}")
        partial.write_text(json.dumps(known, indent=1), encoding="utf-8")
        os.replace(partial, cache)
    return known[key]


def _fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
