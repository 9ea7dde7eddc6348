"""The record store: whole or not at all, whatever happens while writing or to the files."""

import errno
import json
import math
import os
import signal
import subprocess
import sys
import time

import pytest
from factory import make_record
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from lra.errors import UserError
from lra.records import store
from lra.records.schema import Score


def edit(file, change):
    content = json.loads(file.read_text())
    change(content)
    file.write_text(json.dumps(content))


def test_round_trip(tmp_path):
    record = make_record(changes={"kernel.init": "inv", "optimizer.lr": 0.001})
    file = store.write(record, tmp_path)
    assert file == tmp_path / "runs/lra/listops-s4d" / f"{record.run_id}.json"
    assert store.load(file) == record
    assert [f.name for f in file.parent.iterdir()] == [file.name]


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_what_is_not_finite_is_in_no_record(value):
    with pytest.raises(ValidationError, match="finite"):
        make_record(curve=[{"epoch": 0.0, "train_loss": value, "val_loss": 1.0}])
    with pytest.raises(ValidationError, match="finite"):
        make_record(config={"deep": [{"x": value}]})
    with pytest.raises(ValidationError, match="finite"):
        make_record(changes={"kernel.dt_min": value})


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda c: c["metrics"]["test"].update(value=0.99), "changed after it was written"),
        (lambda c: c.pop("sha256"), "changed after it was written"),
        (lambda c: c.update(status="finished"), "status"),
        (lambda c: c["metrics"].pop("name"), "metrics.name"),
        (lambda c: c.update(note="hello"), "note"),
        (lambda c: c["selection"].update(n_test_evaluations=2), "n_test_evaluations"),
        (lambda c: c.update(schema_version=0), "schema version 0"),
        (lambda c: c.pop("schema_version"), "schema version None"),
    ],
)
def test_edited_by_hand(tmp_path, change, words):
    file = store.write(make_record(), tmp_path)
    edit(file, change)
    with pytest.raises(UserError, match=words) as caught:
        store.load(file)
    assert str(file) in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"[]", b"3", b"\xff\xfe", b"{}", b"[" * 100_000, b"[" * 60 + b"]" * 60])
def test_not_a_record(tmp_path, content):
    file = tmp_path / "0123456789ab.json"
    file.write_bytes(content)
    with pytest.raises(UserError, match=r"0123456789ab\.json"):
        store.load(file)


def test_missing_file(tmp_path):
    with pytest.raises(UserError, match="cannot be read"):
        store.load(tmp_path / "none.json")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50, deadline=None)
@given(share=st.floats(0, 1, exclude_max=True))
def test_truncated_anywhere_is_never_half_read(tmp_path, share):
    file = store.write(make_record(), tmp_path)
    content = file.read_bytes().rstrip()
    file.write_bytes(content[: int(share * len(content))])
    with pytest.raises(UserError, match="truncated"):
        store.load(file)


def test_bad_records_are_named_and_left_out(tmp_path):
    good, truncated, copied = (make_record(seed=s) for s in range(3))
    store.write(good, tmp_path)
    truncated_file = store.write(truncated, tmp_path)
    truncated_file.write_text(truncated_file.read_text()[:500])
    copied_file = store.write(copied, tmp_path)
    renamed = copied_file.with_name("0123456789ab.json")
    renamed.write_bytes(copied_file.read_bytes())
    elsewhere = tmp_path / "runs/lra/other" / copied_file.name
    elsewhere.parent.mkdir()
    elsewhere.write_bytes(copied_file.read_bytes())

    records, problems = store.load_all(tmp_path)
    assert {r.run_id for r in records} == {good.run_id, copied.run_id}
    assert len(problems) == 3
    for file, words in [
        (truncated_file, "truncated"),
        (renamed, "named after its run"),
        (elsewhere, "duplicate"),
    ]:
        assert any(str(file) in p and words in p for p in problems)


def test_moved_record_is_named_with_its_place(tmp_path):
    file = store.write(make_record(), tmp_path)
    moved = tmp_path / "runs/elsewhere" / file.name
    moved.parent.mkdir()
    file.rename(moved)
    records, problems = store.load_all(tmp_path)
    assert records == []
    assert str(file) in problems[0]


def test_no_results_yet(tmp_path):
    assert store.load_all(tmp_path) == ([], [])


@pytest.mark.parametrize("function", ["fsync", "replace"])
def test_full_disk_leaves_the_previous_record(tmp_path, monkeypatch, function):
    running = make_record(value=None, status="running")
    file = store.write(running, tmp_path)

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, function, full)
    with pytest.raises(UserError, match="No space left"):
        store.write(running.model_copy(update={"status": "interrupted"}), tmp_path)
    monkeypatch.undo()
    assert store.load(file) == running
    assert [f.name for f in file.parent.iterdir()] == [file.name]


def test_an_invalid_record_is_not_written(tmp_path):
    record = make_record(value=None, status="running")
    broken = record.model_copy(update={"status": "complete"})  # unchecked by pydantic
    with pytest.raises(ValueError, match="a complete record needs"):
        store.write(broken, tmp_path)
    assert not list(tmp_path.rglob("*.json"))


WRITER = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from factory import make_record
from lra.records import store
first, last = int(sys.argv[3]), int(sys.argv[4])
while True:
    for seed in range(first, last):
        store.write(make_record(seed=seed), Path(sys.argv[2]))
    print("round", flush=True)
    if sys.argv[5] == "once":
        break
"""


def writer(folder, first, last, mode):
    here = os.path.dirname(os.path.dirname(__file__))
    command = [sys.executable, "-c", WRITER, here, str(folder), str(first), str(last), mode]
    return subprocess.Popen(command, stdout=subprocess.PIPE)


@pytest.mark.slow
def test_two_processes_lose_nothing(tmp_path):
    processes = [writer(tmp_path, 0, 15, "once"), writer(tmp_path, 10, 25, "once")]
    for process in processes:
        process.communicate(timeout=60)
        assert process.returncode == 0
    records, problems = store.load_all(tmp_path)
    assert problems == []
    assert sorted(r.identity.seed for r in records) == list(range(25))


@pytest.mark.slow
def test_killed_while_writing_leaves_whole_records(tmp_path):
    process = writer(tmp_path, 0, 3, "forever")
    process.stdout.readline()  # every record has been written once
    time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=60)
    records, problems = store.load_all(tmp_path)
    assert problems == []
    assert len(records) == 3


@pytest.mark.parametrize("value", [math.nan, math.inf, -0.1, 1.1])
def test_what_is_no_accuracy_is_no_result(value):
    with pytest.raises(ValidationError):
        make_record(value=0.5, best_val=value)
    with pytest.raises(ValidationError):
        make_record().metrics.test = Score(value=value, n=10, standard_error=None)


def test_a_score_of_no_samples_is_no_result():
    with pytest.raises(ValidationError, match="greater than or equal to 1"):
        Score(value=0.5, n=0, standard_error=None)


def test_records_are_strict_json(tmp_path):
    file = store.write(make_record(config={"x": 0.125}), tmp_path)
    for number in ("NaN", "Infinity", "-Infinity", "1e999"):
        file.write_text(file.read_text().replace("0.125", number))
        with pytest.raises(UserError, match=f"{number} is not a finite number"):
            store.load(file)
        file.write_text(file.read_text().replace(number, "0.125"))


def test_litter_is_no_record(tmp_path):
    file = store.write(make_record(), tmp_path)
    file.with_name(f"._{file.name}").write_bytes(b"\0\5\x16\7")
    assert store.load_all(tmp_path) == ([make_record()], [])
