"""Prepared data: folders `<data_dir>/<task>/<fingerprint>/` of .npy arrays, committed by their meta.json.

The fingerprint is a hash of everything the arrays depend on: task, code version, parameters, and for files the
sha256 of their bytes. A folder is written under another name and renamed when complete, under a file lock; so
what can be opened is whole, whoever was killed and whoever prepared at the same time. Opening checks meta.json
against its own hash and the folder's fingerprint, and the arrays against their hashes.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from lra.data.hashes import file_sha256, read_json
from lra.errors import Interrupted, UserError
from lra.files import locked, sync, sync_folder, write_text
from lra.records.store import describe
from lra.vocabulary import Variant

META, VERIFIED = "meta.json", "verified.json"
_verified: dict[Path, dict[str, list[int | str]]] = {}  # what this process has checked


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
    sha256: str = ""  # of all the rest

    @property
    def bytes(self) -> int:
        return sum(info.bytes for info in self.arrays.values())

    def digest(self) -> str:
        """What `sha256` must be."""
        content = self.model_dump(mode="json", exclude={"sha256"})
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    @classmethod
    def read(cls, folder: Path) -> Meta:
        """The meta.json of a folder. Raises UserError if it is missing, changed, or that of another folder."""
        path, again = folder / META, f"Delete {folder} and prepare again."
        try:
            meta = cls.model_validate_json(path.read_bytes())
        except FileNotFoundError:
            raise UserError(f"{folder} has no {META}, so it is not whole. {again}") from None
        except OSError as error:
            raise UserError(f"{path} cannot be read: {error.strerror}.") from error
        except ValidationError as error:
            raise UserError(f"{path} cannot be read: {describe(error)}. {again}") from error
        if meta.sha256 != meta.digest():
            raise UserError(f"{path} was changed after it was written, or by an earlier version. {again}")
        made_of = fingerprint(meta.task, meta.version, meta.variant, meta.parameters)
        if (meta.task, meta.fingerprint, made_of) != (folder.parent.name, folder.name, folder.name):
            raise UserError(
                f"{path} describes the {meta.variant} data {meta.task}/{made_of}, not those of its folder. {again}"
            )
        return meta


class Prepared:
    """A committed folder, opened: `meta`, and arrays as memory maps."""

    def __init__(self, folder: Path, meta: Meta) -> None:
        self.folder, self.meta = folder, meta

    def array(self, name: str) -> np.ndarray:
        """The array as a read-only memory map. Raises UserError if it cannot be read."""
        path = self.folder / f"{name}.npy"
        try:
            return np.load(path, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise UserError(f"{path} cannot be read: {error}. Delete the folder and prepare again.") from error

    def verify(self) -> None:
        """Compare every array with its sha256 in meta.json. Raises UserError naming the first that differs."""
        for name, info in self.meta.arrays.items():
            path = self.folder / f"{name}.npy"
            if (found := file_sha256(path)) != info.sha256:
                raise UserError(
                    f"{path} has sha256 {found}, but {META} says {info.sha256}: the prepared data is damaged. "
                    f"Delete the folder {self.folder} and prepare again."
                )

    def check(self) -> None:
        """`verify`, unless the files are those verified before, by size, times and inode."""
        stamps = self._stamps()
        note = self.folder / VERIFIED
        if _verified.get(self.folder) == stamps or read_json(note) == stamps:
            return
        self.verify()
        self.note(stamps)

    def note(self, stamps: dict[str, list[int | str]] | None = None) -> None:
        """Remember that the arrays are what meta.json says, in the folder too if it can be written."""
        _verified[self.folder] = stamps or self._stamps()
        with suppress(UserError):
            write_text(self.folder / VERIFIED, json.dumps(_verified[self.folder], indent=1) + "\n")

    def _stamps(self) -> dict[str, list[int | str]]:
        """Hash, size, times and inode of each array. Raises UserError if one is missing or of the wrong size."""
        stamps: dict[str, list[int | str]] = {}
        for name, info in self.meta.arrays.items():
            path = self.folder / f"{name}.npy"
            stat = path.stat() if path.is_file() else None
            if stat is None or stat.st_size != info.bytes:
                raise UserError(
                    f"Prepared data is damaged: {path} is missing or of the wrong size. Delete the folder and "
                    "prepare again."
                )
            stamps[name] = [info.sha256, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino]
        return stamps


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

    def save_classes(self, split: str, y: np.ndarray, classes: int) -> None:
        """Write the class of each sample as `<split>_y`, and note how many samples there are of each."""
        self.save(f"{split}_y", y.astype(np.uint8))
        self.counts[split] = len(y)
        self.facts[f"{split}_classes"] = np.bincount(y, minlength=classes).tolist()

    def create(self, name: str, shape: tuple[int, ...], dtype: np.typing.DTypeLike) -> np.memmap:
        """An array on disk to be filled piece by piece; flush it and call `adopt` when it is complete.

        The space is claimed at once: a full disk is an OSError here, not a signal while filling.
        """
        path = self.folder / f"{name}.npy"
        array = np.lib.format.open_memmap(path, mode="w+", dtype=dtype, shape=shape)
        if hasattr(os, "posix_fallocate"):  # macOS has none
            with open(path, "r+b") as file:
                os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
        return array

    def reopen(self, name: str) -> np.memmap:
        """An array that `create` made before an interruption."""
        return np.lib.format.open_memmap(self.folder / f"{name}.npy", mode="r+")

    def adopt(self, name: str) -> None:
        """Take a finished `<name>.npy` of the folder into the record."""
        path = self.folder / f"{name}.npy"
        sync(path)
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
        self.fingerprint = fingerprint(task, version, variant, parameters)
        self.data_dir = Path(data_dir)
        self.folder = self.data_dir / task / self.fingerprint

    def open(self) -> Prepared | None:
        """The prepared data, checked, or None if there is none. Raises UserError if what lies there is damaged."""
        try:
            if not self.folder.exists():
                return None
            prepared = Prepared(self.folder, Meta.read(self.folder))
            prepared.check()
        except OSError as error:
            raise UserError(f"{self.folder} cannot be read: {error.strerror}.") from error
        return prepared

    def prepare(self, build: Callable[[Writer], None], resume: bool = False) -> Prepared:
        """Open the data; if there is none, let `build` write it, once however many processes ask.

        With `resume`, `build` finds in its folder what it had written when it was last killed or interrupted.
        """
        if prepared := self.open():
            return prepared
        with ExitStack() as held:
            try:
                held.enter_context(locked(self.folder.with_name(f"{self.fingerprint}.lock"), wait=True))
            except OSError as error:
                raise UserError(
                    f"The data of {self.task} are not prepared yet, and {self.folder.parent} cannot be written: "
                    f"{error.strerror}. Choose another data_dir=…, or fix the folder."
                ) from error
            if prepared := self.open():
                return prepared
            temporary = self.folder.with_name(f".{self.fingerprint}.partial")
            if not resume:
                shutil.rmtree(temporary, ignore_errors=True)  # of a process that was killed
            keep = False
            try:
                temporary.mkdir(exist_ok=True)
                writer = Writer(temporary, self.data_dir)
                build(writer)
                self._commit(writer)
            except OSError as error:
                where = temporary if temporary.exists() else temporary.parent
                raise UserError(
                    f"Preparing {self.task} in {temporary} failed: {error}. Nothing was kept. "
                    f"{shutil.disk_usage(where).free / 1e9:.1f} GB are free there: if that is too little, "
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
        if empty := [split for split, count in writer.counts.items() if count < 1]:
            raise UserError(f"{self.task} would have no {' and no '.join(empty)} samples. Give more raw data.")
        meta = Meta(
            task=self.task,
            fingerprint=self.fingerprint,
            version=self.version,
            variant=self.variant,
            parameters=json.loads(json.dumps(self.parameters)),
            counts=writer.counts,
            facts=writer.facts,
            arrays=writer.arrays,
        )
        meta.sha256 = meta.digest()
        write_text(writer.folder / META, meta.model_dump_json(indent=2) + "\n")
        os.replace(writer.folder, self.folder)
        sync_folder(self.folder.parent)
        Prepared(self.folder, meta).note()


def fingerprint(task: str, version: int, variant: Variant, parameters: dict[str, Any]) -> str:
    """16 hex digits that stand for everything the arrays depend on."""
    key = json.dumps([task, version, variant, parameters], sort_keys=True)
    return hashlib.sha256(key.encode()).hexdigest()[:16]
