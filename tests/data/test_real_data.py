"""Every pipeline on real data, in the folder that LRA_REAL_DATA names (its README says what each file is)."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lra.data.catalog import make_task
from lra.data.datasets import Strided
from lra.data.storage import Prepared
from lra.data.task import PublishedTask
from lra.data.verify import findings
from lra.errors import UserError

pytestmark = pytest.mark.slow


def prepared(folder: Path, name: str, file: Path, **options: Any) -> tuple[PublishedTask, Prepared]:
    task = make_task(name, path=str(file), **options)
    return task, task.prepare(folder)


def statistics(task: PublishedTask, found: Prepared, split: str = "train") -> tuple[np.ndarray, np.ndarray]:
    """Mean and deviation of every channel of the batches."""
    data = task.dataset(found, split)
    total = square = n = 0
    for start in range(0, len(data), 500):
        x = data[np.arange(start, min(start + 500, len(data)))].x.double().flatten(0, 1).numpy()
        total, square, n = total + x.sum(0), square + (x**2).sum(0), n + len(x)
    return total / n, np.sqrt(square / n - (total / n) ** 2)


def right(task: PublishedTask, found: Prepared) -> None:
    assert [finding for finding in findings(task, found) if finding.verdict == "wrong"] == []


def test_image(real: Path, tmp_path: Path) -> None:
    task, found = prepared(tmp_path, "image", real / "cifar10_jpeg.parquet")
    assert found.meta.variant == "modified"
    assert found.meta.counts == {"train": 45_000, "val": 5_000, "test": 10_000}
    assert found.meta.facts["test_classes"] == [1000] * 10
    mean, deviation = statistics(task, found)
    assert np.allclose(mean, 0, atol=0.03)  # normalized with the statistics of the exact images
    assert np.allclose(deviation, 1, atol=0.03)
    right(task, found)


def test_scifar_exact_images_against_their_jpeg_copy(real: Path, tmp_path: Path) -> None:
    task, exact = prepared(tmp_path, "scifar", real / "cifar10_lossless_part.npz")
    assert exact.meta.variant == "subset"
    assert sum(exact.meta.counts.values()) == 8068 + 1017
    lossy_task, lossy = prepared(tmp_path, "scifar", real / "cifar10_jpeg.parquet")
    a, b = exact.array("test_x"), lossy.array("test_x")[:1017]  # both are in the official order
    error = np.sqrt(((a.astype(float) - b) ** 2).mean())
    assert error < 10
    assert np.array_equal(exact.array("test_y"), lossy.array("test_y")[:1017])
    mean, deviation = statistics(lossy_task, lossy)
    assert np.allclose(mean, 0, atol=0.03)
    assert np.allclose(deviation, 1, atol=0.03)
    right(task, exact)


@pytest.mark.parametrize(("max_length", "symbols"), [(4096, 134), (2048, 129)])
def test_text(real: Path, tmp_path: Path, max_length: int, symbols: int) -> None:
    task, found = prepared(tmp_path, "text", real / "imdb.parquet", max_length=max_length)
    assert found.meta.variant == "official"
    assert found.meta.counts == {"train": 25_000, "val": 25_000, "test": 25_000}
    assert len(found.meta.facts["vocabulary"]) == symbols == task.spec_of(found).inputs
    assert make_task("text", max_length=max_length).spec.inputs == symbols  # before anything is prepared
    assert make_task("text", max_length=max_length).store(tmp_path).open().folder == found.folder
    lengths = task.dataset(found, "train").lengths
    assert lengths.max() == max_length
    assert lengths.min() == 53
    right(task, found)


def test_retrieval(real: Path, tmp_path: Path) -> None:
    task, found = prepared(tmp_path, "retrieval", real / "acl_citation_docs.parquet")
    assert found.meta.variant == "standin"
    assert found.meta.counts == {"train": 4439, "val": 531, "test": 568}
    assert found.meta.facts["train_classes"] == [2219, 2220]
    batch = task.dataset(found, "test")[np.arange(8)]
    assert batch.x.shape == (16, 4000)
    assert batch.x.max() < task.spec_of(found).inputs
    right(task, found)


def test_sc35(real: Path, tmp_path: Path) -> None:
    task, found = prepared(tmp_path, "sc35", real / "speech_commands_v001_bed_cat_happy_part.parquet")
    assert found.meta.variant == "standin"
    assert found.meta.counts == {"train": 1800, "val": 360, "test": 360}
    _, deviation = statistics(task, found)
    assert 0.1 < deviation.item() < 0.3  # the papers' scaling: a few times the wave, far from unit variance
    unit, same = prepared(tmp_path, "sc35", real / "speech_commands_v001_bed_cat_happy_part.parquet", scaling="unit")
    mean, deviation = statistics(unit, same)
    assert np.allclose(mean, 0, atol=0.01)
    assert np.allclose(deviation, 1, atol=0.02)
    assert Strided(task.dataset(found, "test"), 2)[np.arange(4)].x.shape == (4, 8000, 1)
    right(task, found)


@pytest.mark.parametrize("name", ["sc10", "sc10-mfcc"])
def test_sc10(real: Path, tmp_path: Path, name: str) -> None:
    task, found = prepared(tmp_path, name, real / "speech_commands_v001_sample30.parquet")
    assert sum(found.meta.counts.values()) == 96  # of 100 clips of the ten words, 4 are shorter than a second
    assert torch.isfinite(task.dataset(found, "train")[np.arange(20)].x).all()
    right(task, found)


def test_bidmc(real: Path, tmp_path: Path) -> None:
    """Waveforms without labels are no data set."""
    with pytest.raises(UserError, match=r"has no x, y; it has .*signals"):
        prepared(tmp_path, "bidmc-hr", real / "bidmc01_waveforms.npz")
