"""CIFAR-10 as sequences of 1024 pixels: grey (the arena's Image) or RGB (sequential CIFAR). Card: data/README.md.

As in the S4 code: rows of the image one after the other, no augmentation; grey is ITU-R 601 luma in PIL's
integers, normalized with mean 122.6 and deviation 61.0 of 255; 45,000 / 5,000 by a random split with seed 42.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np

from lra.bounds import Seed
from lra.data import standin
from lra.data.datasets import FeatureSequences
from lra.data.hashes import file_sha256, files_sha256
from lra.data.samples import labels, picture
from lra.data.sources import Remote, hub_files, not_found, npz_arrays, parquet_columns, parquet_names
from lra.data.spec import TaskSpec
from lra.data.splits import random_split
from lra.data.storage import Prepared, Writer
from lra.data.task import Progress, PublishedTask
from lra.errors import UserError, choose
from lra.options import checked
from lra.vocabulary import RawSource, Variant

SPLITS = {"train": 45_000, "val": 5_000, "test": 10_000}
GREY = (122.6, 61.0)
RGB = ((0.4914, 0.4822, 0.4465), (0.247, 0.243, 0.261))
FOLDER, ARCHIVE = "cifar-10-batches-py", "cifar-10-python.tar.gz"
URL = f"https://www.cs.toronto.edu/~kriz/{ARCHIVE}"
SHA256 = "6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce"
ARCHIVE_FACTS = f"170,498,071 bytes, sha256 {SHA256}"
IMAGE_COLUMNS = ("png", "jpeg")
SOURCE_SPLITS = ("train", "test")
Images = dict[str, tuple[np.ndarray, np.ndarray]]  # split → (N, 32, 32, 3) uint8, (N,) classes


class CIFAR10(PublishedTask):
    """CIFAR-10 in `color` grey or rgb; `permutation` seeds a fixed order of the 1024 positions (psCIFAR).

    Files: the official `cifar-10-batches-py/` or the archive it comes in; a parquet file with columns split,
    label, png or jpeg (and index, for the official order); an npz file with x_train, y_train, x_test, y_test; or, as
    `path`, the folder with Hugging Face's parquet files.
    """

    version = 1
    needs = "a download of 170 MB"

    @checked
    def __init__(
        self,
        *,
        color: Literal["grey", "rgb"] = "grey",
        permutation: Seed | None = None,
        source: RawSource | None = None,
        path: str | None = None,
    ) -> None:
        super().__init__(source, path)
        self.color, self.permutation = color, permutation

    @property
    def spec(self) -> TaskSpec:
        name = "image" if self.color == "grey" else "scifar"
        inputs = 1 if self.color == "grey" else 3
        prefix = "" if self.permutation is None else "p"
        return TaskSpec(prefix + name, "features", inputs, 1024, 10, SPLITS)

    @property
    def stored_as(self) -> str:
        return f"cifar10-{self.color}"

    def provenance(self, data_dir: Path) -> tuple[Variant, dict[str, Any]]:
        raw = self.raw(data_dir)
        if self.source == "standin":
            return "standin", {"standin": standin.SIZES}
        if raw.is_file():
            return _variant(_mirror_sizes(raw)), {"raw_sha256": file_sha256(raw)}
        if hub := self._hub(raw):
            sizes = [sum(len(parquet_columns(p, ["label"])["label"]) for p in paths) for paths in hub.values()]
            files = [path for paths in hub.values() for path in paths]
            return _variant(sizes), {"raw_sha256": files_sha256(files, raw, self.hashes(data_dir))}
        if self.source == "files":
            _official_root(raw)
        return "official", {"archive_sha256": SHA256}

    def build(self, writer: Writer, progress: Progress) -> None:
        images = self._images(self.raw(writer.data_dir), progress)
        n = len(images["train"][1])
        rows = random_split({"train": int(0.9 * n), "val": n - int(0.9 * n)})
        rows["test"] = np.arange(len(images["test"][1]))
        for split, index in rows.items():
            x, y = images["test" if split == "test" else "train"]
            x = x[index].reshape(len(index), 1024, 3)
            writer.save(f"{split}_x", to_grey(x) if self.color == "grey" else x)
            writer.save_classes(split, y[index], 10)

    def dataset(self, prepared: Prepared, split: str) -> FeatureSequences:
        if self.color == "grey":
            scale, shift = 1 / GREY[1], -GREY[0] / GREY[1]
        else:
            mean, std = np.array(RGB)
            scale, shift = 1 / (255 * std), -mean / std
        order = None
        if self.permutation is not None:
            order = np.random.RandomState(self.permutation).permutation(1024)
        return FeatureSequences(prepared.array(f"{split}_x"), prepared.array(f"{split}_y"), scale, shift, order)

    def _images(self, raw: Path, progress: Progress) -> Images:
        if self.source == "standin":
            return standin.images()
        if raw.is_file():
            return _read_parquet(raw, progress) if raw.suffix == ".parquet" else _read_npz(raw)
        if hub := self._hub(raw):
            return {split: _read_hub(split, paths, progress) for split, paths in hub.items()}
        if self.source == "files" or _official(raw):
            return _read_official(_official_root(raw))
        remote = Remote("CIFAR-10", URL, f"{ARCHIVE} ({ARCHIVE_FACTS})", f"{ARCHIVE} (no need to unpack it)", "image")
        return remote.fetch(raw, lambda: _read_official(raw))

    def _hub(self, raw: Path) -> dict[str, list[Path]]:
        """Hugging Face's files, where the user says that they are there: their names do not tell the data set."""
        return {} if self.path is None or _official(raw) else hub_files(raw, SOURCE_SPLITS)


def to_grey(rgb: np.ndarray) -> np.ndarray:
    """(…, 3) uint8 -> (…) uint8: PIL's `convert('L')` to the bit."""
    weights = np.array([19595, 38470, 7471], np.uint32)  # 0.299, 0.587, 0.114 of 2**16
    return ((rgb @ weights + np.uint32(0x8000)) >> np.uint32(16)).astype(np.uint8)


def _official(root: Path) -> bool:
    return (root / FOLDER).is_dir() or (root / ARCHIVE).is_file()


def _official_root(raw: Path) -> Path:
    """The folder that holds the official folder or archive."""
    candidates = [raw, raw.parent] if raw.name == FOLDER else [raw]
    for root in candidates:
        if _official(root):
            return root
    raise not_found(
        "CIFAR-10",
        [raw / FOLDER, raw / ARCHIVE],
        f"Put the folder or {ARCHIVE} ({ARCHIVE_FACTS}) there, give a parquet or npz file as task.path, or the folder "
        "with Hugging Face's parquet files, or let it be downloaded with task.source=download.",
    )


def _read_official(root: Path) -> Images:
    """The batches below `root`, read and checked (md5) by torchvision; fetched and unpacked if missing."""
    from torchvision.datasets import CIFAR10 as Torchvision

    try:
        parts = {
            split: Torchvision(root, train=split == "train", download=not (root / FOLDER).is_dir())
            for split in SOURCE_SPLITS
        }
    except RuntimeError as error:
        raise UserError(
            f"{root / FOLDER} is not the official CIFAR-10, a file is missing or its md5 differs ({error}). "
            f"Delete the folder and get {ARCHIVE} ({ARCHIVE_FACTS}) again."
        ) from None
    return {split: (part.data, np.array(part.targets)) for split, part in parts.items()}


def _read_npz(path: Path) -> Images:
    with npz_arrays(path, ("x_train", "y_train", "x_test", "y_test")) as arrays:
        images = {split: (arrays[f"x_{split}"], arrays[f"y_{split}"]) for split in SOURCE_SPLITS}
    for split, (x, y) in images.items():
        if x.shape != (y.size, 32, 32, 3) or x.dtype != np.uint8:
            raise UserError(
                f"{path}: x_{split} is {x.dtype} {x.shape} for {y.size} labels; expected uint8 (N, 32, 32, 3)."
            )
    return {
        split: (x, labels(y, 10, partial("{}: y_{}, row {}".format, path, split))) for split, (x, y) in images.items()
    }


def _read_parquet(path: Path, progress: Progress) -> Images:
    column, ordered = _parquet_layout(path)
    table = parquet_columns(path, ["split", "label", column, *(["index"] if ordered else [])])
    for row, name in enumerate(table["split"]):
        choose(f"{path}, row {row}: the split", name, SOURCE_SPLITS)
    images = {}
    for split in SOURCE_SPLITS:
        rows = [i for i, name in enumerate(table["split"]) if name == split]
        if ordered:
            rows = _in_order(rows, table["index"], path)
        place = [f"{path}, row {row}" for row in rows]
        if not rows:
            raise UserError(f"{path} has no {split} samples; expected splits train and test.")
        encoded, classes = ([table[name][row] for row in rows] for name in (column, "label"))
        images[split] = _decoded(split, encoded, classes, place, progress)
    return images


def _read_hub(split: str, paths: list[Path], progress: Progress) -> tuple[np.ndarray, np.ndarray]:
    """The images of a split, each a struct with the encoded bytes, and their classes."""
    encoded, classes, place = [], [], []
    for path in paths:
        table = parquet_columns(path, ["img", "label"])
        encoded += [None if image is None else image["bytes"] for image in table["img"]]
        classes += table["label"]
        place += [f"{path}, row {row}" for row in range(len(table["label"]))]
    return _decoded(split, encoded, classes, place, progress)


def _decoded(
    split: str, encoded: list[Any], classes: list[Any], place: list[str], progress: Progress
) -> tuple[np.ndarray, np.ndarray]:
    """x (N, 32, 32, 3) uint8 and y (N,) of encoded images; `place` says where each is from."""
    y = labels(classes, 10, place.__getitem__)
    x = np.empty((len(y), 32, 32, 3), np.uint8)
    for row, content in enumerate(encoded):
        x[row] = picture(content, 32, color=True, where=place[row])
        if (row + 1) % 1000 == 0:
            progress(f"decoding {split} images", row + 1, len(y))
    return x, y


def _in_order(rows: list[int], index: list[Any], path: Path) -> list[int]:
    """The rows by their index. Raises UserError if that is not a different whole number in each."""
    seen: dict[int, int] = {}
    for row in rows:
        if not isinstance(index[row], int) or index[row] in seen:
            raise UserError(f"{path}, row {row}: index {index[row]!r}; expected a whole number, each once.")
        seen[index[row]] = row
    return [seen[key] for key in sorted(seen)]


def _parquet_layout(path: Path) -> tuple[str, bool]:
    """The name of the column with the encoded images, and whether there is an index."""
    names = parquet_names(path)
    for column in IMAGE_COLUMNS:
        if column in names:
            return column, "index" in names
    raise UserError(f"{path} has columns {', '.join(names)}; expected split, label and png or jpeg.")


def _variant(sizes: Sequence[int]) -> Variant:
    """Images of other files than the official ones, by their number in train and test."""
    return "modified" if tuple(sizes) == (50_000, 10_000) else "subset"


def _mirror_sizes(path: Path) -> tuple[int, int]:
    """Images of train and test in a parquet or npz file."""
    if path.suffix == ".parquet":
        splits = parquet_columns(path, ["split"])["split"]
        return splits.count("train"), splits.count("test")
    with npz_arrays(path, ("y_train", "y_test")) as arrays:
        return arrays["y_train"].size, arrays["y_test"].size
