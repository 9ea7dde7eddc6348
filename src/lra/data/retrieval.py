"""Retrieval: does one paper of the ACL Anthology Network cite the other, from characters. Card: data/README.md.

As in the S4 and DSS code: Unicode characters, the first 3999 of each document and `<eos>`, every character of
the training documents in the vocabulary; both documents of a pair padded to one length a batch.
"""

from __future__ import annotations

import csv
import gzip
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from lra.bounds import Count
from lra.data import standin
from lra.data.characters import PAD, CharacterTask, count_characters, vocabulary, write_tokens
from lra.data.datasets import TokenPairs, TokenSequences
from lra.data.hashes import file_counts, files_sha256
from lra.data.samples import text
from lra.data.sources import parquet_columns
from lra.data.spec import TaskSpec
from lra.data.storage import Prepared, Writer
from lra.data.task import Progress
from lra.errors import UserError
from lra.options import checked
from lra.vocabulary import RawSource, Variant

SPLITS = {"train": 147_086, "val": 18_090, "test": 17_437}
NAMES = {
    "train": "new_aan_pairs.train.tsv",
    "val": "new_aan_pairs.eval.tsv",
    "test": "new_aan_pairs.test.tsv",
}
DOCUMENTS, PAIRS = "_docs.parquet", "_pairs.tsv.gz"
Pair = tuple[str, int, str, str]  # split, label, the two texts


class Retrieval(CharacterTask):
    """AAN pairs, or other documents in the same form.

    Files: the official `new_aan_pairs.{train,eval,test}.tsv` (no header: label, id1, id2, text1, text2), in
    the folder or below `lra_release/`; or `<name>_docs.parquet` (columns id, text) with `<name>_pairs.tsv.gz`
    (header: split, label, id1, id2) beside it, which is other data than the arena's: a stand-in.
    """

    version = 1
    needs = "a download of 8.2 GB"

    @checked
    def __init__(self, *, max_length: Count = 4000, source: RawSource | None = None, path: str | None = None) -> None:
        super().__init__(source, path)
        self.max_length = max_length
        self.published = TaskSpec("retrieval", "tokens", 98, max_length, 2, SPLITS, paired=True)

    def provenance(self, data_dir: Path) -> tuple[Variant, dict[str, Any]]:
        options = {"max_length": self.max_length}
        if self.source == "standin":
            return "standin", options
        files = self._files(data_dir)
        root, cache = files[0].parent, self.hashes(data_dir)
        if files[0].name.endswith(DOCUMENTS):
            variant: Variant = "standin"
        else:
            whole = file_counts(files, root, cache, _lines) == {NAMES[split]: n for split, n in SPLITS.items()}
            variant = "official" if whole else "subset"
        return variant, options | {"raw_sha256": files_sha256(files, root, cache)}

    def build(self, writer: Writer, progress: Progress) -> None:
        known: dict[str, int] = {}  # each document once: its text, cut → its number
        numbers: dict[str, list[tuple[int, int]]] = {split: [] for split in SPLITS}
        labels: dict[str, list[int]] = {split: [] for split in SPLITS}
        for split, label, *texts in self._pairs(writer.data_dir, progress):
            first, second = (known.setdefault(text[: self.max_length - 1], len(known)) for text in texts)
            numbers[split].append((first, second))
            labels[split].append(label)
        if empty := [split for split, found in labels.items() if not found]:
            raise UserError(
                f"{self.raw(writer.data_dir)}: no pairs in {', '.join(empty)}; expected train, val and test."
            )
        documents = list(known)
        trained = {number for pair in numbers["train"] for number in pair}
        counts = count_characters([documents[number] for number in sorted(trained)], self.max_length)
        symbols = vocabulary(counts, min_freq=1)
        writer.facts["vocabulary"], writer.facts["documents"] = symbols, len(documents)
        write_tokens(writer, "documents", documents, symbols, self.max_length, progress)
        for split in SPLITS:
            writer.save(f"{split}_pairs", np.array(numbers[split], np.int32))
            writer.save_classes(split, np.array(labels[split]), 2)

    def dataset(self, prepared: Prepared, split: str) -> TokenPairs:
        tokens, offsets = prepared.array("documents_tokens"), prepared.array("documents_offsets")
        documents = TokenSequences(tokens, offsets, np.zeros(len(offsets) - 1, np.uint8), pad=PAD)
        return TokenPairs(documents, prepared.array(f"{split}_pairs"), prepared.array(f"{split}_y"))

    def _pairs(self, data_dir: Path, progress: Progress) -> Iterator[Pair]:
        if self.source == "standin":
            documents, splits = standin.document_pairs()
            for split, (pairs, y) in splits.items():
                for (i, j), label in zip(pairs, y, strict=True):
                    yield split, int(label), documents[i], documents[j]
            return
        files = self._files(data_dir)
        if files[0].name.endswith(DOCUMENTS):
            yield from _read_documents(*files)
            return
        for split, path in zip(SPLITS, files, strict=True):
            yield from _read_tsv(path, split, progress)

    def _files(self, data_dir: Path) -> list[Path]:
        """The raw files; downloaded if that is the source and they are not there."""
        raw = self.raw(data_dir)
        if raw.is_file():
            pairs = raw.with_name(raw.name.removesuffix(DOCUMENTS) + PAIRS)
            if not raw.name.endswith(DOCUMENTS) or not pairs.is_file():
                raise UserError(f"task.path={raw}: expected a file <name>{DOCUMENTS} with <name>{PAIRS} beside it.")
            return [raw, pairs]
        names = list(NAMES.values())
        otherwise = f"give other documents as task.path=<name>{DOCUMENTS}."
        folder = self.release_folder(data_dir, "tsv_data", names, otherwise)
        return [folder / name for name in names]


def _lines(path: Path) -> int:
    with open(path, "rb") as file:
        return sum(1 for _ in file)


def _read_tsv(path: Path, split: str, progress: Progress) -> Iterator[Pair]:
    """Lines of an official file. Tabs separate and quotes mean nothing, as the arena's own reader has it."""
    size, done = path.stat().st_size, 0
    with open(path, "rb") as file:
        for number, line in enumerate(file, start=1):
            done += len(line)
            if number % 1000 == 0:
                progress(f"reading {path.name}", done, size)
            try:
                columns = line.decode("utf-8").rstrip("\r\n").split("\t")
            except UnicodeDecodeError as error:
                raise UserError(f"{path}, line {number} is not UTF-8: {error}.") from None
            if len(columns) != 5:
                raise UserError(
                    f"{path}, line {number} has {len(columns)} columns; expected label, id1, id2, text1, text2."
                )
            yield split, _label(columns[0], f"{path}, line {number}"), columns[3], columns[4]


def _read_documents(documents: Path, pairs: Path) -> Iterator[Pair]:
    table = parquet_columns(documents, ("id", "text"))
    texts: dict[str, str] = {}
    for row, (name, content) in enumerate(zip(table["id"], table["text"], strict=True)):
        where = f"{documents}, row {row}"
        if not isinstance(name, str) or name in texts:
            raise UserError(f"{where}: id {name!r}; expected a text, each once.")
        texts[name] = text(content, where)
    try:
        with gzip.open(pairs, "rt", encoding="utf-8", newline="") as file:
            for number, line in enumerate(csv.DictReader(file, delimiter="\t"), start=2):
                where = f"{pairs}, line {number}"
                if None in line or None in line.values():
                    raise UserError(f"{where} has not as many columns as the header.")
                try:
                    split, label, first, second = (line[key] for key in ("split", "label", "id1", "id2"))
                    pair = texts[first], texts[second]
                except KeyError as error:
                    raise UserError(f"{where}: no {error} in the header or among the documents.") from None
                if split not in SPLITS:
                    raise UserError(f"{where}: unknown split {split!r}; expected train, val or test.")
                yield split, _label(label, where), *pair
    except (OSError, EOFError, zlib.error, csv.Error, UnicodeDecodeError) as error:
        raise UserError(
            f"{pairs} cannot be read as gzip of tab-separated text: {error}. It may be cut off: get it again."
        ) from None


def _label(text: str, where: str) -> int:
    if text not in ("0", "1", "0.0", "1.0"):
        raise UserError(f"{where}: unknown label {text!r}; expected 0 or 1.")
    return int(float(text))
