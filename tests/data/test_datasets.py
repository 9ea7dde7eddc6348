"""Whole-batch fetching against one row at a time, on memory maps and on a device."""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lra.data.datasets import (
    BatchDataset,
    BatchSampler,
    FeatureSequences,
    Loader,
    Strided,
    TokenPairs,
    TokenSequences,
    subset,
)
from lra.data.spec import Batch
from lra.errors import UserError

PAD = 7


def naive_tokens(rows: list[list[int]]) -> tuple[torch.Tensor, torch.Tensor]:
    longest = max(map(len, rows))
    padded = [row + [PAD] * (longest - len(row)) for row in rows]
    return torch.tensor(padded), torch.tensor([len(row) for row in rows])


def sequences(rows: list[list[int]]) -> TokenSequences:
    tokens = np.array([token for row in rows for token in row], np.uint8)
    offsets = np.cumsum([0, *map(len, rows)])
    return TokenSequences(tokens, offsets, np.arange(len(rows), dtype=np.uint8), pad=PAD)


def same(a: Batch, b: Batch) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


lists = st.lists(st.lists(st.integers(0, 6), min_size=1, max_size=12), min_size=1, max_size=8)


@settings(max_examples=60, deadline=None)
@given(lists, st.data())
def test_token_batches(rows: list[list[int]], data: st.DataObject) -> None:
    dataset = sequences(rows)
    index = data.draw(st.lists(st.integers(0, len(rows) - 1), min_size=1, max_size=6))
    x, lengths = naive_tokens([rows[i] for i in index])
    batch = dataset[np.array(index)]
    assert torch.equal(batch.x, x)
    assert batch.x.dtype == batch.lengths.dtype == batch.y.dtype == torch.int64
    assert torch.equal(batch.lengths, lengths)
    assert batch.y.tolist() == index
    assert same(batch, dataset.to("cpu")[np.array(index)])
    assert dataset.lengths.tolist() == [len(row) for row in rows]


@settings(max_examples=60, deadline=None)
@given(lists, st.data())
def test_pairs_are_all_first_documents_then_all_second(rows: list[list[int]], data: st.DataObject) -> None:
    number = st.integers(0, len(rows) - 1)
    pairs = data.draw(st.lists(st.tuples(number, number), min_size=1, max_size=6))
    dataset = TokenPairs(sequences(rows), np.array(pairs, np.int32), np.arange(len(pairs), dtype=np.uint8))
    x, lengths = naive_tokens([rows[a] for a, _ in pairs] + [rows[b] for _, b in pairs])
    batch = dataset[np.arange(len(pairs))]
    assert torch.equal(batch.x, x)
    assert torch.equal(batch.lengths, lengths)
    assert batch.y.tolist() == list(range(len(pairs)))
    assert same(batch, dataset.to("cpu")[np.arange(len(pairs))])
    assert dataset.lengths.tolist() == [max(len(rows[a]), len(rows[b])) for a, b in pairs]


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float32])
@pytest.mark.parametrize("shape", [(6,), (6, 3)])
def test_features_are_scaled_in_float32(dtype: type, shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 100, (5, *shape)).astype(dtype), np.arange(5, dtype=np.float32)
    channels = 1 if len(shape) == 1 else 3
    for scale, shift in (
        (0.5, -1.0),
        (rng.random(channels), rng.random(channels)),
        (rng.random((6, 1)), rng.random((6, 1))),
    ):
        dataset = FeatureSequences(x, y, scale, shift)
        expected = x.astype(np.float64).reshape(5, 6, channels) * scale + shift
        rows = np.array([3, 0, 3])
        batch = dataset[rows]
        assert batch.x.dtype == batch.y.dtype == torch.float32
        torch.testing.assert_close(batch.x, torch.tensor(expected[rows], dtype=torch.float32))
        assert batch.lengths.tolist() == [6, 6, 6]
        assert same(batch, dataset.to("cpu")[rows])


def test_order_moves_positions() -> None:
    x = np.arange(12, dtype=np.uint8).reshape(2, 6)
    dataset = FeatureSequences(x, np.zeros(2, np.uint8), order=np.array([5, 0, 1, 2, 3, 4]))
    assert dataset[np.array([0])].x.flatten().tolist() == [5, 0, 1, 2, 3, 4]
    assert same(dataset[np.array([1])], dataset.to("cpu")[np.array([1])])


def test_strided_keeps_every_second_position() -> None:
    dataset = Strided(FeatureSequences(np.arange(14).reshape(2, 7), np.zeros(2, np.uint8)), 2)
    batch = dataset[np.array([1])]
    assert batch.x.flatten().tolist() == [7, 9, 11, 13]
    assert batch.lengths.tolist() == [4]
    assert dataset.lengths.tolist() == [4, 4]
    short = Strided(sequences([[1, 2, 3], [4]]), 2)[np.array([0, 1])]
    assert short.x.tolist() == [[1, 3], [4, PAD]]
    assert short.lengths.tolist() == [2, 1]


def test_memory_maps_stay_on_disk_and_give_their_own_tensors(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.arange(20, dtype=np.uint8).reshape(4, 5))
    x = np.load(tmp_path / "x.npy", mmap_mode="r")
    dataset = FeatureSequences(x, np.arange(4))
    assert isinstance(dataset.x, np.memmap)
    dataset[np.array([0])].x.fill_(9)
    assert dataset[np.array([0])].x.flatten().tolist() == [0, 1, 2, 3, 4]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_split_on_the_gpu() -> None:
    rows = np.array([1, 0])
    for dataset in (sequences([[1, 2], [3]]), FeatureSequences(np.eye(3, dtype=np.uint8), np.arange(3))):
        batch = dataset.to("cuda")[rows]
        assert all(part.device.type == "cuda" for part in batch)
        assert same(Batch(*(part.cpu() for part in batch)), dataset[rows])


def all_batches(dataset: BatchDataset, epoch: int = 0, seed: int = 3) -> list[Batch]:
    sampler = BatchSampler(len(dataset), 4, shuffle=True, drop_last=True, seed=seed)
    sampler.set_epoch(epoch)
    return list(Loader(dataset, sampler))


def test_batches_are_a_function_of_seed_and_epoch_in_every_thread() -> None:
    dataset = sequences([[i % 7] * (1 + i % 5) for i in range(30)])
    expected = all_batches(dataset)
    with ThreadPoolExecutor(4) as pool:
        for batches in pool.map(lambda _: all_batches(dataset), range(8)):
            assert all(same(a, b) for a, b in zip(expected, batches, strict=True))
    assert not all(same(a, b) for a, b in zip(expected, all_batches(dataset, epoch=1), strict=True))
    assert not all(same(a, b) for a, b in zip(expected, all_batches(dataset, seed=4), strict=True))


def test_the_sampler_covers_the_data() -> None:
    whole = BatchSampler(10, 4, shuffle=True, drop_last=False)
    assert sorted(np.concatenate(list(whole)).tolist()) == list(range(10))
    assert len(whole) == len(list(whole)) == 3
    cut = BatchSampler(10, 4, shuffle=False, drop_last=True)
    assert [rows.tolist() for rows in cut] == [[0, 1, 2, 3], [4, 5, 6, 7]]


def test_a_subset_can_move_to_a_device() -> None:
    dataset = subset(sequences([[i] * (i + 1) for i in range(6)]), 3, seed=0)
    assert len(dataset) == 3
    assert same(dataset[np.arange(3)], dataset.to("cpu")[np.arange(3)])
    assert dataset[np.arange(3)].lengths.tolist() == dataset.lengths.tolist()


def test_a_file_that_is_cut_off_in_use_is_said(tmp_path: Path) -> None:
    path = tmp_path / "x.npy"
    np.save(path, np.ones((100, 1000), np.float32))
    data = FeatureSequences(np.load(path, mmap_mode="r"), np.zeros(100))
    rows = np.array([99])
    assert data[rows].x.sum() == 1000
    moved = tmp_path / "y.npy"
    path.rename(moved)
    assert data[rows].x.sum() == 1000  # replaced or deleted: the old file is still mapped
    moved.rename(path)
    os.truncate(path, 1000)
    with pytest.raises(UserError, match=r"x\.npy was cut off while it was in use"):
        data[rows]
    with pytest.raises(UserError, match="cut off"):
        data.to("cpu")
