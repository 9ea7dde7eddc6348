"""Hashes and counts of raw files, remembered as long as no name, size or time changes."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from lra.errors import UserError
from lra.files import parse_json, write_text


def file_sha256(path: Path) -> str:
    """Hex sha256 of a file's bytes. Raises UserError if it cannot be read."""
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}.") from error


def files_sha256(files: Iterable[Path], root: Path, cache: Path) -> str:
    """Hex sha256 of many files: of the sorted lines `<name relative to root> <sha256>`. See `_remembered`."""

    def digest(entries: list[tuple[str, Path]]) -> str:
        lines = (f"{name} {file_sha256(path)}\n" for name, path in entries)
        return hashlib.sha256("".join(lines).encode()).hexdigest()

    return _remembered(files, root, cache, "", digest, lambda known: re.fullmatch("[0-9a-f]{64}", str(known)))


def file_counts(files: Iterable[Path], root: Path, cache: Path, count: Callable[[Path], int]) -> dict[str, int]:
    """What `count` says of each file, by its name relative to root. See `_remembered`."""

    def count_all(entries: list[tuple[str, Path]]) -> dict[str, int]:
        return {name: count(path) for name, path in entries}

    what = f"{count.__module__}.{count.__name__} "
    return _remembered(files, root, cache, what, count_all, lambda known: isinstance(known, dict))


def _remembered(
    files: Iterable[Path],
    root: Path,
    cache: Path,
    what: str,
    compute: Callable[[list[tuple[str, Path]]], Any],
    plausible: Callable[[Any], Any],
) -> Any:
    """What `compute` makes of the files, or `cache` (JSON) says of them if no name, size or time has changed."""
    entries = sorted((str(path.relative_to(root)), path) for path in files)
    stamps = hashlib.sha256()
    for name, path in entries:
        stat = path.stat()
        stamps.update(f"{name} {stat.st_size} {stat.st_mtime_ns}\n".encode())
    key = f"{what}{root.resolve()} {stamps.hexdigest()}"
    known = read_json(cache)
    if not plausible(known.get(key)):
        known[key] = compute(entries)
        with suppress(UserError):
            write_text(cache, json.dumps(known, indent=1))
    return known[key]


def read_json(path: Path) -> dict[str, Any]:
    """The object that a JSON file holds; an empty one if it cannot be read."""
    try:
        content = parse_json(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
