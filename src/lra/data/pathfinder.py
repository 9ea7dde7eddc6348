"""Pathfinder (32 × 32) and Path-X (128 × 128): do both marks lie on one dashed path? Card: data/README.md.

The hard level only, split 80/10/10 by a random split with seed 42, rows of the image one after the other.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np

from lra.bounds import Seed
from lra.data.datasets import FeatureSequences
from lra.data.hashes import files_sha256
from lra.data.spec import TaskSpec
from lra.data.splits import random_split
from lra.data.storage import Prepared, Writer
from lra.data.task import Progress, PublishedTask, silent
from lra.errors import UserError
from lra.files import listed, write_text
from lra.options import checked
from lra.vocabulary import GeneratedSource, Variant

NAMES = {32: "pathfinder", 64: "pathfinder64", 128: "pathx", 256: "pathfinder256"}
DURATIONS = {32: "2 minutes", 64: "half an hour", 128: "15 to 30 minutes", 256: "minutes, 13 GB"}  # on two cores
IMAGES = 200_000
STANDIN_IMAGES = 500
CHUNK = 1000
LEVEL = "curv_contour_length_14"  # hard
DONE = "done.txt"  # number of images written, while the arrays are being filled
Chunks = Iterator[tuple[np.ndarray, np.ndarray]]  # images (B, S, S) uint8, labels (B,) uint8


class Pathfinder(PublishedTask):
    """Pathfinder images of one side length, as sequences in [−1, 1] if `centered`, otherwise in [0, 1].

    Source generate makes 200,000 images at the published parameters; files and download read the official
    PNG images and their metadata, below `lra_release/` or in any folder that has the metadata.
    """

    version = 1
    default_source = "generate"
    resumable = True

    @checked
    def __init__(
        self,
        *,
        resolution: Literal[32, 64, 128, 256] = 32,
        centered: bool = True,
        generator_seed: Seed = 0,
        source: GeneratedSource | None = None,
        path: str | None = None,
    ) -> None:
        super().__init__(source, path)
        self.resolution = resolution
        self.needs = f"no download; generated here (two cores: {DURATIONS[resolution]})"
        self.centered, self.generator_seed = centered, generator_seed

    @property
    def spec(self) -> TaskSpec:
        return TaskSpec(NAMES[self.resolution], "features", 1, self.resolution**2, 2, split_sizes(IMAGES))

    def provenance(self, data_dir: Path) -> tuple[Variant, dict[str, Any]]:
        if self.source in ("generate", "standin"):
            from lra.pathfinder import generator

            parameters = {
                "generator_seed": self.generator_seed,
                "images": self._count,
                **asdict(generator.preset(self.resolution)),
            }
            return ("standin" if self.source == "standin" else "regenerated"), parameters
        folder = self._folder(data_dir)
        paths, _ = _official_images(folder)
        files = [*paths, *listed(folder / "metadata", "*.npy")]
        parameters = {"raw_sha256": files_sha256(files, folder, self.hashes(data_dir))}
        return ("official" if len(paths) == IMAGES else "subset"), parameters

    def build(self, writer: Writer, progress: Progress) -> None:
        if self.source in ("generate", "standin"):
            self._fill(writer, self._count, self._generated, partial(progress, "generating images"))
        else:
            paths, labels = _official_images(self._folder(writer.data_dir))
            self._fill(writer, len(paths), partial(self._official, paths, labels), partial(progress, "reading images"))

    def dataset(self, prepared: Prepared, split: str) -> FeatureSequences:
        scale, shift = (2 / 255, -1.0) if self.centered else (1 / 255, 0.0)
        return FeatureSequences(prepared.array(f"{split}_x"), prepared.array(f"{split}_y"), scale, shift)

    def write_official(self, prepared: Prepared, folder: Path, progress: Progress = silent) -> None:
        """Generate the same images as PNG files with metadata, in `folder`/pathfinder<side>/<level>/."""
        if self.source not in ("generate", "standin"):
            raise UserError(f"task.source={self.source}: these images are in the official layout already.")
        from lra.data.pathfinder_layout import level_folder, write_official_layout
        from lra.pathfinder.generator import preset

        parameters, count = preset(self.resolution), self._count
        write_official_layout(
            folder / level_folder(parameters),
            parameters,
            self.generator_seed,
            count,
            self.workers,
            lambda done: progress("writing images", done, count),
        )

    @property
    def _count(self) -> int:
        return STANDIN_IMAGES if self.source == "standin" else IMAGES

    def _fill(self, writer: Writer, count: int, chunks, progress) -> None:
        """Put image i of `chunks(first)` at its place in its split, resuming where an earlier call stopped."""
        rows = random_split(split_sizes(count))
        names = list(rows)
        part, place = np.empty(count, np.int64), np.empty(count, np.int64)
        for number, index in enumerate(rows.values()):
            part[index], place[index] = number, np.arange(len(index))
        shapes: dict[str, tuple[int, ...]] = {}
        shapes |= {f"{name}_x": (len(rows[name]), self.resolution**2) for name in names}
        shapes |= {f"{name}_y": (len(rows[name]),) for name in names}
        marker = writer.folder / DONE
        done, arrays = _left(writer, marker, shapes)
        for images, labels in chunks(done):
            here = np.arange(done, done + len(labels))
            for number, name in enumerate(names):
                mine = part[here] == number
                at = place[here[mine]]
                arrays[f"{name}_x"][at] = images[mine].reshape(-1, self.resolution**2)
                arrays[f"{name}_y"][at] = labels[mine]
            for array in arrays.values():
                array.flush()
            done += len(labels)
            write_text(marker, str(done))
            progress(done, count)
        marker.unlink(missing_ok=True)
        for key in arrays:
            writer.adopt(key)
        for name in names:
            writer.counts[name] = len(rows[name])
            writer.facts[f"{name}_classes"] = np.bincount(arrays[f"{name}_y"], minlength=2).tolist()

    def _generated(self, first: int) -> Chunks:
        from lra.pathfinder import generator

        parameters = generator.preset(self.resolution)
        made = generator.generate(parameters, self.generator_seed, self._count, self.workers, CHUNK, first)
        for _, batch in made:
            yield batch.images, batch.labels

    def _official(self, paths: list[Path], labels: np.ndarray, first: int) -> Chunks:
        from lra.data.pathfinder_layout import read_images

        for start in range(first, len(paths), CHUNK):
            pieces = np.array_split(np.array(paths[start : start + CHUNK], object), self.workers)
            with ThreadPoolExecutor(self.workers) as pool:
                images = np.concatenate(list(pool.map(partial(read_images, size=self.resolution), pieces)))
            yield images, labels[start : start + CHUNK]

    def _folder(self, data_dir: Path) -> Path:
        """The folder of the hard level."""
        otherwise = "generate the images: leave task.source and task.path out."
        return self.release_folder(data_dir, f"pathfinder{self.resolution}/{LEVEL}", ["metadata"], otherwise)


def _left(writer: Writer, marker: Path, shapes: dict[str, tuple[int, ...]]) -> tuple[int, dict[str, np.memmap]]:
    """Images done and the arrays that an interrupted preparation left; none and new ones if they are not whole."""
    try:
        done = int(marker.read_text())
        arrays = {key: writer.reopen(key) for key in shapes}
        if {key: array.shape for key, array in arrays.items()} == shapes:
            return done, arrays
    except (OSError, ValueError):
        pass
    marker.unlink(missing_ok=True)
    return 0, {key: writer.create(key, shape, np.uint8) for key, shape in shapes.items()}


def split_sizes(count: int) -> dict[str, int]:
    """80/10/10, val and test rounded down, as in the S4 code."""
    held = int(0.1 * count)
    return {"train": count - 2 * held, "val": held, "test": held}


def _official_images(folder: Path) -> tuple[list[Path], np.ndarray]:
    from lra.data.pathfinder_layout import read_official_layout

    paths, labels = read_official_layout(folder)
    if len(paths) < 10:
        raise UserError(f"{folder} lists {len(paths)} images; too few to split 80/10/10.")
    return paths, labels
