"""The Pathfinder tasks: splits, scaling, resuming after a kill, the official layout, broken images."""

import hashlib
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from lra.data import pathfinder
from lra.data.pathfinder import Pathfinder, split_sizes
from lra.data.pathfinder_layout import level_folder, write_official_layout
from lra.data.splits import random_split
from lra.errors import UserError
from lra.pathfinder.generator import generate, generate_batch, preset

COUNT = 60
SLOW = """
import sys, time
from pathlib import Path
from lra.data import pathfinder
pathfinder.STANDIN_IMAGES, pathfinder.CHUNK = 60, 10
def progress(what, done, total):
    if done == 30:
        Path(sys.argv[1], "reached").touch()
        time.sleep(60)
pathfinder.Pathfinder(source="standin").prepare(Path(sys.argv[1]), progress)
"""


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pathfinder, "STANDIN_IMAGES", COUNT)
    monkeypatch.setattr(pathfinder, "CHUNK", 10)


@pytest.fixture
def generated() -> tuple[np.ndarray, np.ndarray]:
    batches = [batch for _, batch in generate(preset(32), 0, COUNT)]
    return np.concatenate([b.images for b in batches]), np.concatenate([b.labels for b in batches])


def rows_of(task: Pathfinder, prepared, images: np.ndarray, labels: np.ndarray) -> None:
    """Every image is where the published split puts it."""
    for split, rows in random_split(split_sizes(COUNT)).items():
        assert np.array_equal(prepared.array(f"{split}_x"), images[rows].reshape(len(rows), -1))
        assert np.array_equal(prepared.array(f"{split}_y"), labels[rows])
        assert len(task.dataset(prepared, split)) == len(rows)


def test_published_sizes() -> None:
    assert split_sizes(200_000) == {"train": 160_000, "val": 20_000, "test": 20_000}
    for resolution, name in (
        (32, "pathfinder"),
        (64, "pathfinder64"),
        (128, "pathx"),
        (256, "pathfinder256"),
    ):
        spec = Pathfinder(resolution=resolution).spec
        assert (spec.name, spec.max_length, spec.inputs, spec.outputs) == (name, resolution**2, 1, 2)
    with pytest.raises(UserError, match=r"Pathfinder\.resolution is 100; allowed: 32, 64, 128, 256"):
        Pathfinder(resolution=100)


def test_generated_images_fill_the_published_split(small: None, generated: tuple, tmp_path: Path) -> None:
    task = Pathfinder(source="standin")
    prepared = task.prepare(tmp_path)
    assert prepared.meta.variant == "standin"
    rows_of(task, prepared, *generated)
    prepared.verify()
    assert sorted(path.name for path in prepared.folder.iterdir()) == sorted(
        [
            "meta.json",
            "verified.json",
            *(f"{split}_{a}.npy" for split in ("train", "val", "test") for a in "xy"),
        ]
    )


def test_the_images_do_not_depend_on_workers(small: None, tmp_path: Path) -> None:
    metas = []
    for workers in (1, 3):
        task = Pathfinder(source="standin")
        task.workers = workers
        metas.append(task.prepare(tmp_path / str(workers)).meta)
    assert metas[0] == metas[1]


def test_ranges(small: None, tmp_path: Path) -> None:
    centered, unit = Pathfinder(source="standin"), Pathfinder(source="standin", centered=False)
    prepared = centered.prepare(tmp_path)
    assert unit.store(tmp_path).open().folder == prepared.folder
    a, b = (task.dataset(prepared, "train")[np.arange(8)].x for task in (centered, unit))
    assert (a.min(), a.max(), b.min(), b.max()) == (-1, 1, 0, 1)
    assert a.shape == (8, 1024, 1)
    assert np.allclose(a.numpy(), 2 * b.numpy() - 1)


def test_a_killed_generation_resumes(small: None, generated: tuple, tmp_path: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", SLOW, str(tmp_path)])
    try:
        deadline = time.monotonic() + 120
        while not (tmp_path / "reached").exists():
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    task, done = Pathfinder(source="standin"), []
    assert task.store(tmp_path).open() is None
    prepared = task.prepare(tmp_path, lambda what, images, total: done.append(images))
    assert done == [40, 50, 60]
    rows_of(task, prepared, *generated)


@pytest.fixture
def official(tmp_path: Path) -> Path:
    root = tmp_path / "raw"
    folder = root / "lra_release" / "lra_release" / level_folder(preset(32))
    write_official_layout(folder, preset(32), 0, COUNT)
    return root


def test_the_official_layout(official: Path, generated: tuple, tmp_path: Path) -> None:
    folder = official / "lra_release" / "lra_release" / level_folder(preset(32))
    for path in (official, folder, folder.parent):
        task = Pathfinder(path=str(path))
        prepared = task.prepare(tmp_path / "data")
        assert prepared.meta.variant == "subset"  # 60 of 200 000
        rows_of(task, prepared, *generated)


def test_both_kinds_of_metadata_give_the_same(official: Path, generated: tuple, tmp_path: Path) -> None:
    (path,) = official.rglob("0.npy")
    assert not path.read_bytes().startswith(b"\x93NUMPY")  # plain text, as in the release
    np.save(path, np.array([line.split() for line in path.read_text().splitlines()]))
    task = Pathfinder(path=str(official))
    rows_of(task, task.prepare(tmp_path / "data"), *generated)


def test_what_was_written_officially_is_read_back(small: None, generated: tuple, tmp_path: Path) -> None:
    task = Pathfinder(source="standin")
    task.write_official(task.prepare(tmp_path / "data"), tmp_path / "raw")
    back = Pathfinder(path=str(tmp_path / "raw"))
    rows_of(back, back.prepare(tmp_path / "data"), *generated)
    with pytest.raises(UserError, match="in the official layout already"):
        back.write_official(back.prepare(tmp_path / "data"), tmp_path / "again")


def test_broken_official_data_leave_nothing(official: Path, tmp_path: Path) -> None:
    (image,) = official.rglob("sample_7.png")
    good = image.read_bytes()
    (metadata,) = official.rglob("0.npy")
    text = metadata.read_text()

    def error() -> str:
        with pytest.raises(UserError) as caught:
            Pathfinder(path=str(official)).prepare(tmp_path / "data")
        assert not list((tmp_path / "data").rglob("*.npy"))
        return str(caught.value)

    image.write_bytes(good[: len(good) // 2])
    assert str(image) in error()
    image.write_bytes(b"")
    assert f"{image} (0 bytes) cannot be read as an image" in error()
    image.unlink()
    assert f"{image} is missing" in error()
    image.write_bytes(good)
    metadata.write_text(text.replace("imgs/0 sample_7.png 7 ", "imgs/0 sample_7.png 7 x"))
    assert "the label (column 3" in error()
    metadata.write_text("\n".join(text.splitlines()[:5]))
    assert "too few to split" in error()
    metadata.write_text("")
    assert f"{metadata} is empty" in error()


def test_the_images_are_those_of_the_committed_runs() -> None:
    """A change of one pixel would make other data under the same name."""
    made = generate_batch(preset(32), 7, 5, 30)
    content = made.images.tobytes() + made.labels.tobytes() + made.margins.tobytes()
    assert hashlib.sha256(content).hexdigest()[:16] == "32e7a76605717abc"
