"""The published splits, to the row."""

import numpy as np
import pytest
import torch
from torch.utils.data import random_split as torch_split

from lra.data.splits import random_split, split_70_15_15, stratified_70_15_15

# Made with scikit-learn 1.9.1: train_test_split(arange(23), test_size=0.3, random_state=0), then the second
# part with test_size=0.5, random_state=1.
PLAIN_23 = (
    [22, 16, 8, 6, 17, 4, 2, 5, 18, 9, 7, 19, 3, 0, 15, 12],
    [20, 14, 1],
    [13, 21, 10, 11],
)
# The same for arange(53), stratify=arange(53) % 4, with train_size=0.7 and 0.5.
STRATIFIED_53 = (
    [
        *(13, 17, 46, 3, 22, 29, 30, 27, 45, 43, 16, 39, 50, 2, 44, 37, 19, 4, 42, 24, 21, 40, 11, 1, 49, 6),
        *(28, 36, 52, 26, 8, 35, 32, 23, 9, 7, 10),
    ],
    [5, 15, 31, 48, 41, 20, 34, 14],
    [38, 12, 0, 51, 47, 25, 18, 33],
)


def test_random_split_is_that_of_torch() -> None:
    sizes = {"train": 90, "val": 6, "test": 4}
    generator = torch.Generator().manual_seed(42)
    expected = torch_split(range(100), list(sizes.values()), generator=generator)
    found = random_split(sizes)
    assert list(found) == list(sizes)
    for part, rows in zip(expected, found.values(), strict=True):
        assert list(part.indices) == rows.tolist()


def test_cifar_validation_rows_are_the_published_ones() -> None:
    rows = random_split({"train": 45_000, "val": 5_000})
    assert len(rows["train"]) == 45_000
    assert (
        rows["val"][:3].tolist()
        == torch_split(range(50_000), (45_000, 5_000), generator=torch.Generator().manual_seed(42))[1].indices[:3]
    )


def test_plain_split_is_that_of_scikit_learn() -> None:
    found = split_70_15_15(23)
    assert tuple(found[split].tolist() for split in ("train", "val", "test")) == PLAIN_23


def test_stratified_split_is_that_of_scikit_learn() -> None:
    found = stratified_70_15_15(np.arange(53) % 4)
    assert tuple(found[split].tolist() for split in ("train", "val", "test")) == STRATIFIED_53


@pytest.mark.parametrize("n", [10, 101, 7949])
def test_every_row_is_in_one_part(n: int) -> None:
    y = np.arange(n) % 3
    for parts in (split_70_15_15(n), stratified_70_15_15(y) if n > 20 else split_70_15_15(n)):
        assert sorted(np.concatenate(list(parts.values())).tolist()) == list(range(n))


def test_sizes_of_sc10() -> None:
    """34 975 clips, whatever their classes (papers: 70/15/15)."""
    parts = stratified_70_15_15(np.random.default_rng(0).integers(0, 10, 34_975))
    assert {split: len(rows) for split, rows in parts.items()} == {
        "train": 24_482,
        "val": 5_246,
        "test": 5_247,
    }
