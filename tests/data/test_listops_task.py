"""The ListOps task: official files read and written, both line ends, splits, errors."""

from pathlib import Path

import numpy as np
import pytest
from data.reference_listops import parse, symbols, value

from lra.data import listops
from lra.data.listops import OFFICIAL_NAMES, VOCABULARY, ListOps, read_tsv
from lra.data.listops_generator import generate
from lra.errors import UserError

SIZES = {"train": 30, "val": 10, "test": 10}


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """The published sizes, made small."""
    monkeypatch.setattr(listops, "SPLITS", SIZES)


@pytest.fixture
def official(small: None, tmp_path: Path) -> Path:
    """Official files of generated expressions."""
    task = ListOps()
    folder = tmp_path / "lra_release" / "listops-1000"
    task.write_official(task.prepare(tmp_path / "made"), folder)
    return folder


def test_the_official_text_is_that_of_the_release(official: Path) -> None:
    content = (official / OFFICIAL_NAMES["train"]).read_bytes()
    assert content.startswith(b"Source\tTarget\r\n( (")
    assert content.count(b"\r\n") == 1 + SIZES["train"]
    for line in content.decode().splitlines()[1:]:
        source, target = line.split("\t")
        assert value(parse(source)) == int(target)


@pytest.mark.parametrize("ends", ["\r\n", "\n"])
def test_round_trip_with_both_line_ends(official: Path, tmp_path: Path, ends: str) -> None:
    for name in OFFICIAL_NAMES.values():
        path = official / name
        path.write_bytes(path.read_bytes().replace(b"\r\n", ends.encode()))
    made = ListOps().prepare(tmp_path / "made")
    for path in (official, official.parent, tmp_path):
        read = ListOps(path=str(path)).prepare(tmp_path / "read")
        assert read.meta.variant == "official"
        for name in made.meta.arrays:
            assert np.array_equal(made.array(name), read.array(name)), name


def test_tokens_are_those_of_the_published_code(official: Path, tmp_path: Path) -> None:
    task = ListOps(path=str(official))
    data = task.dataset(task.prepare(tmp_path / "data"), "val")
    lines = (official / OFFICIAL_NAMES["val"]).read_text().splitlines()[1:]
    for i, line in enumerate(lines):
        source, target = line.split("\t")
        expected = ["X" if s == "]" else s for s in symbols(parse(source))] + ["<eos>"]
        batch = data[np.array([i])]
        assert [VOCABULARY[token] for token in batch.x[0]] == expected
        assert batch.y.item() == int(target)
    assert task.spec.inputs == 18


def test_long_expressions_are_cut_and_still_end(official: Path, tmp_path: Path) -> None:
    task = ListOps(path=str(official), max_length=600)
    data = task.dataset(task.prepare(tmp_path / "data"), "train")
    batch = data[np.arange(len(data))]
    assert batch.x.shape[1] == 600
    last = batch.x[np.arange(len(batch.y)), batch.lengths - 1]
    assert set(last.tolist()) == {VOCABULARY.index("<eos>")}


def test_generated_splits_follow_each_other(small: None, tmp_path: Path) -> None:
    task = ListOps(generator_seed=4)
    prepared = task.prepare(tmp_path)
    assert prepared.meta.variant == "regenerated"
    (_, values), start = generate(sum(SIZES.values()), 4), 0
    for split, size in SIZES.items():
        y = task.dataset(prepared, split).y
        assert np.array_equal(y, values[start : start + size])
        start += size
    assert ListOps(generator_seed=5).store(tmp_path).open() is None


def test_the_published_sizes_are_in_the_spec() -> None:
    assert dict(ListOps().spec.splits) == {"train": 96_000, "val": 2_000, "test": 2_000}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("Target\tSource\n", "line 1: expected the header"),
        ("Source\tTarget\n( ( [MIN 1 ) ] )\t1\n( ( [AVG 1 ) ] )\t1\n", r"line 3: unknown symbol '\[AVG'"),
        ("Source\tTarget\n\n", "line 2: expected an expression, a tab and a digit"),
        ("Source\tTarget\n( ( [MIN 1 ) ] )\t12\n", "line 2: expected an expression"),
        ("Source\tTarget\n( ( [MIN 1 ) ] )\n", "line 2: expected an expression"),
    ],
)
def test_wrong_lines_are_named(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "basic_train.tsv"
    path.write_text(content)
    with pytest.raises(UserError, match=message):
        read_tsv(path)


def test_a_file_that_is_cut_off_is_refused(official: Path, tmp_path: Path) -> None:
    path = official / OFFICIAL_NAMES["test"]
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-2]))
    with pytest.raises(UserError, match="has 8 samples; the official file has 10"):
        ListOps(path=str(official)).prepare(tmp_path / "data")
    assert not list((tmp_path / "data").rglob("*.npy"))


def test_a_missing_file_is_named_with_the_places(official: Path, tmp_path: Path) -> None:
    (official / OFFICIAL_NAMES["val"]).unlink()
    with pytest.raises(UserError, match=r"Not found: .*basic_val\.tsv.*\. Looked in"):
        ListOps(path=str(official)).prepare(tmp_path / "data")
