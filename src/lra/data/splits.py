"""The random splits of the published pipelines, to the row."""

from __future__ import annotations

import math

import numpy as np
import torch


def random_split(sizes: dict[str, int], seed: int = 42) -> dict[str, np.ndarray]:
    """Rows of each part, as `torch.utils.data.random_split` draws them with a generator seeded `seed`."""
    order = torch.randperm(sum(sizes.values()), generator=torch.Generator().manual_seed(seed)).numpy()
    return dict(zip(sizes, np.split(order, np.cumsum(list(sizes.values()))[:-1]), strict=True))


def split_70_15_15(n: int) -> dict[str, np.ndarray]:
    """Rows of train, val and test as scikit-learn's `train_test_split` makes them in the S4 code (BIDMC).

    70 % against 30 % with random_state 0, then the 30 % in halves with random_state 1.
    """
    order = np.random.RandomState(0).permutation(n)
    held = math.ceil(0.3 * n)
    rest, train = order[:held], order[held:]
    order = np.random.RandomState(1).permutation(held)
    half = -(-held // 2)
    return {"train": train, "val": rest[order[half:]], "test": rest[order[:half]]}


def stratified_70_15_15(y: np.ndarray) -> dict[str, np.ndarray]:
    """The same with every class in proportion, as `train_test_split(…, stratify=y)` makes it (SC10).

    y (N,) integer classes. The S4 code gives train_size=0.7 and 0.5 here, not test_size as for BIDMC.
    """
    train, rest = _stratified(y, int(0.7 * len(y)), seed=0)
    val, test = _stratified(y[rest], len(rest) // 2, seed=1)
    return {"train": train, "val": rest[val], "test": rest[test]}


def _stratified(y: np.ndarray, n_first: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """scikit-learn's StratifiedShuffleSplit: one split into n_first rows and the rest."""
    rng = np.random.RandomState(seed)
    classes, codes, counts = np.unique(y, return_inverse=True, return_counts=True)
    members = np.split(np.argsort(codes, kind="mergesort"), np.cumsum(counts)[:-1])
    n_second = len(y) - n_first
    first_counts = _share_out(counts, n_first, rng)
    second_counts = _share_out(counts - first_counts, n_second, rng)
    first: list[np.int64] = []
    second: list[np.int64] = []
    for i in range(len(classes)):
        rows = members[i].take(rng.permutation(counts[i]))
        first.extend(rows[: first_counts[i]])
        second.extend(rows[first_counts[i] : first_counts[i] + second_counts[i]])
    return rng.permutation(first), rng.permutation(second)


def _share_out(counts: np.ndarray, n: int, rng: np.random.RandomState) -> np.ndarray:
    """How many of each class go into a sample of n: the expected number, the remainder by largest fraction.

    Ties between equal fractions are drawn, as in scikit-learn's `_approximate_mode`.
    """
    expected = counts / counts.sum() * n
    shares = np.floor(expected)
    missing = int(n - shares.sum())
    if missing > 0:
        fractions = expected - shares
        for value in np.sort(np.unique(fractions))[::-1]:
            (ties,) = np.where(fractions == value)
            add = min(len(ties), missing)
            shares[rng.choice(ties, size=add, replace=False)] += 1
            missing -= add
            if missing == 0:
                break
    return shares.astype(int)
