"""`lra data`, `lra verify`, the benchmark and the stand-ins of every task."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from benchmarks import data as benchmark

from lra.commands.data import main as prepare
from lra.commands.verify import main as verify
from lra.data import pathfinder
from lra.data.catalog import make_task, ready, task_names
from lra.data.storage import META, Prepared
from lra.data.verify import findings
from lra.errors import UserError


@pytest.mark.parametrize("name", task_names())
def test_every_task_has_a_stand_in_by_name(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pathfinder, "STANDIN_IMAGES", 60)
    task = make_task(name, source="standin")
    prepared = task.prepare(tmp_path)
    assert prepared.meta.variant == "standin"
    spec = task.spec_of(prepared)
    for split in ("train", "val", "test"):
        data = task.dataset(prepared, split)
        assert len(data) == prepared.meta.counts[split] < spec.splits[split]
        batch = data[np.arange(5)]
        rows = 10 if spec.paired else 5
        assert batch.x.shape[0] == len(batch.lengths) == rows
        assert len(batch.y) == 5
        assert batch.x.shape[1] == batch.lengths.max() == data.lengths[:5].max() <= spec.max_length
        if spec.kind == "tokens":
            assert batch.x.dtype == torch.int64
            assert batch.x.max() < spec.inputs
        else:
            assert batch.x.dtype == torch.float32
            assert batch.x.shape[2] == spec.inputs
        if spec.metric == "accuracy":
            assert set(np.unique(data.y)) <= set(range(spec.outputs))
    assert all(finding.verdict != "wrong" for finding in findings(task, prepared))
    again = make_task(name, source="standin").prepare(tmp_path / "again")
    assert again.meta == prepared.meta


def test_without_a_task_it_shows_what_is_missing(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert prepare(["--data-dir", str(tmp_path)]) == 0
    output = capsys.readouterr().out
    for name in task_names():
        assert name[:8] in output
    assert "(96,000)" in output
    assert "lra data pathx: no download; generated here (two cores: 15 to 30 minutes)\n" in output
    assert output.replace("\n", "").count(f"looked for in {tmp_path}/raw") == 1
    assert not list(tmp_path.iterdir())


def test_several_tasks_and_the_official_layout(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    data, official = tmp_path / "data", tmp_path / "official"
    arguments = ["listops", "pathfinder", "--source", "standin", "--workers", "1"]
    assert prepare([*arguments, "--data-dir", str(data), "--official", str(official)]) == 0
    output = capsys.readouterr().out
    assert "listops: standin" in output
    assert "standin" in output.split("MB")[1]
    assert (official / "basic_train.tsv").read_bytes().count(b"\n") == 401
    assert len(list(official.rglob("sample_*.png"))) == 500
    assert len(ready(data, make_task("listops"))) == 1


def test_options_reach_the_task(tmp_path: Path) -> None:
    arguments = ["text", "--source", "standin", "--data-dir", str(tmp_path)]
    assert prepare([*arguments, "--set", "max_length=100", "protocol=held_out"]) == 0
    (one,) = ready(tmp_path, make_task("text"))
    assert one.meta.parameters["max_length"] == 100
    assert one.meta.counts == {"train": 360, "val": 40, "test": 100}


def test_one_failure_does_not_stop_the_others(tmp_path: Path, no_network: None, capsys: pytest.CaptureFixture) -> None:
    path = str(tmp_path / "empty")
    Path(path).mkdir()
    assert prepare(["image", "text", "--root", path, "--data-dir", str(tmp_path / "data")]) == 2
    errors = capsys.readouterr().err
    assert "image: error: Not found: CIFAR-10" in errors
    assert "text: error: Not found: the IMDB reviews" in errors


def test_nothing_to_verify_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert verify(["image", "text", "--data-dir", str(tmp_path)]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "Nothing prepared: image, text. To prepare: lra data TASK"


@pytest.mark.parametrize("main", [prepare, verify])
def test_an_unknown_task_is_one_line(main: Callable[[list[str]], int]) -> None:
    with pytest.raises(UserError, match="Did you mean 'pathx'"):
        main(["pathy"])


@pytest.mark.parametrize("workers", ["0", "-1", "many"])
def test_a_number_of_workers_is_at_least_one(workers: str, capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit, match="2"):
        prepare(["listops", "--workers", workers])
    assert f"{workers!r} is no whole number of at least 1" in capsys.readouterr().err


def test_verification_draws_samples_and_finds_damage(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    names = ["image", "scifar", "listops", "retrieval", "sc10-mfcc", "bidmc-hr"]
    folders = {name: make_task(name, source="standin").prepare(tmp_path).folder for name in names}
    assert verify([*names, "text", "--data-dir", str(tmp_path)]) == 0
    output = capsys.readouterr().out
    assert "Nothing prepared: text. To prepare: lra data TASK\n" in output
    assert "no sample in two" in output
    pictures = list((tmp_path / "samples").glob("*.png"))
    assert len(pictures) == len(names)
    assert all(picture.stat().st_size > 5000 for picture in pictures)

    path = folders["image"] / "test_x.npy"
    path.write_bytes(path.read_bytes()[:-1] + b"\x00")
    (folders["listops"] / META).write_text("{}")
    (folders["retrieval"] / META).unlink()
    assert verify([*names, "--data-dir", str(tmp_path)]) == 1
    output = capsys.readouterr().out
    assert "wrong" in output
    for name in ("listops", "retrieval"):
        assert f"damaged {folders[name].name[:8]}" in output


def test_overlapping_splits_are_found(tmp_path: Path) -> None:
    task = make_task("image", source="standin")
    prepared = task.prepare(tmp_path)
    x = prepared.array("train_x").copy()
    test = np.load(prepared.folder / "test_x.npy")
    test[3] = x[7]
    np.save(prepared.folder / "test_x.npy", test)
    reopened = Prepared(prepared.folder, prepared.meta)
    found = {finding.check: finding for finding in findings(task, reopened)}
    assert found["sha256"].verdict == "wrong"
    reopened.meta.arrays.clear()
    found = {finding.check: finding for finding in findings(task, reopened)}
    assert found["disjoint"].verdict == "note"
    assert "1 in train and test" in found["disjoint"].detail
    reopened.meta.variant = "regenerated"
    found = {finding.check: finding for finding in findings(task, reopened)}
    assert found["disjoint"].verdict == "wrong"
    assert found["counts"].verdict == "wrong"  # 360 images are not the published 45,000


def test_the_benchmark_has_a_row_for_what_is_prepared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(benchmark, "SECONDS", 0.05)
    monkeypatch.setattr(benchmark, "measure", lambda data: (100, 200, 0.5))
    make_task("listops", source="standin").prepare(tmp_path)
    (row,) = benchmark.rows(tmp_path)
    assert row["task"] == "listops"
    assert row["variant"] == "standin"
    assert (row["samples/s"], row["positions/s"]) == (200, 400)


def test_the_measurement_counts_what_it_fetched(tmp_path: Path) -> None:
    task = make_task("image", source="standin")
    data = task.dataset(task.prepare(tmp_path), "train")
    samples, positions, seconds = benchmark.measure(data, seconds=0.05)
    assert samples > 0
    assert samples % benchmark.BATCH_SIZE == 0
    assert positions == 1024 * samples
    assert 0.05 <= seconds < 5
