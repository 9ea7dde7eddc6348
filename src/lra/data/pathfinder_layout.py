"""The on-disk layout of the official Pathfinder release: PNG files and one metadata file for each thousand of
them.

    pathfinder32/curv_contour_length_14/imgs/<batch>/sample_<k>.png
    pathfinder32/curv_contour_length_14/metadata/<batch>.npy

A metadata row is: folder, file, index, label, continuity, contour_length, distractor_length, paddle_length,
paddle_thickness, paddle margin, number of contrasts. In the release `<batch>.npy` is plain text, a row a
line; the original generator writes NumPy string arrays of the same rows. Both are read; text is written.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterable
from dataclasses import asdict
from pathlib import Path

import numpy as np

from lra.data.samples import picture
from lra.errors import UserError
from lra.files import listed, write_text
from lra.pathfinder.generator import LEVELS, PathfinderBatch, PathfinderParameters, generate

BATCH = 1000
BLACKLIST = {("pathfinder32", "curv_baseline", "imgs", "0", "sample_172.png")}
"""Files of the official release that are empty."""


def level_folder(parameters: PathfinderParameters) -> Path:
    """Where the release keeps such images, as in pathfinder32/curv_contour_length_14."""
    contour = parameters.contour_length
    level = "curv_baseline" if contour == LEVELS["baseline"] else f"curv_contour_length_{contour}"
    return Path(f"pathfinder{parameters.size}", level)


def write_official_layout(
    folder: Path,
    parameters: PathfinderParameters,
    seed: int,
    count: int,
    workers: int = 1,
    progress: Callable[[int], None] = lambda done: None,
) -> None:
    """Generate `count` images into `folder` (see `level_folder`) in the official layout; resume if a run was
    cut short.

    A batch's metadata is written last and marks it complete. `generator.json` notes what the folder is being
    filled with. `progress` is called with the number of images done. Raises UserError if the folder holds
    another set or cannot be written.
    """
    claim = json.dumps({"seed": seed, "count": count, "parameters": asdict(parameters)}, indent=2) + "\n"
    try:
        (folder / "imgs").mkdir(parents=True, exist_ok=True)
        (folder / "metadata").mkdir(exist_ok=True)
        _claim(folder, claim)
        done = 0
        while done < count and _metadata_path(folder, done // BATCH).exists():
            done = min(done + BATCH, count)
        progress(done)
        for first, batch in generate(parameters, seed, count, workers, BATCH, first=done):
            _write_batch(folder, first // BATCH, batch, parameters)
            progress(first + len(batch.labels))
    except OSError as error:
        raise UserError(
            f"Cannot write Pathfinder images to {folder}: {error}. Complete batches are kept; free space or "
            "take another folder, and run the same command again to resume."
        ) from error


def read_official_layout(folder: Path) -> tuple[list[Path], np.ndarray]:
    """The images of one level of the release and their labels (uint8), batches in integer order; none is opened.

    Raises UserError for a missing folder or image, metadata that cannot be parsed, and labels other than 0
    and 1.
    """
    paths, labels = [], []
    known: set[tuple[str, str]] = set()
    for path in _metadata_files(folder):
        present: dict[str, set[str]] = {}
        for number, row in enumerate(_metadata_rows(path), start=1):
            subfolder, file, label = _parse_row(row, f"{path}, row {number}")
            image = folder / subfolder / file
            if (subfolder, file) in known:
                raise UserError(f"{path}, row {number}: {image} is listed twice. Unpack the archive again.")
            known.add((subfolder, file))
            if image.absolute().parts[-5:] in BLACKLIST:
                continue
            if subfolder not in present:
                if Path(subfolder).is_absolute() or ".." in Path(subfolder).parts:
                    raise UserError(f"{path}, row {number}: the folder {subfolder} is outside of {folder}.")
                present[subfolder] = _file_names(folder / subfolder)
            if file not in present[subfolder]:
                raise UserError(f"{image} is missing, though {path} lists it. Unpack the archive again.")
            paths.append(image)
            labels.append(label)
    return paths, np.array(labels, np.uint8)


def read_images(paths: Iterable[Path], size: int) -> np.ndarray:
    """(B, size, size) uint8 grey images. Raises UserError for a file missing, broken or of another size."""
    images = [picture(path, size, color=False, where=str(path)) for path in paths]
    return np.stack(images) if images else np.empty((0, size, size), np.uint8)


def _claim(folder: Path, claim: str) -> None:
    path = folder / "generator.json"
    if path.exists():
        if path.read_text() != claim:
            raise UserError(
                f"{folder} is being filled with another set: {path} differs from the parameters, seed or "
                "count asked for. Take another folder, or remove this one."
            )
    elif any((folder / "metadata").iterdir()):
        raise UserError(f"{folder} holds Pathfinder images that this generator did not make. Take another folder.")
    else:
        write_text(path, claim)


def _write_batch(folder: Path, number: int, batch: PathfinderBatch, p: PathfinderParameters) -> None:
    from PIL import Image

    images = folder / "imgs" / str(number)
    partial = images.with_name(f"{number}.partial")
    for leftover in (images, partial):
        if leftover.exists():
            shutil.rmtree(leftover)
    rows = []
    try:
        partial.mkdir()
        for k, (image, label, margin) in enumerate(zip(batch.images, batch.labels, batch.margins, strict=True)):
            Image.fromarray(image).save(partial / f"sample_{k}.png")
            rows.append(
                f"imgs/{number} sample_{k}.png {k} {label} {p.continuity} {p.contour_length} "
                f"{p.distractor_length} {p.paddle_length} {p.paddle_thickness} {margin} 1\n"
            )
        partial.rename(images)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    write_text(_metadata_path(folder, number), "".join(rows))


def _metadata_path(folder: Path, number: int) -> Path:
    return folder / "metadata" / f"{number}.npy"


def _metadata_files(folder: Path) -> list[Path]:
    expected = f"{folder / 'metadata'}/0.npy, 1.npy … beside {folder / 'imgs'}/0/sample_0.png …"
    files = listed(folder / "metadata", "*.npy")
    if not files:
        levels = ", ".join(sorted(str(m.parent) for m in listed(folder, "*/metadata")))
        hint = f" Perhaps one of: {levels}." if levels else ""
        raise UserError(f"No Pathfinder metadata in {folder}; expected {expected}.{hint}")
    for path in files:
        if not path.stem.isdecimal():
            raise UserError(f"{path} is not named after a batch number; expected {expected}.")
    return sorted(files, key=lambda path: int(path.stem))


def _metadata_rows(path: Path) -> list[list[str]]:
    """The columns of each row, from plain text or from a NumPy string array."""
    try:
        content = path.read_bytes()
        if content.startswith(b"\x93NUMPY"):
            table = np.atleast_2d(np.load(path, allow_pickle=False).astype(str))
            rows = table.reshape(len(table), -1).tolist()
        else:
            rows = [line.split() for line in content.decode("ascii").splitlines()]
    except (OSError, ValueError, EOFError) as error:
        raise UserError(f"{path} is neither a text file nor a NumPy string array of metadata: {error}") from error
    if not rows:
        raise UserError(f"{path} is empty; expected one row of metadata an image. Unpack the archive again.")
    return rows


def _parse_row(row: list[str], where: str) -> tuple[str, str, int]:
    """(folder, file, label)."""
    if len(row) < 4:
        raise UserError(f"{where}: {' '.join(row)!r} has {len(row)} columns; expected folder, file, index, label …")
    subfolder, file, _, label = row[:4]
    if label not in ("0", "1"):
        raise UserError(f"{where}: the label (column 3, counting from 0) is {label!r}; allowed: 0, 1.")
    return subfolder, file, int(label)


def _file_names(folder: Path) -> set[str]:
    return set(os.listdir(folder)) if folder.is_dir() else set()
