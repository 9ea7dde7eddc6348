"""CIFAR-10: the published transforms pixel by pixel, the official folder, mirrors, errors."""

import hashlib
import io
import pickle
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
import torchvision
from PIL import Image
from torchvision import transforms

from lra.data import sources
from lra.data.cifar import CIFAR10, to_grey
from lra.errors import UserError

TRAIN, TEST = 40, 20


@pytest.fixture(scope="module")
def images() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    rng = np.random.default_rng(0)
    return {
        split: (rng.integers(0, 256, (n, 32, 32, 3), dtype=np.uint8), np.arange(n) % 10)
        for split, n in (("train", TRAIN), ("test", TEST))
    }


@pytest.fixture
def npz(tmp_path: Path, images: dict) -> Path:
    path = tmp_path / "cifar.npz"
    np.savez(path, **{f"{a}_{split}": v for split, pair in images.items() for a, v in zip("xy", pair, strict=True)})
    return path


@pytest.fixture
def official(tmp_path: Path, images: dict, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small folder in the official format, whose md5s torchvision takes for the real ones."""
    root = tmp_path / "official"
    folder = root / "cifar-10-batches-py"
    folder.mkdir(parents=True)

    def write(name: str, content: dict) -> list[str]:
        (folder / name).write_bytes(pickle.dumps(content))
        return [name, hashlib.md5((folder / name).read_bytes()).hexdigest()]

    def batch(x: np.ndarray, y: np.ndarray) -> dict:
        return {"data": x.transpose(0, 3, 1, 2).reshape(len(x), -1), "labels": y.tolist()}

    x, y = images["train"]
    lists = [write(f"data_batch_{i + 1}", batch(x[8 * i : 8 * i + 8], y[8 * i : 8 * i + 8])) for i in range(5)]
    cifar = torchvision.datasets.CIFAR10
    monkeypatch.setattr(cifar, "train_list", lists)
    monkeypatch.setattr(cifar, "test_list", [write("test_batch", batch(*images["test"]))])
    name, md5 = write("batches.meta", {"label_names": [str(i) for i in range(10)]})
    monkeypatch.setattr(cifar, "meta", {"filename": name, "key": "label_names", "md5": md5})
    return root


def published(color: str) -> transforms.Compose:
    """The transforms of the S4 code's loader."""
    if color == "grey":
        normalize = transforms.Normalize(mean=122.6 / 255.0, std=61.0 / 255.0)
        steps = [transforms.Grayscale(), transforms.ToTensor(), normalize]
    else:
        normalize = transforms.Normalize((0.4914, 0.4822, 0.4465), (0.247, 0.243, 0.261))
        steps = [transforms.ToTensor(), normalize]
    return transforms.Compose([*steps, transforms.Lambda(lambda x: x.view(x.shape[0], 1024).t())])


def test_grey_is_pil_grey_for_every_color() -> None:
    rng = np.random.default_rng(1)
    rgb = rng.integers(0, 256, (512, 512, 3), dtype=np.uint8)
    assert np.array_equal(to_grey(rgb), np.asarray(Image.fromarray(rgb).convert("L")))


@pytest.mark.parametrize("color", ["grey", "rgb"])
def test_inputs_are_those_of_the_published_transforms(color: str, npz: Path, images: dict, tmp_path: Path) -> None:
    task = CIFAR10(color=color, path=str(npz))
    prepared = task.prepare(tmp_path / "data")
    transform = published(color)
    generator = torch.Generator().manual_seed(42)
    train, val = torch.utils.data.random_split(range(TRAIN), (36, 4), generator=generator)
    for split, rows in (("train", list(train)), ("val", list(val)), ("test", range(TEST))):
        x, y = images["test" if split == "test" else "train"]
        data = task.dataset(prepared, split)
        batch = data[np.arange(len(data))]
        expected = torch.stack([transform(Image.fromarray(x[row])) for row in rows])
        torch.testing.assert_close(batch.x, expected, atol=1e-6, rtol=1e-5)
        assert batch.y.tolist() == [int(y[row]) for row in rows]
        assert batch.x.shape[1:] == (task.spec.max_length, task.spec.inputs)


def test_permutation_is_fixed_and_shared(npz: Path, tmp_path: Path) -> None:
    plain, permuted = (CIFAR10(color="rgb", permutation=p, path=str(npz)) for p in (None, 92916))
    prepared = permuted.prepare(tmp_path)
    assert plain.store(tmp_path).open().folder == prepared.folder
    rows = np.arange(3)
    a, b = (task.dataset(prepared, "test")[rows].x for task in (plain, permuted))
    assert not torch.equal(a, b)
    order = np.random.RandomState(92916).permutation(1024)
    assert torch.equal(a[:, order], b)
    assert (plain.spec.name, permuted.spec.name) == ("scifar", "pscifar")


def test_the_official_folder(official: Path, images: dict, tmp_path: Path) -> None:
    for path in (official, official / "cifar-10-batches-py"):
        task = CIFAR10(color="rgb", path=str(path))
        prepared = task.prepare(tmp_path / "data")
        assert prepared.meta.variant == "official"
        assert np.array_equal(prepared.array("test_x"), images["test"][0].reshape(TEST, 1024, 3))
    assert CIFAR10(color="rgb").store(tmp_path / "data").fingerprint == prepared.meta.fingerprint


def test_a_changed_official_file_is_refused(official: Path, tmp_path: Path) -> None:
    path = official / "cifar-10-batches-py" / "data_batch_3"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(UserError, match="its md5 differs"):
        CIFAR10(path=str(official)).prepare(tmp_path / "data")
    assert not list((tmp_path / "data").rglob("*.npy"))


def test_download_is_torchvisions(official: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The network is away in tests: the server's answer and torchvision's download are stood in for."""
    raw = tmp_path / "data" / "raw"
    asked = []

    def download(self: torchvision.datasets.CIFAR10) -> None:
        asked.append(Path(self.root))
        if not (raw / "cifar-10-batches-py").exists():
            (official / "cifar-10-batches-py").rename(raw / "cifar-10-batches-py")

    monkeypatch.setattr(torchvision.datasets.CIFAR10, "download", download)
    monkeypatch.setattr(sources.urllib.request, "urlopen", lambda *a, **k: io.BytesIO())
    prepared = CIFAR10().prepare(tmp_path / "data")
    assert asked == [raw]
    assert prepared.meta.variant == "official"
    assert prepared.meta.counts == {"train": 36, "val": 4, "test": TEST}


def encoded(x: np.ndarray, kind: str) -> bytes:
    file = io.BytesIO()
    Image.fromarray(x).save(file, kind)
    return file.getvalue()


def parquet(path: Path, images: dict, **change: list) -> Path:
    rows = [
        (s, i, int(y), encoded(x, "png"))
        for s, (xs, ys) in images.items()
        for i, (x, y) in enumerate(zip(xs, ys, strict=True))
    ]
    rows.reverse()  # the index says the order, not the file
    columns = dict(zip(("split", "index", "label", "png"), map(list, zip(*rows, strict=True)), strict=True))
    pq.write_table(pa.table(columns | change), path)
    return path


def test_parquet(tmp_path: Path, images: dict, npz: Path) -> None:
    path = parquet(tmp_path / "images.parquet", images)
    a, b = (CIFAR10(path=str(p)).prepare(tmp_path / "data") for p in (path, npz))
    assert a.meta.variant == b.meta.variant == "subset"
    for name in a.meta.arrays:
        assert np.array_equal(a.array(name), b.array(name)), name


def test_the_files_of_hugging_face(tmp_path: Path, images: dict, npz: Path) -> None:
    folder = tmp_path / "cifar10" / "plain_text"
    folder.mkdir(parents=True)
    for split, (xs, ys) in images.items():
        halves = np.array_split(np.arange(len(ys)), 2 if split == "train" else 1)
        for n, rows in enumerate(halves):
            img = [{"bytes": encoded(xs[row], "png"), "path": None} for row in rows]
            table = pa.table({"img": img, "label": [int(ys[row]) for row in rows]})
            pq.write_table(table, folder / f"{split}-{n:05}-of-{len(halves):05}.parquet")
    a, b = (CIFAR10(path=str(p)).prepare(tmp_path / "data") for p in (folder.parent, npz))
    assert a.meta.variant == "subset"
    assert all(np.array_equal(a.array(name), b.array(name)) for name in a.meta.arrays)
    (folder / "train-00001-of-00002.parquet").unlink()
    with pytest.raises(UserError, match="one of 2 files, of which 1 are there"):
        CIFAR10(path=str(folder)).prepare(tmp_path / "data")


def test_parquet_errors(tmp_path: Path, images: dict) -> None:
    def error(**change: list) -> str:
        path = parquet(tmp_path / "images.parquet", images, **change)
        with pytest.raises(UserError) as caught:
            CIFAR10(path=str(path)).prepare(tmp_path / "data")
        assert not list((tmp_path / "data").rglob("*.npy"))
        return str(caught.value)

    n = TRAIN + TEST
    assert "row 59 (12 bytes) cannot be read as an image" in error(png=[b"not an image"] * n)
    assert "row 59: None in place of the bytes" in error(png=[None] * n)
    wide = encoded(np.zeros((32, 33, 3), np.uint8), "png")
    assert "row 59 is 33 × 32 pixels, expected 32 × 32" in error(png=[wide] * n)
    assert "row 59: label 10" in error(label=[10] * n)
    assert "row 59: label None" in error(label=[3] * (n - 1) + [None])
    assert "index 0; expected a whole number, each once" in error(index=[0] * n)
    assert "has no test samples" in error(split=["train"] * n, index=list(range(n)))
    assert "row 0: the split is None" in error(split=[None] * n)
    pq.write_table(pa.table({"split": ["train"]}), tmp_path / "other.parquet")
    with pytest.raises(UserError, match="expected split, label and png or jpeg"):
        CIFAR10(path=str(tmp_path / "other.parquet")).prepare(tmp_path / "data")


def test_labels_of_any_number_type(tmp_path: Path, images: dict, npz: Path) -> None:
    arrays = {f"x_{s}": x for s, (x, _) in images.items()}
    expected = CIFAR10(path=str(npz)).prepare(tmp_path / "data")
    for name, change in {"floats": np.float32, "columns": lambda y: y[:, None]}.items():
        path = tmp_path / f"{name}.npz"
        np.savez(path, **arrays, **{f"y_{s}": change(y) for s, (_, y) in images.items()})
        found = CIFAR10(path=str(path)).prepare(tmp_path / "data")
        assert np.array_equal(found.array("train_y"), expected.array("train_y"))
    np.savez(path, **arrays, **{f"y_{s}": y + 0.5 for s, (_, y) in images.items()})
    with pytest.raises(UserError, match=r"y_train, row 0: label 0\.5"):
        CIFAR10(path=str(path)).prepare(tmp_path / "data")


def test_npz_of_other_images_is_refused(tmp_path: Path, images: dict) -> None:
    x, y = images["train"]
    np.savez(tmp_path / "x.npz", x_train=x[:, :28], y_train=y, x_test=x, y_test=y)
    with pytest.raises(UserError, match=r"x_train is uint8 \(40, 28, 32, 3\)"):
        CIFAR10(path=str(tmp_path / "x.npz")).prepare(tmp_path / "data")
