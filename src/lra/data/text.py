"""Text: is a film review of IMDB positive, from its characters (card: data/README.md).

As in the S4 and DSS code: Unicode characters, the first max_length − 1 and `<eos>`, 4096 for S4D and 2048 for
DSS; characters seen fewer than 15 times in the cut training texts become `<unk>`.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from lra.bounds import Count
from lra.data import standin
from lra.data.characters import PAD, CharacterTask, count_characters, vocabulary, write_tokens
from lra.data.datasets import TokenSequences
from lra.data.samples import labels, text
from lra.data.sources import Remote, hub_files, not_found, parquet_columns
from lra.data.spec import TaskSpec
from lra.data.splits import random_split
from lra.data.storage import Prepared, Writer
from lra.data.task import Progress, silent
from lra.errors import UserError, choose
from lra.files import listed
from lra.options import checked
from lra.vocabulary import Protocol, RawSource, Variant

REPOSITORY, REVISION = "stanfordnlp/imdb", "e6281661ce1c48d982bc483cf8a173c1bbeb5d31"
SIZES = {"train": 25_000, "test": 25_000}
CONTENT_SHA256 = "b69e22eba543cf09ca21121961681f5df584c2d85ce51679c8809f5aac100e2e"  # see `content_sha256`
Reviews = dict[str, tuple[list[str], np.ndarray]]  # split → texts, classes (1: positive)


class Row(NamedTuple):
    label: Any
    text: Any
    where: str  # for people


class Text(CharacterTask):
    """IMDB reviews, character by character.

    `protocol` test_as_validation is the papers': all 25,000 training reviews train, and the test set chooses
    the epoch. held_out keeps a tenth of the training reviews for that (random, seed 42).
    Files: the official folder `aclImdb/`; a parquet file with columns split, label (0 or 1) and text; or, as `path`,
    the folder with Hugging Face's parquet files.
    """

    version = 1
    needs = "a download of 84 MB"

    @checked
    def __init__(
        self,
        *,
        max_length: Count = 4096,
        min_freq: Count = 15,
        protocol: Protocol = "test_as_validation",
        source: RawSource | None = None,
        path: str | None = None,
    ) -> None:
        super().__init__(source, path)
        self.max_length, self.min_freq = max_length, min_freq
        self.protocol = protocol
        splits = {name: len(rows) for name, rows in self._rows(SIZES).items()}
        inputs = 129 if max_length == 2048 else 134  # measured on the official reviews
        self.published = TaskSpec("text", "tokens", inputs, max_length, 2, splits, protocol=self.protocol)

    def provenance(self, data_dir: Path) -> tuple[Variant, dict[str, Any]]:
        raw = self.raw(data_dir)
        options = {"max_length": self.max_length, "min_freq": self.min_freq, "protocol": self.protocol}
        if self.source == "standin":
            return "standin", options
        if self.source == "download" and _folder(raw) is None:
            return "official", options | {"content_sha256": CONTENT_SHA256}
        reviews = _read_files(raw, silent)
        found = content_sha256(reviews)
        if found == CONTENT_SHA256:
            variant: Variant = "official"
        else:
            variant = "modified" if _sizes(reviews) == SIZES else "subset"
        return variant, options | {"content_sha256": found}

    def build(self, writer: Writer, progress: Progress) -> None:
        raw = self.raw(writer.data_dir)
        if self.source == "standin":
            reviews = standin.reviews()
        elif self.source == "download" and _folder(raw) is None:
            reviews = _download(raw)
        else:
            reviews = _read_files(raw, progress)
        symbols = vocabulary(count_characters(reviews["train"][0], self.max_length), self.min_freq)
        writer.facts["vocabulary"] = symbols
        for split, rows in self._rows(_sizes(reviews)).items():
            if split == "val" and self.protocol == "test_as_validation":
                writer.counts["val"] = len(rows)  # the arrays are those of the test split
                continue
            texts, y = reviews["test" if split == "test" else "train"]
            write_tokens(writer, split, [texts[row] for row in rows], symbols, self.max_length, progress)
            writer.save_classes(split, y[rows], 2)

    def dataset(self, prepared: Prepared, split: str) -> TokenSequences:
        if split == "val" and self.protocol == "test_as_validation":
            split = "test"
        tokens, offsets, y = (prepared.array(f"{split}_{part}") for part in ("tokens", "offsets", "y"))
        return TokenSequences(tokens, offsets, y, pad=PAD)

    def _rows(self, sizes: dict[str, int]) -> dict[str, np.ndarray]:
        """Rows of each split in the official train or test part."""
        train, test = np.arange(sizes["train"]), np.arange(sizes["test"])
        if self.protocol == "test_as_validation":
            return {"train": train, "val": test, "test": test}
        held = len(train) // 10
        return {**random_split({"train": len(train) - held, "val": held}), "test": test}


def content_sha256(reviews: Reviews) -> str:
    """Hex sha256 of the labeled reviews, whatever file they came from: split, class, text, in sorted order."""
    digest = hashlib.sha256()
    for split, (texts, y) in reviews.items():
        for review, label in zip(texts, y, strict=True):
            digest.update(f"{split}\0{label}\0{review}\0".encode())
    return digest.hexdigest()


def _sorted(rows: dict[str, list[Row]], source: object) -> Reviews:
    """Reviews by class and text: the order must not depend on the kind of file.

    Raises UserError naming the place of a label other than 0 and 1, and of what is not a text or empty.
    """
    reviews = {}
    for split, found in rows.items():
        if not found:
            raise UserError(f"{source}: no {split} reviews; expected splits train and test.")
        places = [row.where for row in found]
        y = labels([row.label for row in found], 2, places.__getitem__)
        pairs = sorted((label, text(row.text, row.where)) for label, row in zip(y.tolist(), found, strict=True))
        reviews[split] = [review for _, review in pairs], np.array([label for label, _ in pairs])
    return reviews


def _sizes(reviews: Reviews) -> dict[str, int]:
    return {split: len(y) for split, (_, y) in reviews.items()}


def _folder(raw: Path) -> Path | None:
    """The official folder at or below `raw`, or `raw` itself if it is a file."""
    candidates = [path for path in (raw, raw / "aclImdb") if (path / "train" / "pos").is_dir()]
    return raw if raw.is_file() else next(iter(candidates), None)


def _read_files(raw: Path, progress: Progress) -> Reviews:
    folder = _folder(raw)
    rows: dict[str, list[Row]] = {split: [] for split in SIZES}
    for split, paths in hub_files(raw, SIZES).items() if folder is None else ():
        for path in paths:
            table = parquet_columns(path, ("label", "text"))
            samples = enumerate(zip(table["label"], table["text"], strict=True))
            rows[split] += [Row(*sample, f"{path}, row {i}") for i, sample in samples]
    if all(rows.values()):
        return _sorted(rows, raw)
    if folder is None:
        raise not_found(
            "the IMDB reviews",
            [raw / "train" / "pos", raw / "aclImdb" / "train" / "pos"],
            "Unpack aclImdb_v1.tar.gz (84,125,825 bytes) from https://ai.stanford.edu/~amaas/data/sentiment/ there, "
            "give a parquet file as task.path, or the folder with Hugging Face's, or let them be downloaded with "
            "task.source=download.",
        )
    if folder.is_file():
        table = parquet_columns(folder, ("split", "label", "text"))
        columns = zip(table["split"], table["label"], table["text"], strict=True)
        for i, (split, label, review) in enumerate(columns):
            where = f"{folder}, row {i}"
            if choose(f"{where}: the split", split, (*SIZES, "unsupervised")) in rows:
                rows[split].append(Row(label, review, where))
        return _sorted(rows, folder)
    for split in rows:
        for label, name in enumerate(("neg", "pos")):
            for path in listed(folder / split / name, "*.txt"):
                try:
                    rows[split].append(Row(label, path.read_bytes().decode("utf-8"), str(path)))
                except UnicodeDecodeError as error:
                    raise UserError(f"{path} is not UTF-8 text: {error}. Unpack aclImdb_v1.tar.gz again.") from None
            progress("reading aclImdb", len(rows[split]), SIZES[split])
    return _sorted(rows, folder)


def _download(raw: Path) -> Reviews:
    """The reviews from Hugging Face, at a fixed revision, checked against the official ones."""

    def call() -> Reviews:
        import datasets

        cache = str(raw / "huggingface")
        parts = datasets.load_dataset(REPOSITORY, revision=REVISION, cache_dir=cache)
        rows = {
            split: [
                Row(label, review, f"{REPOSITORY}, {split} row {i}")
                for i, (label, review) in enumerate(zip(parts[split]["label"], parts[split]["text"], strict=True))
            ]
            for split in SIZES
        }
        return _sorted(rows, REPOSITORY)

    reviews = Remote(
        what="The labeled part of IMDB",
        url=f"https://huggingface.co/datasets/{REPOSITORY}",
        file="aclImdb_v1.tar.gz (84,125,825 bytes; https://ai.stanford.edu/~amaas/data/sentiment/), or the "
        "two parquet files",
        place="aclImdb/ (the unpacked archive)",
        task="text",
    ).fetch(raw, call)
    if (found := content_sha256(reviews)) != CONTENT_SHA256:
        raise UserError(
            f"{REPOSITORY} at {REVISION} gave reviews with content sha256 {found}; the official ones have "
            f"{CONTENT_SHA256}. Delete {raw / 'huggingface'} and try again, or use aclImdb_v1.tar.gz."
        )
    return reviews
