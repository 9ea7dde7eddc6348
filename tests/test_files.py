"""Files are written whole or not at all, locks need no special file system, litter is not listed."""

import errno
import fcntl
import os
import threading
import time
from pathlib import Path

import pytest

from lra.errors import UserError
from lra.files import Busy, listed, locked, parse_json, replacing, write_text


def test_a_file_is_replaced_as_a_whole(tmp_path: Path) -> None:
    target = tmp_path / "new" / "folder" / "x.txt"
    write_text(target, "first")
    write_text(target, "été")
    assert target.read_text(encoding="utf-8") == "été"
    assert [path.name for path in target.parent.iterdir()] == ["x.txt"]


def test_what_fails_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "x.txt"
    write_text(target, "old")

    def full(path: Path) -> None:
        path.write_text("half")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with (
        pytest.raises(UserError, match=r"x\.txt could not be written: No space left"),
        replacing(target) as path,
    ):
        full(path)
    monkeypatch.setattr(os, "replace", lambda *_: full(tmp_path / "other"))
    with pytest.raises(UserError, match="unchanged"):
        write_text(target, "new")
    assert target.read_text() == "old"
    assert {path.name for path in tmp_path.iterdir()} == {"x.txt", "other"}


def test_a_folder_that_is_a_file_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="could not be written"):
        write_text(tmp_path / "file" / "x", "content")


@pytest.mark.parametrize("target", ["", ".", "/", "..", "folder", "folder/.."])
def test_a_folder_is_not_replaced_by_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, target: str) -> None:
    (tmp_path / "folder").mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=r"^/.* is a folder and cannot be written as a file\. Give a file's name\."):
        write_text(Path(target), "content")
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


@pytest.mark.parametrize("depth", [51, 100_000])
def test_json_is_not_read_where_it_is_nested_too_deeply(depth: int) -> None:
    assert parse_json('{"a": [1, {"b": null}]}') == {"a": [1, {"b": None}]}
    assert str(parse_json("[" * 50 + "]" * 50)) == "[" * 50 + "]" * 50
    for opening, closing in ("[]", ('{"a":', "}")):
        with pytest.raises(ValueError, match="nested too deeply"):
            parse_json(opening * depth + "1" + closing * depth)


def test_one_process_holds_a_lock(tmp_path: Path) -> None:
    with locked(tmp_path / "a" / "lock", wait=False):
        again = locked(tmp_path / "a" / "lock", wait=False)
        with pytest.raises(Busy):
            again.__enter__()
    assert not [*(tmp_path / "a").iterdir()]
    (tmp_path / "a" / "lock").touch()
    with locked(tmp_path / "a" / "lock", wait=True):  # a file that was left behind holds nobody up
        pass


def test_a_lock_that_is_removed_while_others_wait_is_still_one_lock(tmp_path: Path) -> None:
    lock, inside, most = tmp_path / "lock", [], []

    def work() -> None:
        for _ in range(50):
            with locked(lock, wait=True):
                inside.append(None)
                most.append(len(inside))
                time.sleep(0)
                inside.pop()

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(most) == 400
    assert max(most) == 1


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP])
def test_a_file_system_without_locks_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture, number: int
) -> None:
    def flock(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    (tmp_path / "lock").touch()  # copied from another disk
    monkeypatch.setattr(fcntl, "flock", flock)
    with locked(tmp_path / "lock", wait=False):
        pass
    assert "without locks" in capsys.readouterr().err


def test_litter_is_not_listed(tmp_path: Path) -> None:
    names = ["a.txt", "sub/b.txt", "._a.txt", ".hidden/c.txt", "__MACOSX/a.txt", "sub/._b.txt", "Thumbs.db"]
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert listed(tmp_path, "*.txt") == [tmp_path / "a.txt"]
    assert listed(tmp_path, "**/*.txt") == [tmp_path / "a.txt", tmp_path / "sub" / "b.txt"]
    assert listed(tmp_path, "**/*.db") == []
    assert listed(tmp_path / "missing", "*") == []
