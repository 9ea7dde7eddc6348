"""Getting raw data: no network, refusals, the arena's archive from a server, broken mirrors."""

import gc
import io
import tarfile
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from lra.data import sources
from lra.data.catalog import make_task, task_names
from lra.data.listops import OFFICIAL_NAMES
from lra.data.sources import Remote, npz_arrays, parquet_columns
from lra.errors import UserError


def archive() -> bytes:
    """A small lra_release.gz with the doubled folder of the real one."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for name in (*OFFICIAL_NAMES.values(), "../tsv_data/new_aan_pairs.train.tsv"):
            content = f"content of {name}".encode()
            info = tarfile.TarInfo(f"lra_release/lra_release/listops-1000/{name}".replace("listops-1000/../", ""))
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return packed.getvalue()


@pytest.fixture
def server() -> Iterator[str]:
    """The address of a server that has the archive, at /missing nothing and at /broken half of it."""
    content = archive()

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.send_response(404 if self.path == "/missing" else 200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()

        def do_GET(self) -> None:
            self.do_HEAD()
            self.wfile.write(content[: len(content) // 2] if self.path == "/broken" else content)

        def log_message(self, *args: object) -> None:
            pass

    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=httpd.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{httpd.server_port}"
    httpd.shutdown()
    thread.join()
    httpd.server_close()


@pytest.mark.filterwarnings("default")  # pooch tells the hash of what it could not check; so does tqdm's monitor
def test_the_archive_is_fetched_and_one_folder_unpacked(
    tmp_path: Path, server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sources, "LRA_URL", f"{server}/lra_release.gz")
    sources.lra_release(tmp_path, "listops-1000", "listops")
    names = list(OFFICIAL_NAMES.values())
    folder = sources.first_folder(sources.lra_folders(tmp_path, "listops-1000"), names, tmp_path / "hashes.json")
    assert folder == tmp_path / "lra_release" / "lra_release" / "listops-1000"
    assert (folder / names[0]).read_text() == f"content of {names[0]}"
    assert not (folder.parent / "tsv_data").exists()


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize(("path", "reason"), [("missing", "404"), ("broken", "failed")])
def test_a_failed_download_is_one_message(
    tmp_path: Path, server: str, monkeypatch: pytest.MonkeyPatch, path: str, reason: str
) -> None:
    monkeypatch.setattr(sources, "LRA_URL", f"{server}/{path}")
    with pytest.raises(UserError, match=reason) as caught:
        sources.lra_release(tmp_path, "listops-1000", "listops")
    assert "lra_release.gz (8.23 GB" in str(caught.value)
    assert f"put it at {tmp_path}/lra_release.gz,\n  unpack it there with tar -xf lra_release.gz" in str(caught.value)
    assert "there must be lra_release/listops-1000 or" in str(caught.value)
    del caught
    gc.collect()  # the library's half-read answer, while warnings are not errors


@pytest.mark.parametrize("name", task_names())
def test_without_a_network_every_download_fails_at_once_with_everything_needed(
    name: str, tmp_path: Path, no_network: None
) -> None:
    task = make_task(name, source="download")
    start = time.monotonic()
    with pytest.raises(UserError) as caught:
        task.prepare(tmp_path)
    assert time.monotonic() - start < 20  # imports of the libraries included
    message = str(caught.value)
    raw = str(tmp_path / "raw")
    assert "no connection" in message  # what happened
    assert f"is not in {raw}" in message  # where it was looked for
    assert "http" in message  # where it is
    assert any(fact in message for fact in ("sha256", "no published hash", "bytes"))  # how to know it
    assert f"put it at {raw}/" in message  # where it belongs
    assert "lra data" in message  # how to go on
    assert not [path for path in tmp_path.rglob("*") if path.name not in ("raw",) and path.suffix == ".npy"]


@pytest.mark.parametrize("name", task_names())
def test_missing_files_are_said_with_the_places(name: str, tmp_path: Path, no_network: None) -> None:
    with pytest.raises(UserError, match=r"Not found: .*\. Looked in") as caught:
        make_task(name, source="files").prepare(tmp_path)
    assert str(tmp_path / "raw") in str(caught.value)
    if "lra_release.gz" in str(caught.value):
        assert "tar -xf lra_release.gz" in str(caught.value)


def test_wrong_sources_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"task\.source is 'downlod'.*Did you mean 'download'"):
        make_task("image", source="downlod")
    with pytest.raises(UserError, match=r"Not found: .*\. Looked in:\n  .*nothing"):
        make_task("image", path=str(tmp_path / "nothing")).prepare(tmp_path)
    with pytest.raises(UserError, match="reads no files"):
        make_task("image", source="standin", path=str(tmp_path))
    with pytest.raises(UserError, match="Did you mean 'pathx'"):
        make_task("pathy")


def test_library_errors_become_one_message(tmp_path: Path, server: str) -> None:
    def fail() -> None:
        raise OSError("No space left on device")

    remote = Remote("Numbers", f"{server}/x", "numbers.gz (1 kB)", "numbers.gz", "numbers")
    with pytest.raises(UserError, match=r"Numbers is not in .*OSError: No space left on device"):
        remote.fetch(tmp_path, fail)
    assert remote.fetch(tmp_path, lambda: 5) == 5


def test_broken_mirrors(tmp_path: Path) -> None:
    path = tmp_path / "broken"
    path.write_bytes(b"PAR1 and no more")
    with pytest.raises(UserError, match=r"cannot be read as parquet.*cut off"):
        parquet_columns(path, ("split",))
    np.savez(tmp_path / "x.npz", x=np.arange(5))
    with (
        pytest.raises(UserError, match=r"has no y; it has x\. Expected: x, y"),
        npz_arrays(tmp_path / "x.npz", "xy"),
    ):
        pass
    whole = (tmp_path / "x.npz").read_bytes()
    (tmp_path / "x.npz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match="cannot be read as npz"), npz_arrays(tmp_path / "x.npz", "x"):
        pass


def test_a_column_that_occurs_twice_is_said(tmp_path: Path) -> None:
    import pyarrow
    import pyarrow.parquet

    columns = [pyarrow.array(values) for values in (["train"], [1], [2])]
    pyarrow.parquet.write_table(pyarrow.table(columns, names=["split", "label", "label"]), tmp_path / "x.parquet")
    with pytest.raises(UserError, match=r"x\.parquet has label more than once.* Keep one of each\.$"):
        parquet_columns(tmp_path / "x.parquet", ("split", "label"))
    assert parquet_columns(tmp_path / "x.parquet", ("split",)) == {"split": ["train"]}


def test_two_copies_in_the_archive_are_said(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    outer, inner = (tmp_path / "lra_release" / inside / "listops-1000" for inside in ("", "lra_release"))
    cache = tmp_path / "hashes.json"

    def read(raw: Path) -> Path | None:
        return sources.first_folder(sources.lra_folders(raw, "listops-1000"), ["a.tsv"], cache)

    assert read(tmp_path) is None
    for folder, content in ((outer, "old"), (inner, "new")):
        folder.mkdir(parents=True)
        (folder / "a.tsv").write_text(content)
    for raw in (tmp_path, tmp_path / "lra_release"):
        assert read(raw) == inner
        assert capsys.readouterr().err == (
            f"Reading {inner}; with DIFFERENT content there is {outer}.\n" if raw == tmp_path else ""
        )
    (outer / "a.tsv").write_text("new")
    assert read(tmp_path) == inner
    assert f"with the same content there is {outer}" in capsys.readouterr().err
