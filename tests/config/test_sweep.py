"""What a job of a sweep notes for the table at its end."""

import json
from pathlib import Path
from types import SimpleNamespace

from factory import make_record

from lra.records import store
from lra.sweep import NOTES, job


def test_a_record_below_the_home_folder_is_found_again(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    record = make_record("small/image-s4d", 0.5)
    store.write(record, tmp_path / "results")
    hydra = SimpleNamespace(
        overrides=SimpleNamespace(task=["seed=0"]),
        sweep=SimpleNamespace(dir=tmp_path / "sweep"),
        job=SimpleNamespace(num=0),
        mode=None,
    )
    with job(hydra, "~/results") as finished:
        finished.append(record)
    (place,) = json.loads((tmp_path / "sweep" / NOTES / "0.json").read_text())["records"]
    assert Path(place).exists()
