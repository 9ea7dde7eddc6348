"""Files: written whole or not at all, locked where the file system can, listed without an operating system's litter."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import secrets
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path, PurePath
from typing import IO, Any, TypeVar

from lra.errors import UserError

NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP)  # what flock answers where it has none
LITTER = ("__MACOSX", "Thumbs.db", "desktop.ini")
T = TypeVar("T")
MOST_LEVELS = 50  # of JSON within JSON; ours has less than ten
ADVICE = "An earlier version of it, if any, is unchanged. Free some space or fix the folder, then run again."


class Busy(Exception):
    """Another process holds the lock."""


@contextmanager
def replacing(target: Path, advice: str = ADVICE) -> Iterator[Path]:
    """A temporary path to write to, which then becomes `target`: that is always its old content or the new.

    Raises UserError, ending with `advice`, when the disk is full or the folder cannot be written.
    """
    temporary = target.parent / f".{target.name}.{secrets.token_hex(4)}.partial"
    try:
        if target.is_dir():  # also '', '.' and '/', which have no name
            raise UserError(f"{target.absolute()} is a folder and cannot be written as a file. Give a file's name.")
        target.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        sync(temporary)
        os.replace(temporary, target)
        sync_folder(target.parent)
    except OSError as error:
        raise UserError(f"{target} could not be written: {error.strerror or error}. {advice}") from error
    finally:
        with suppress(OSError):  # in a folder that cannot be written; the error that matters is under way
            temporary.unlink(missing_ok=True)


def write_text(target: Path, text: str) -> None:
    """Replace a file by `text` in UTF-8, as `replacing` does."""
    write_bytes(target, text.encode())


def write_bytes(target: Path, content: bytes | memoryview, advice: str = ADVICE) -> None:
    """Replace a file by `content`, as `replacing` does."""
    with replacing(target, advice) as temporary:
        temporary.write_bytes(content)


def parse_json(text: str, **options: Any) -> Any:
    """What JSON that others may have written holds; `options` are those of json.loads. Raises ValueError as it does,
    and for what is nested too deeply for the code that is to read it."""
    deep = ValueError("nested too deeply")
    try:
        content = json.loads(text, **options)
    except RecursionError:
        raise deep from None
    level = [content]
    for _ in range(MOST_LEVELS):
        items = (item.values() if isinstance(item, dict) else item for item in level if isinstance(item, (dict, list)))
        if not (level := [child for item in items for child in item]):
            return content
    raise deep


def until_edited(read: Callable[[Path], T]) -> Callable[[Path], T]:
    """Remember what `read` makes of a file, until the file is edited."""

    @cache
    def remembered(file: Path, edited: int) -> T:
        return read(file)

    return lambda file: remembered(file, file.stat().st_mtime_ns)


def sync(path: Path) -> None:
    """Wait until a file, or a folder's list of files, is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_folder(folder: Path) -> None:
    """Make a rename in the folder durable, where the file system can: some have no way, and it is done anyhow."""
    with suppress(OSError):
        sync(folder)


@contextmanager
def locked(path: Path, *, wait: bool) -> Iterator[None]:
    """Hold the lock `path`; it ends with the process, so none is ever stale. Its file is removed with it.

    Raises Busy if another process holds it and `wait` is false, OSError if the file cannot be made. On a file
    system without locks it says so and continues: then the user must see to it that no two processes meet.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    while True:
        with open(path, "a") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            except BlockingIOError:
                raise Busy(str(path)) from None
            except OSError as error:
                if error.errno not in NO_LOCKS:
                    raise
                print(
                    f"{path.parent} is on a file system without locks ({error.strerror}): "
                    "do not start the same command twice at the same time.",
                    file=sys.stderr,
                )
            if not _lies_at(file, path):
                continue  # who held it has removed it since it was opened here
            try:
                yield
            finally:
                with suppress(OSError):
                    path.unlink()
            return


def _lies_at(file: IO[str], path: Path) -> bool:
    """Whether an open file is the one that a path leads to now."""
    try:
        return os.path.samefile(file.fileno(), path)
    except FileNotFoundError:
        return False


def is_litter(path: PurePath) -> bool:
    """Whether an operating system left the file behind, or it is hidden: `._x`, .DS_Store, Thumbs.db, __MACOSX/…"""
    return any((part.startswith(".") and part != "..") or part in LITTER for part in path.parts)


def listed(folder: Path, pattern: str) -> list[Path]:
    """The files and folders that match, sorted, without litter; `**/` in the pattern looks below as well."""
    return sorted(path for path in folder.glob(pattern) if not is_litter(path.relative_to(folder)))


def by_name(folders: Iterable[Path]) -> dict[str, Path]:
    """The YAML files of folders by their stems, sorted. Raises UserError where two have the same."""
    found: dict[str, Path] = {}
    for path in (path for folder in folders for path in listed(folder, "*.yaml")):
        if found.setdefault(path.stem, path) != path:
            raise UserError(f"{path} and {found[path.stem]} have the same name. Rename one of them.")
    return dict(sorted(found.items()))
