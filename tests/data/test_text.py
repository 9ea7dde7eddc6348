"""Text: the published tokenisation against plain Python, sources, protocols, errors."""

import io
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lra.data import sources, text
from lra.data.text import Text, content_sha256
from lra.errors import UserError

REVIEWS = [
    ("train", 1, "Très bon! " * 4),
    ("train", 0, "bad bad — awful"),
    ("train", 1, "ünïcode 😀 counts as one character " * 3),
    ("train", 0, "a"),
    ("train", 1, "line\tbreak\x85 here"),
    ("test", 0, "zzz unknown: Ω"),
    ("test", 1, "good"),
    ("test", 1, "good"),
]


def parquet(path: Path, rows: list[tuple]) -> Path:
    split, label, texts = map(list, zip(*rows, strict=True))
    pq.write_table(pa.table({"split": split, "label": label, "text": texts}), path)
    return path


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return parquet(tmp_path / "imdb.parquet", REVIEWS)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "aclImdb"
    for split in ("train", "test"):
        for name in ("neg", "pos", "unsup"):
            (root / split / name).mkdir(parents=True)
    for i, (split, label, content) in enumerate(REVIEWS):
        (root / split / ("neg", "pos")[label] / f"{i}_7.txt").write_bytes(content.encode())
    (root / "train" / "unsup" / "0_0.txt").write_text("unlabeled")
    return root


def plain(max_length: int, min_freq: int) -> tuple[list[str], dict[str, list[tuple[list[int], int]]]]:
    """Vocabulary and encoded rows as torchtext and the S4 code make them."""
    counter: Counter = Counter()
    for split, _, content in REVIEWS:
        if split == "train":
            counter.update(list(content)[: max_length - 1])
    kept = [c for c, n in sorted(counter.items(), key=lambda pair: (-pair[1], pair[0])) if n >= min_freq]
    symbols = ["<pad>", "<unk>", "<eos>", *kept]
    rows: dict[str, list[tuple[list[int], int]]] = {"train": [], "test": []}
    for split, label, content in sorted(REVIEWS, key=lambda row: (row[0], row[1], row[2])):
        cut = list(content)[: max_length - 1]
        rows[split].append(([symbols.index(c) if c in kept else 1 for c in cut] + [2], label))
    return symbols, rows


def test_the_files_of_hugging_face(tmp_path: Path) -> None:
    folder = tmp_path / "imdb" / "plain_text"
    folder.mkdir(parents=True)
    for split in ("train", "test", "unsupervised"):
        rows = [(label, text) for name, label, text in REVIEWS if name == split] or [(-1, "unlabeled")]
        table = pa.table(dict(zip(("label", "text"), map(list, zip(*rows, strict=True)), strict=True)))
        pq.write_table(table, folder / f"{split}-00000-of-00001.parquet")
    files = folder, folder.parent, parquet(tmp_path / "imdb.parquet", REVIEWS)
    a, *others = (Text(min_freq=1, path=str(path)).prepare(tmp_path / "data").folder for path in files)
    assert others == [a, a]  # the same content is the same prepared set


@pytest.mark.parametrize(("max_length", "min_freq"), [(4096, 2), (12, 1), (12, 3)])
def test_tokens_are_those_of_the_published_code(file: Path, tmp_path: Path, max_length: int, min_freq: int) -> None:
    task = Text(max_length=max_length, min_freq=min_freq, path=str(file))
    prepared = task.prepare(tmp_path / "data")
    symbols, rows = plain(max_length, min_freq)
    assert prepared.meta.facts["vocabulary"] == symbols
    assert task.spec_of(prepared).inputs == len(symbols)
    for split in ("train", "test"):
        data = task.dataset(prepared, split)
        for i, (expected, label) in enumerate(rows[split]):
            batch = data[np.array([i])]
            assert batch.x[0].tolist() == expected
            assert batch.y.item() == label
    lengths = task.dataset(prepared, "train").lengths
    assert lengths.max() <= max_length


def test_the_test_set_is_the_papers_validation_set(file: Path, tmp_path: Path) -> None:
    task = Text(path=str(file))
    prepared = task.prepare(tmp_path)
    assert task.spec.protocol == "test_as_validation"
    assert dict(task.spec.splits) == {"train": 25_000, "val": 25_000, "test": 25_000}
    assert prepared.meta.counts == {"train": 5, "val": 3, "test": 3}
    a, b = (task.dataset(prepared, split)[np.arange(3)] for split in ("val", "test"))
    assert a.x.tolist() == b.x.tolist()


def test_held_out_protocol(tmp_path: Path) -> None:
    rows = [("train", i % 2, f"text {i:03d}") for i in range(40)] + [("test", i % 2, "t") for i in range(4)]
    task = Text(protocol="held_out", min_freq=1, path=str(parquet(tmp_path / "x.parquet", rows)))
    prepared = task.prepare(tmp_path)
    assert task.spec.protocol == "held_out"
    assert dict(task.spec.splits) == {"train": 22_500, "val": 2_500, "test": 25_000}
    assert prepared.meta.counts == {"train": 36, "val": 4, "test": 4}
    symbols = prepared.meta.facts["vocabulary"]
    seen = []
    for split in ("train", "val"):
        data = task.dataset(prepared, split)
        seen += ["".join(symbols[t] for t in row[:-1]) for row in data[np.arange(len(data))].x.tolist()]
    assert sorted(seen) == sorted(content for split, _, content in rows if split == "train")


def test_folder_and_file_give_the_same_data(file: Path, folder: Path, tmp_path: Path) -> None:
    a = Text(path=str(file)).prepare(tmp_path / "a")
    for path in (folder, folder.parent):
        b = Text(path=str(path)).prepare(tmp_path / "b")
        assert a.meta == b.meta


def test_litter_is_not_a_review(file: Path, folder: Path, tmp_path: Path) -> None:
    (folder / "train" / "pos" / "._9_9.txt").write_bytes(b"\xff\xfe")
    assert Text(path=str(folder)).prepare(tmp_path / "a").meta == (Text(path=str(file)).prepare(tmp_path / "b").meta)


def test_labels_of_any_number_type(file: Path, tmp_path: Path) -> None:
    rows = [(split, float(label), content) for split, label, content in REVIEWS]
    path = parquet(tmp_path / "floats.parquet", rows)
    assert Text(path=str(path)).prepare(tmp_path / "a").meta == Text(path=str(file)).prepare(tmp_path / "b").meta


def official(monkeypatch: pytest.MonkeyPatch, rows: list[tuple]) -> None:
    """Take these reviews for the labeled ones, and Hugging Face for a library that delivers them."""
    import datasets

    reviews = text._sorted(
        {s: [text.Row(r[1], r[2], "here") for r in REVIEWS if r[0] == s] for s in ("train", "test")}, "test"
    )
    monkeypatch.setattr(text, "CONTENT_SHA256", content_sha256(reviews))
    monkeypatch.setattr(sources.urllib.request, "urlopen", lambda *a, **k: io.BytesIO())

    def load_dataset(name: str, revision: str, cache_dir: str) -> dict:
        assert (name, revision) == (text.REPOSITORY, text.REVISION)
        return {
            split: {
                "label": [r[1] for r in rows if r[0] == split],
                "text": [r[2] for r in rows if r[0] == split],
            }
            for split in ("train", "test")
        }

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)


def test_download_is_hugging_faces(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    official(monkeypatch, REVIEWS[::-1])
    a = Text().prepare(tmp_path / "a")
    assert a.meta.variant == "official"
    assert Text(path=str(file)).prepare(tmp_path / "b").meta == a.meta
    monkeypatch.undo()


def test_a_download_of_other_reviews_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    official(monkeypatch, [*REVIEWS[1:], ("train", 1, "something else")])
    with pytest.raises(UserError, match="gave reviews with content sha256"):
        Text().prepare(tmp_path)
    assert not list(tmp_path.rglob("*.npy"))


def test_errors(tmp_path: Path, folder: Path) -> None:
    def error(path: Path) -> str:
        with pytest.raises(UserError) as caught:
            Text(path=str(path)).prepare(tmp_path / "data")
        assert not list((tmp_path / "data").rglob("*.npy"))
        return str(caught.value)

    assert "row 8: label 2" in error(parquet(tmp_path / "a.parquet", [*REVIEWS, ("train", 2, "x")]))
    assert "row 8: label 0.5" in error(parquet(tmp_path / "c.parquet", [*REVIEWS, ("train", 0.5, "x")]))
    assert "row 8: None in place of a text" in error(parquet(tmp_path / "d.parquet", [*REVIEWS, ("train", 1, None)]))
    assert "row 8: the split is 'validation'" in error(
        parquet(tmp_path / "e.parquet", [*REVIEWS, ("validation", 1, "x")])
    )
    assert "no test reviews" in error(parquet(tmp_path / "b.parquet", REVIEWS[:5]))
    bad = folder / "train" / "pos" / "9_9.txt"
    bad.write_bytes(b"\xff\xfe")
    assert f"{bad} is not UTF-8" in error(folder)


def test_a_large_alphabet_needs_more_than_a_byte(tmp_path: Path) -> None:
    letters = "".join(chr(0x4E00 + i) for i in range(400))
    rows = [("train", 1, letters), ("train", 0, "x"), ("test", 0, letters[::-1]), ("test", 1, "x")]
    task = Text(min_freq=1, path=str(parquet(tmp_path / "x.parquet", rows)))
    prepared = task.prepare(tmp_path)
    symbols = prepared.meta.facts["vocabulary"]
    batch = task.dataset(prepared, "test")[np.array([0])]
    assert "".join(symbols[t] for t in batch.x[0, :-1]) == letters[::-1]
