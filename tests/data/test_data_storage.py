"""The store: what can be opened is whole, whoever was killed, wrote at the same time or ran out of space."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from lra.data import storage
from lra.data.hashes import file_sha256, files_sha256
from lra.data.storage import META, Meta, Store, Writer
from lra.errors import UserError

PREAMBLE = """
import sys, time
from pathlib import Path
import numpy as np
from lra.data.storage import Store
folder = Path(sys.argv[1])
store = Store(folder, "numbers", 1, "standin", {"n": 10})
"""
SLOW = (
    PREAMBLE
    + """
def build(writer):
    writer.save("first", np.arange(10))
    (folder / "building").touch()
    time.sleep(60)
store.prepare(build)
"""
)
COUNTED = (
    PREAMBLE
    + """
def build(writer):
    with open(folder / "builds", "a") as file:
        file.write("x")
    time.sleep(0.5)
    writer.save("first", np.arange(10))
prepared = store.prepare(build)
assert prepared.array("first").sum() == 45
"""
)
FULL = (
    PREAMBLE
    + """
import resource, signal
from lra.errors import UserError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # a write beyond the limit is then an error, as on a full disk
resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))
def build(writer):
    writer.save("small", np.arange(10))
    if sys.argv[2] == "save":
        writer.save("large", np.zeros(1_000_000))
    else:
        writer.create("large", (1_000_000,), np.float64)
try:
    store.prepare(build)
except UserError as error:
    print(error)
"""
)


def store(folder: Path, **parameters: object) -> Store:
    return Store(folder, "numbers", 1, "standin", parameters or {"n": 10})


def ten(writer: Writer) -> None:
    writer.save("first", np.arange(10))
    writer.counts["train"] = 10


def run(code: str, *arguments: object) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )


def visible(folder: Path) -> list[str]:
    """What a reader could take for prepared data."""
    return sorted(path.name for path in (folder / "numbers").iterdir() if path.name[0] != "." and path.is_dir())


def test_prepared_data_are_found_again(tmp_path: Path) -> None:
    first = store(tmp_path).prepare(ten)
    again = store(tmp_path).prepare(lambda writer: pytest.fail("prepared twice"))
    assert again.folder == first.folder
    assert np.array_equal(again.array("first"), np.arange(10))
    assert again.meta.counts == {"train": 10}
    assert not again.array("first").flags.writeable


def test_everything_the_arrays_depend_on_is_in_the_fingerprint(tmp_path: Path) -> None:
    variants = [
        Store(tmp_path, "numbers", 1, "standin", {"n": 10}),
        Store(tmp_path, "digits", 1, "standin", {"n": 10}),
        Store(tmp_path, "numbers", 2, "standin", {"n": 10}),
        Store(tmp_path, "numbers", 1, "official", {"n": 10}),
        Store(tmp_path, "numbers", 1, "standin", {"n": 11}),
    ]
    assert len({s.fingerprint for s in variants}) == len(variants)
    assert Store(tmp_path, "a", 1, "standin", {"x": 1, "y": 2}).fingerprint == (
        Store(tmp_path, "a", 1, "standin", {"y": 2, "x": 1}).fingerprint
    )


def test_a_killed_preparation_leaves_nothing_that_counts(tmp_path: Path) -> None:
    process = run(SLOW, tmp_path)
    try:
        deadline = time.monotonic() + 60
        while not (tmp_path / "building").exists():
            assert process.poll() is None, process.stdout.read()
            assert time.monotonic() < deadline
            time.sleep(0.02)
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate()
    assert list((tmp_path / "numbers").glob(".*.partial/first.npy")), "it was not killed in the middle"
    assert store(tmp_path).open() is None
    assert visible(tmp_path) == []
    prepared = store(tmp_path).prepare(ten)
    prepared.verify()
    assert not list((tmp_path / "numbers").glob(".*.partial"))


def test_of_two_processes_one_builds(tmp_path: Path) -> None:
    processes = [run(COUNTED, tmp_path) for _ in range(2)]
    outputs = [process.communicate(timeout=100)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], outputs
    assert (tmp_path / "builds").read_text() == "x"


@pytest.mark.parametrize("how", ["save", "create"])
def test_a_full_disk_is_one_message_and_leaves_nothing(tmp_path: Path, how: str) -> None:
    process = run(FULL, tmp_path, how)
    output = process.communicate(timeout=100)[0].decode()
    assert process.returncode == 0, output
    assert "Preparing numbers in" in output
    assert "Nothing was kept" in output
    assert "data_dir" in output
    assert visible(tmp_path) == []
    assert not list((tmp_path / "numbers").glob(".*.partial"))


def test_an_error_in_the_build_leaves_nothing(tmp_path: Path) -> None:
    def build(writer: Writer) -> None:
        ten(writer)
        raise UserError("the raw data are wrong")

    with pytest.raises(UserError, match="the raw data are wrong"):
        store(tmp_path).prepare(build)
    assert visible(tmp_path) == []
    assert not list((tmp_path / "numbers").glob(".*.partial"))


@pytest.mark.parametrize("resume", [False, True])
def test_an_interruption_keeps_what_can_be_resumed(tmp_path: Path, resume: bool) -> None:
    def interrupted(writer: Writer) -> None:
        ten(writer)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store(tmp_path).prepare(interrupted, resume=resume)
    assert bool(list((tmp_path / "numbers").glob(".*.partial/first.npy"))) is resume
    assert store(tmp_path).open() is None

    def build(writer: Writer) -> None:
        assert (writer.folder / "first.npy").is_file() is resume
        ten(writer)

    store(tmp_path).prepare(build, resume=resume).verify()


def test_damage_is_noticed(tmp_path: Path) -> None:
    prepared = store(tmp_path).prepare(ten)
    path = prepared.folder / "first.npy"
    good = path.read_bytes()
    path.write_bytes(good[:-1] + b"\x01")
    with pytest.raises(UserError, match=r"first\.npy has sha256 .* damaged"):
        prepared.verify()
    path.write_bytes(good[:-8])
    with pytest.raises(UserError, match="missing or of the wrong size"):
        store(tmp_path).open()
    path.unlink()
    with pytest.raises(UserError, match="missing or of the wrong size"):
        store(tmp_path).prepare(ten)
    for content in ("{", "{}", "[" * 100_000):
        (prepared.folder / META).write_text(content)
        with pytest.raises(UserError, match=r"meta\.json cannot be read: .* Delete .* and prepare again") as caught:
            store(tmp_path).open()
        assert "https://" not in str(caught.value)
        assert "\n" not in str(caught.value)
    (prepared.folder / META).unlink()
    with pytest.raises(UserError, match=r"has no meta\.json, so it is not whole\. Delete"):
        store(tmp_path).prepare(ten)


def test_a_changed_array_is_never_opened(tmp_path: Path) -> None:
    path = store(tmp_path).prepare(ten).folder / "first.npy"
    content = bytearray(path.read_bytes())
    content[-3] ^= 4
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"first\.npy has sha256 .* damaged"):
        store(tmp_path).open()
    with pytest.raises(UserError, match="damaged"):
        store(tmp_path).prepare(ten)


def test_arrays_are_hashed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prepared = store(tmp_path).prepare(ten)
    monkeypatch.setattr(storage, "_verified", {})  # as in another process
    monkeypatch.setattr(storage, "file_sha256", lambda path: pytest.fail("hashed again"))
    store(tmp_path).open()
    monkeypatch.undo()
    (prepared.folder / storage.VERIFIED).write_text("{")  # a note that cannot be read
    hashed = []
    monkeypatch.setattr(storage, "_verified", {})
    monkeypatch.setattr(storage, "file_sha256", lambda path: hashed.append(path.name) or file_sha256(path))
    store(tmp_path).open()
    store(tmp_path).open()
    assert hashed == ["first.npy"]


@pytest.mark.parametrize(
    "change",
    [
        {"variant": "official"},
        {"task": "digits"},
        {"parameters": {"n": 11}},
        {"fingerprint": "0" * 16},
        {"facts": {"vocabulary": ["a"]}},
        {"counts": {"train": 11}},
    ],
    ids=lambda change: next(iter(change)),
)
@pytest.mark.parametrize("forged", [False, True])
def test_an_edited_description_is_refused(tmp_path: Path, change: dict, forged: bool) -> None:
    folder = store(tmp_path).prepare(ten).folder
    meta = Meta.read(folder).model_copy(update=change)
    if forged:  # with a hash that fits: then the fingerprint must not
        if {"facts", "counts"} & set(change):
            return
        meta.sha256 = meta.digest()
    (folder / META).write_text(meta.model_dump_json())
    with pytest.raises(UserError, match=r"changed after it was written|not those of its folder"):
        store(tmp_path).open()


def test_the_data_of_another_task_in_the_folder_are_refused(tmp_path: Path) -> None:
    mine, other = store(tmp_path), store(tmp_path, n=11)
    other.prepare(ten).folder.rename(mine.folder)
    with pytest.raises(UserError, match="not those of its folder"):
        mine.open()


def test_no_samples_is_no_data(tmp_path: Path) -> None:
    def build(writer: Writer) -> None:
        ten(writer)
        writer.counts["val"] = 0

    with pytest.raises(UserError, match="would have no val samples"):
        store(tmp_path).prepare(build)
    assert visible(tmp_path) == []


def test_a_cache_that_cannot_be_used_only_costs_time(tmp_path: Path) -> None:
    raw, cache = tmp_path / "raw", tmp_path / "hashes.json"
    raw.mkdir()
    (raw / "a").write_text("a")
    expected = files_sha256([raw / "a"], raw, cache)
    for content in ("", "[]", "{", '{"x": 1}', cache.read_text().replace(expected, "x")):
        cache.write_text(content)
        assert files_sha256([raw / "a"], raw, cache) == expected
    cache.unlink()
    cache.mkdir()  # can be neither read nor written
    assert files_sha256([raw / "a"], raw, cache) == expected


def test_many_files_have_one_hash_that_is_kept(tmp_path: Path) -> None:
    root, cache = tmp_path / "raw", tmp_path / "data" / "hashes.json"
    root.mkdir()
    files = [root / name for name in ("b", "a")]
    for path in files:
        path.write_text(path.name)
    first = files_sha256(files, root, cache)
    assert files_sha256(reversed(files), root, cache) == first
    assert list(json.loads(cache.read_text()).values()) == [first]
    files[0].write_text("changed")
    second = files_sha256(files, root, cache)
    assert second != first
    moved = tmp_path / "elsewhere"
    os.rename(root, moved)
    assert files_sha256([moved / "a", moved / "b"], moved, cache) == second
