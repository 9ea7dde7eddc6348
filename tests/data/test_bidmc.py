"""BIDMC: .ts files, the published split, npz files, errors."""

from pathlib import Path

import numpy as np
import pytest

from lra.data import bidmc
from lra.data.bidmc import BIDMC
from lra.data.splits import split_70_15_15
from lra.errors import UserError

TRAIN, TEST = 14, 6


def write_ts(path: Path, x: np.ndarray, y: np.ndarray) -> None:
    header = "#comment\n@problemName BIDMC32HR\n@timestamps false\n@univariate false\n@targetlabel true\n\n@data\n"
    rows = (
        ":".join([*(",".join(f"{v:.5f}" for v in channel) for channel in sample.T), f"{target:.4f}"])
        for sample, target in zip(x, y, strict=True)
    )
    path.write_text(header + "\n".join(rows) + "\n")


@pytest.fixture
def samples() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    n = TRAIN + TEST
    return rng.normal(size=(n, 4000, 2)).round(5).astype(np.float32), rng.normal(90, 5, n).round(4).astype(np.float32)


@pytest.fixture
def folder(tmp_path: Path, samples: tuple) -> Path:
    x, y = samples
    folder = tmp_path / "raw" / "bidmc"
    folder.mkdir(parents=True)
    write_ts(folder / "BIDMC32HR_TRAIN.ts", x[:TRAIN], y[:TRAIN])
    write_ts(folder / "BIDMC32HR_TEST.ts", x[TRAIN:], y[TRAIN:])
    return folder


def test_samples_are_split_anew_and_not_normalized(folder: Path, tmp_path: Path, samples: tuple) -> None:
    x, y = samples
    task = BIDMC(target="HR", path=str(tmp_path / "raw"))
    prepared = task.prepare(tmp_path / "data")
    assert prepared.meta.variant == "subset"  # 20 of 7949
    for split, rows in split_70_15_15(TRAIN + TEST).items():
        data = task.dataset(prepared, split)
        batch = data[np.arange(len(data))]
        assert np.array_equal(batch.x.numpy(), x[rows])
        assert np.array_equal(batch.y.numpy(), y[rows])
    spec = task.spec
    assert (spec.metric, spec.higher_is_better, spec.outputs, spec.inputs, spec.max_length) == (
        "rmse",
        False,
        1,
        2,
        4000,
    )


def test_published_split_sizes() -> None:
    assert dict(BIDMC(target="HR").spec.splits) == {"train": 5564, "val": 1192, "test": 1193}
    assert dict(BIDMC(target="RR").spec.splits) == {"train": 5509, "val": 1180, "test": 1181}
    assert BIDMC(target="SpO2").spec.name == "bidmc-spo2"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: text.replace(",", ";", 1), "line 8: "),
        (lambda text: text[: len(text) // 2 - 9000], r"line 1\d: "),  # cut off in the middle of a line
        (lambda text: text.split("@data")[0], "no samples after @data"),
        (lambda text: "".join(text.rsplit(":", 1)), "separated by colons"),
    ],
)
def test_wrong_lines_are_named(folder: Path, tmp_path: Path, change, message: str) -> None:
    path = folder / "BIDMC32HR_TRAIN.ts"
    path.write_text(change(path.read_text()))
    with pytest.raises(UserError, match=message) as caught:
        BIDMC(path=str(folder)).prepare(tmp_path / "data")
    assert str(path) in str(caught.value)
    assert not list((tmp_path / "data").rglob("*.npy"))


def test_missing_values_are_refused(folder: Path, tmp_path: Path) -> None:
    path = folder / "BIDMC32HR_TEST.ts"
    head, data = path.read_text().split("@data\n")
    path.write_text(head + "@data\n?" + data[data.index(",") :])
    number = head.count("\n") + 2
    with pytest.raises(UserError, match=rf"TEST\.ts, line {number}: a value is missing or infinite"):
        BIDMC(path=str(folder)).prepare(tmp_path / "data")


def test_download_is_poochs(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import io

    import pooch

    from lra.data import sources

    asked = []

    def retrieve(url: str, known_hash: None, fname: str, path: Path, progressbar: bool) -> None:
        asked.append(url)
        path.mkdir(exist_ok=True)
        (folder / fname).rename(path / fname)

    monkeypatch.setattr(pooch, "retrieve", retrieve)
    monkeypatch.setattr(sources.urllib.request, "urlopen", lambda *a, **k: io.BytesIO())
    monkeypatch.setattr(bidmc, "PARTS", {"HR": (TRAIN, TEST)})
    prepared = BIDMC(target="HR").prepare(tmp_path / "data")
    assert prepared.meta.variant == "official"
    base = "https://zenodo.org/record/4001456/files/BIDMC32HR_"
    assert asked == [f"{base}TRAIN.ts", f"{base}TEST.ts"]


def test_npz_with_windows(tmp_path: Path, samples: tuple) -> None:
    x, y = samples
    np.savez(tmp_path / "x.npz", x=x, y=y)
    prepared = BIDMC(target="SpO2", path=str(tmp_path / "x.npz")).prepare(tmp_path / "data")
    assert prepared.meta.variant == "modified"
    np.savez(tmp_path / "column.npz", x=x, y=y[:, None].astype(np.float64))
    column = BIDMC(target="SpO2", path=str(tmp_path / "column.npz")).prepare(tmp_path / "data")
    assert np.array_equal(column.array("train_y"), prepared.array("train_y"))
    y[3] = np.nan
    np.savez(tmp_path / "nan.npz", x=x, y=y)
    with pytest.raises(UserError, match="y, row 3: a value is missing"):
        BIDMC(path=str(tmp_path / "nan.npz")).prepare(tmp_path / "data")
    np.savez(tmp_path / "y.npz", x=x[:, :100], y=y)
    with pytest.raises(UserError, match=r"x is \(20, 100, 2\)"):
        BIDMC(path=str(tmp_path / "y.npz")).prepare(tmp_path / "data")
