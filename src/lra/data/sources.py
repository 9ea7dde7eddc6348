"""Raw data: downloads through the libraries made for them, official folders, and parquet or npz mirrors."""

from __future__ import annotations

import tarfile
import urllib.error
import urllib.request
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from lra.data.hashes import files_sha256
from lra.errors import UserError
from lra.files import listed
from lra.terminal import complain

_say_once = cache(complain)

tarfile.TarFile.extraction_filter = staticmethod(tarfile.data_filter)  # no archive writes outside its folder
T = TypeVar("T")
PROBE_SECONDS = 15
LRA_URL = "https://storage.googleapis.com/long-range-arena/lra_release.gz"


@dataclass(frozen=True)
class Remote:
    """A published download, described so that a person can also fetch it by hand."""

    what: str  # the name of the data set
    url: str
    file: str  # its name, size and hash, as far as they are known
    place: str  # where it goes by hand, relative to the raw folder
    task: str  # for the command that continues from there
    then: str = ""  # what else is to be done with it there

    def fetch(self, raw: Path, call: Callable[[], T]) -> T:
        """Run `call`, the library's download. Raises one UserError, at once, if the network is away."""
        try:
            request = urllib.request.Request(self.url, method="HEAD")
            urllib.request.urlopen(request, timeout=PROBE_SECONDS).close()
        except urllib.error.HTTPError as error:
            error.close()
            if error.code not in (403, 405):  # some servers refuse HEAD alone
                raise self._failed(raw, f"the server answered {error.code} {error.reason}") from None
        except OSError as error:
            reason = getattr(error, "reason", error)
            raise self._failed(raw, f"no connection ({reason})") from None
        raw.mkdir(parents=True, exist_ok=True)
        try:
            return call()
        except (OSError, EOFError, RuntimeError, ValueError, tarfile.TarError, zlib.error) as error:
            raise self._failed(raw, f"{type(error).__name__}: {error}") from error

    def _failed(self, raw: Path, reason: str) -> UserError:
        return UserError(
            f"{self.what} is not in {raw}, and the download failed: {reason}.\n"
            f"By hand: get {self.file}\n  from {self.url},\n  put it at {raw / self.place}{self.then}\n"
            f"  and continue with: lra data {self.task} --root {raw}"
        )


def lra_release(raw: Path, folder: str, task: str) -> None:
    """Download the archive of the Long Range Arena and unpack one of its folders below `raw`."""

    def call() -> None:
        import pooch

        pooch.retrieve(
            LRA_URL,
            known_hash=None,  # none was published
            fname="lra_release.gz",
            path=raw,
            processor=pooch.Untar(
                members=[f"lra_release/{folder}", f"lra_release/lra_release/{folder}"], extract_dir="."
            ),
            progressbar=True,
        )

    Remote(
        what=f"{folder} of the Long Range Arena",
        url=LRA_URL,
        file="lra_release.gz (8.23 GB, no published hash)",
        place="lra_release.gz",
        task=task,
        then=f",\n  {unpacked(folder)}",
    ).fetch(raw, call)


def unpacked(folder: str) -> str:
    """How a person unpacks the archive of the Long Range Arena, and which folder they must see then."""
    return (
        "unpack it there with tar -xf lra_release.gz (a tar file in spite of its name), after which there must be "
        f"lra_release/{folder} or lra_release/lra_release/{folder}"
    )


def lra_folders(raw: Path, folder: str) -> list[Path]:
    """Where `folder` of the archive may lie, the best first; `raw` may be that folder itself, or the one around it.

    It unpacks to lra_release/… and lra_release/lra_release/…, which hold some folders twice. The inner one is
    what the instructions of the published code move elsewhere and use.
    """
    inside = [raw / folder, raw / "lra_release" / folder]
    if raw.name == "lra_release":
        inside.reverse()
    return list(dict.fromkeys([raw, raw / "lra_release" / "lra_release" / folder, *inside, raw / Path(folder).name]))


def first_folder(candidates: Iterable[Path], names: Sequence[str], cache: Path) -> Path | None:
    """The first folder that has all `names`, or None. Says so if there are several, and whether they differ.

    Files, or everything in the folder if the names are folders, are compared by their hashes, kept in `cache`.
    """
    found = {folder.resolve(): folder for folder in candidates if all((folder / name).exists() for name in names)}
    folders = list(found.values())
    if len(folders) > 1:
        hashes = {files_sha256(_files(folder, names), folder, cache) for folder in folders}
        content = "the same content" if len(hashes) == 1 else "DIFFERENT content"
        _say_once(f"Reading {folders[0]}; with {content} there is {', '.join(map(str, folders[1:]))}.")
    return folders[0] if folders else None


def raw_folder(
    what: str,
    candidates: Sequence[Path],
    names: Sequence[str],
    cache: Path,
    fetch: Callable[[], None] | None,
    advice: str,
) -> Path:
    """The first folder that has all `names`; if there is none, after `fetch`, if that is given.

    Raises UserError, with `advice`, if there is none then either.
    """
    folder = first_folder(candidates, names, cache)
    if folder is None and fetch is not None:
        fetch()
        folder = first_folder(candidates, names, cache)
    if folder is None:
        raise not_found(what, candidates, advice)
    return folder


def _files(folder: Path, names: Sequence[str]) -> list[Path]:
    if all((folder / name).is_file() for name in names):
        return [folder / name for name in names]
    return [path for path in listed(folder, "**/*") if path.is_file()]


def not_found(what: str, looked: Iterable[Path], advice: str) -> UserError:
    """The one message for raw data that are not there."""
    places = "\n".join(f"  {place}" for place in looked)
    return UserError(f"Not found: {what}. Looked in:\n{places}\n{advice}")


def hub_files(folder: Path, splits: Iterable[str]) -> dict[str, list[Path]]:
    """Parquet files as Hugging Face publishes them, `<split>-00000-of-00001.parquet`, by split; {} if one has none.

    They lie in the folder itself or in its `plain_text/`. Raises UserError if one of several is missing.
    """
    for place in (folder, folder / "plain_text"):
        found = {split: listed(place, f"{split}-[0-9]*-of-[0-9]*.parquet") for split in splits}
        if all(found.values()):
            for paths in found.values():
                count = int(paths[0].stem.rpartition("-")[2])
                if len(paths) != count:
                    raise UserError(f"{paths[0]} is one of {count} files, of which {len(paths)} are there.")
            return found
    return {}


def parquet_columns(path: Path, columns: Sequence[str]) -> dict[str, list[Any]]:
    """Columns of a parquet file as lists. Raises UserError for an unreadable file and for missing columns."""
    import pyarrow
    import pyarrow.parquet

    try:
        _have(path, columns, parquet_names(path))
        table = pyarrow.parquet.read_table(path, columns=list(columns))
    except (pyarrow.ArrowException, OSError) as error:
        raise _not_parquet(path, error) from None
    return {name: table[name].to_pylist() for name in columns}


def parquet_names(path: Path) -> list[str]:
    """The names of the columns of a parquet file. Raises UserError for an unreadable file."""
    import pyarrow
    import pyarrow.parquet

    try:
        return pyarrow.parquet.read_schema(path).names
    except (pyarrow.ArrowException, OSError) as error:
        raise _not_parquet(path, error) from None


def _not_parquet(path: Path, error: Exception) -> UserError:
    reason = str(error).partition("\n")[0].rstrip(".")
    return UserError(f"{path} cannot be read as parquet: {reason}. It may be cut off: get it again.")


@contextmanager
def npz_arrays(path: Path, keys: Sequence[str]) -> Iterator[Any]:
    """The open npz file. Raises UserError for an unreadable file and for missing arrays."""
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as arrays:
            _have(path, keys, arrays.files)
            yield arrays
    except (ValueError, OSError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise UserError(f"{path} cannot be read as npz: {error}. It may be cut off: get it again.") from None


def _have(path: Path, wanted: Sequence[str], found: Sequence[str]) -> None:
    if missing := [name for name in wanted if name not in found]:
        raise UserError(
            f"{path} has no {', '.join(missing)}; it has {', '.join(found)}. Expected: {', '.join(wanted)}."
        )
    if twice := [name for name in wanted if list(found).count(name) > 1]:
        raise UserError(
            f"{path} has {', '.join(twice)} more than once, and it is not known which is meant. Keep one of each."
        )
