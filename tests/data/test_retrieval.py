"""Retrieval: the official files line by line, documents stored once, the other form of the data, errors."""

import gzip
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lra.data import retrieval
from lra.data.retrieval import NAMES, Retrieval
from lra.errors import UserError

A, B, C = "paper a: été", 'paper "b", quoted "', "c" * 30
PAIRS = {
    "train": [("1.0", A, B), ("0.0", A, C), ("1", C, B), ("0", B, A)],
    "val": [("0.0", B, A + " new letters: Ω")],
    "test": [("1.0", C, C), ("0.0", A, B)],
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small lra_release/, taken for the whole."""
    place = tmp_path / "lra_release" / "lra_release" / "tsv_data"
    place.mkdir(parents=True)
    for split, pairs in PAIRS.items():
        ends = "\r\n" if split == "val" else "\n"
        lines = (f"{label}\tP{i}\tQ{i}\t{a}\t{b}{ends}" for i, (label, a, b) in enumerate(pairs))
        (place / NAMES[split]).write_bytes("".join(lines).encode())
    monkeypatch.setattr(retrieval, "SPLITS", {split: len(pairs) for split, pairs in PAIRS.items()})
    return place


@pytest.mark.parametrize("max_length", [4000, 10])
def test_pairs_are_those_of_the_files(folder: Path, tmp_path: Path, max_length: int) -> None:
    task = Retrieval(max_length=max_length, path=str(tmp_path))
    prepared = task.prepare(tmp_path / "data")
    assert prepared.meta.variant == "official"
    symbols = prepared.meta.facts["vocabulary"]
    trained = {c for _, *texts in PAIRS["train"] for text in texts for c in text[: max_length - 1]}
    assert set(symbols[3:]) == trained
    assert task.spec_of(prepared).inputs == len(symbols)
    assert task.spec.inputs == 98  # as published, whatever was prepared
    for split, pairs in PAIRS.items():
        data = task.dataset(prepared, split)
        batch = data[np.arange(len(pairs))]
        assert batch.x.shape[0] == len(batch.lengths) == 2 * len(pairs)
        texts = [text for side in (1, 2) for text in (pair[side] for pair in pairs)]
        for row, length, text in zip(batch.x, batch.lengths, texts, strict=True):
            cut = text[: max_length - 1]
            expected = [symbols.index(c) if c in trained else 1 for c in cut] + [2]
            assert row[:length].tolist() == expected
            assert (row[length:] == 0).all()
        assert batch.y.tolist() == [int(float(label)) for label, _, _ in pairs]


def test_every_document_is_stored_once(folder: Path, tmp_path: Path) -> None:
    prepared = Retrieval(path=str(tmp_path)).prepare(tmp_path / "data")
    assert prepared.meta.facts["documents"] == 4
    assert prepared.meta.counts == {split: len(pairs) for split, pairs in PAIRS.items()}


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("", "has 1 columns; expected label, id1, id2, text1, text2"),
        ("1.0\ta\tb\tonly one text", "has 4 columns"),
        ("2\ta\tb\tx\ty", "unknown label '2'; expected 0 or 1"),
    ],
)
def test_wrong_lines_are_named(folder: Path, tmp_path: Path, line: str, message: str) -> None:
    path = folder / NAMES["test"]
    path.write_text(path.read_text() + line + "\n")
    with pytest.raises(UserError) as caught:
        Retrieval(path=str(tmp_path)).prepare(tmp_path / "data")
    assert f"{path}, line 3" in str(caught.value)
    assert message in str(caught.value)
    assert not list((tmp_path / "data").rglob("*.npy"))


@pytest.mark.parametrize("split", ["train", "test"])
def test_a_file_that_is_cut_off_makes_a_subset(folder: Path, tmp_path: Path, split: str) -> None:
    path = folder / NAMES[split]
    path.write_text("\n".join(path.read_text().splitlines()[:-1]) + "\n")
    assert Retrieval(path=str(tmp_path)).prepare(tmp_path / "data").meta.variant == "subset"


def documents(folder: Path, rows: list[str]) -> Path:
    path = folder / "acl_docs.parquet"
    pq.write_table(pa.table({"id": ["a", "b", "c"], "text": [A, B, C]}), path)
    with gzip.open(folder / "acl_pairs.tsv.gz", "wt") as file:
        file.write("\n".join(["split\tlabel\tid1\tid2", *rows]) + "\n")
    return path


def test_other_documents_are_a_stand_in(tmp_path: Path) -> None:
    path = documents(tmp_path, ["train\t1\ta\tb", "val\t0\tb\tc", "test\t1\tc\ta"])
    task = Retrieval(path=str(path))
    prepared = task.prepare(tmp_path / "data")
    assert prepared.meta.variant == "standin"
    symbols = prepared.meta.facts["vocabulary"]
    batch = task.dataset(prepared, "train")[np.array([0])]
    first = batch.x[0, : batch.lengths[0] - 1]
    assert "".join(symbols[t] for t in first) == A


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (["train\t1\ta\tmissing"], "no 'missing' in the header or among the documents"),
        (["dev\t1\ta\tb"], "unknown split 'dev'"),
        (["train\tyes\ta\tb"], "unknown label 'yes'"),
        (["train\t1\ta\tb"], "no pairs in val, test"),
    ],
)
def test_wrong_pairs(tmp_path: Path, rows: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        Retrieval(path=str(documents(tmp_path, rows))).prepare(tmp_path / "data")


def test_pairs_must_lie_beside_the_documents(tmp_path: Path) -> None:
    path = documents(tmp_path, [])
    (tmp_path / "acl_pairs.tsv.gz").unlink()
    with pytest.raises(UserError, match=r"<name>_pairs\.tsv\.gz beside it"):
        Retrieval(path=str(path)).prepare(tmp_path / "data")
