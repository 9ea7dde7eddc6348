"""Whatever happens to a run, the same command afterwards ends as if nothing had happened."""

import copy
import os
import random
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import forked
import pytest
import torch
from faulty import killed_after, struck, suffer

from lra.errors import UserError
from lra.records import store
from lra.records.schema import RunRecord
from lra.training.checkpoint import is_whole, saved
from lra.training.run import run

STEPS = 24  # 4 epochs of 6


@pytest.fixture(scope="module")
def _whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return {"folder": tmp_path_factory.mktemp("whole")}


@pytest.fixture
def whole(toy: dict[str, Any], _whole: dict[str, Any]) -> tuple[RunRecord, dict[str, torch.Tensor]]:
    """Record and last weights of the uninterrupted run, made once."""
    if "result" not in _whole:
        moved = at(toy, _whole["folder"])
        _whole["result"] = run(moved), weights(moved)
    return _whole["result"]


@pytest.fixture
def toy(toy: dict[str, Any]) -> dict[str, Any]:
    toy["model"] |= {"dropout": 0.2, "norm": "batch"}  # random numbers and statistics must continue, too
    toy["trainer"]["checkpoint_minutes"] = 0
    return toy


def at(composed: dict[str, Any], folder: Path) -> dict[str, Any]:
    moved = copy.deepcopy(composed)
    return moved | {key: f"{folder}/{key}" for key in ("data_dir", "output_dir", "results_dir")}


def folder(composed: dict[str, Any]) -> Path:
    (found,) = Path(composed["output_dir"]).rglob("checkpoints")
    return found


def weights(composed: dict[str, Any]) -> dict[str, torch.Tensor]:
    return torch.load(saved(folder(composed))[STEPS], weights_only=True)["state_dict"]


def recorded(composed: dict[str, Any]) -> RunRecord:
    (path,) = Path(composed["results_dir"]).rglob("*.json")
    return store.load(path)


def assert_recovers(composed: dict[str, Any], whole: tuple[RunRecord, dict[str, torch.Tensor]]) -> RunRecord:
    record = run(composed)
    assert record.metrics == whole[0].metrics
    assert record.compute.restarts == 1
    found = weights(composed)
    assert found.keys() == whole[1].keys()
    assert all(torch.equal(found[name], value) for name, value in whole[1].items())
    assert not [*folder(composed).glob(".*")]
    assert len(saved(folder(composed))) <= 3  # two, and the best
    return record


@pytest.mark.parametrize("step", [1, 5, 6, 7, 15, 24])
def test_killed_at_a_step(toy, whole, tmp_path, step):
    assert struck(toy, "SIGKILL", step, tmp_path / "log") == -9
    assert recorded(toy).status == "running"
    assert_recovers(toy, whole)


def test_killed_between_epochs_goes_on_from_the_last_one(toy, whole, tmp_path):
    toy["trainer"]["checkpoint_minutes"] = 10
    assert struck(toy, "SIGKILL", 16, tmp_path / "log") == -9
    assert max(saved(folder(toy))) == 12
    assert_recovers(toy, whole)


@pytest.mark.parametrize(("name", "code"), [("SIGTERM", 143), ("SIGINT", 130)])
def test_asked_to_stop_saves_first(toy, whole, tmp_path, name, code):
    toy["trainer"]["checkpoint_minutes"] = 10
    assert struck(toy, name, 10, tmp_path / "log") == code
    record = recorded(toy)
    assert (record.status, record.status_reason) == ("interrupted", "stopped at step 10")
    assert max(saved(folder(toy))) == 10
    assert_recovers(toy, whole)


def test_time_limit_saves_and_stops_and_each_start_makes_progress(toy, whole, capsys):
    toy["trainer"]["checkpoint_minutes"] = 10
    limited = toy | {"trainer": toy["trainer"] | {"time_limit": 1e-6}}
    for _ in range(2):
        with pytest.raises(SystemExit) as stopped:
            run(limited)
        assert stopped.value.code == 124  # as of timeout(1)
        assert "The time limit is reached. The same command resumes" in capsys.readouterr().out
    record = recorded(toy)
    assert (record.status, record.status_reason) == ("interrupted", "stopped at step 2")
    ended = run(limited | {"trainer": toy["trainer"] | {"time_limit": "1h"}})
    assert ended.metrics == whole[0].metrics
    assert ended.compute.restarts == 2
    assert all(torch.equal(weights(toy)[name], value) for name, value in whole[1].items())


@pytest.mark.parametrize(
    ("name", "state", "options", "requeued"),
    [
        ("SIGUSR2", "RUNNING", "", "12"),  # the warning that time is running out
        ("SIGUSR1", "RUNNING", "array", "10_3"),
        ("SIGUSR2", "RUNNING", "force", ""),  # which would begin anew
        ("SIGTERM", "RUNNING", "", "12"),
        ("SIGTERM", "COMPLETING", "", ""),  # cancelled, or requeued by SLURM itself
        ("SIGINT", "RUNNING", "", ""),
    ],
)
def test_slurm_job_saves_and_requeues(toy, whole, tmp_path, name, state, options, requeued):
    toy["trainer"]["checkpoint_minutes"] = 10
    requeue = f'echo "$@" > {tmp_path}/scontrol.log; kill -TERM $PPID'  # SLURM ends a job to requeue it
    commands = {"squeue": f"echo {state}", "scontrol": requeue}
    for command, body in commands.items():
        (tmp_path / command).write_text(f"#!/bin/sh\n{body}\n")
        (tmp_path / command).chmod(0o755)
    env = {"SLURM_JOB_ID": "12", "SLURM_NTASKS": "1", "SLURM_JOB_NAME": "lra", "SLURM_PROCID": "0"}
    env |= {"SLURM_LOCALID": "0", "SLURM_NODEID": "0", "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    if options == "array":
        env |= {"SLURM_ARRAY_JOB_ID": "10", "SLURM_ARRAY_TASK_ID": "3"}
    given = toy | {"force": options == "force"}
    assert struck(given, name, 10, tmp_path / "log", **env) == 128 + signal.Signals[name]
    log = tmp_path / "scontrol.log"
    assert (log.read_text().split() if log.exists() else []) == (["requeue", requeued] if requeued else [])
    assert ("SLURM will start it again" in (tmp_path / "log").read_text()) == bool(requeued)
    assert max(saved(folder(toy))) == 10
    assert_recovers(toy, whole)


@pytest.mark.parametrize("force", [False, True])
def test_a_record_has_one_writer(toy, whole, tmp_path, force):
    """The same run elsewhere, with the same results_dir, while the first is at work."""
    process = forked.process(suffer, toy, "SIGSTOP", 9, tmp_path / "log", {})
    process.start()
    while "State:\tT" not in Path(f"/proc/{process.pid}/status").read_text():
        assert process.exitcode is None, (tmp_path / "log").read_text()
        time.sleep(0.05)
    before = recorded(toy)
    elsewhere = toy | {"output_dir": f"{tmp_path}/elsewhere", "force": force}
    try:
        with pytest.raises(UserError, match="active in another process"):
            run(elsewhere)
        assert recorded(toy) == before
        assert not [*Path(elsewhere["output_dir"]).rglob("*.ckpt")]
    finally:
        os.kill(process.pid, signal.SIGCONT)
        process.join(120)
    assert process.exitcode == 0, (tmp_path / "log").read_text()
    assert recorded(toy).metrics == whole[0].metrics


@pytest.mark.parametrize("what", ["validation-SIGKILL", "validation-SIGTERM", "test", "writing"])
def test_killed_elsewhere(toy, whole, tmp_path, what):
    assert struck(toy, what, 9, tmp_path / "log") == (143 if "TERM" in what else -9)
    if what == "writing":
        assert [*folder(toy).glob(".*.partial")]
    assert_recovers(toy, whole)


@pytest.mark.parametrize(
    ("what", "reason", "said"),
    [
        ("nan", "diverged: the loss is not finite from step 9 on", "Lower the learning rate"),
        ("memory", "out of memory at step 8", "trainer.micro_batch=8"),
    ],
)
def test_failed(toy, whole, tmp_path, what, reason, said):
    assert struck(toy, what, 9, tmp_path / "log") == 2
    record = recorded(toy)
    assert (record.status, record.status_reason) == ("failed", reason)
    assert said in (tmp_path / "log").read_text()
    assert max(saved(folder(toy))) == 8  # nothing that is not a number was saved
    assert_recovers(toy, whole)


def test_file_size_limit(toy, whole, tmp_path):
    assert struck(toy, "disk", 9, tmp_path / "log") == 2
    assert "could not be written" in (tmp_path / "log").read_text()
    assert max(saved(folder(toy))) == 8
    assert_recovers(toy, whole)


def test_disk_full(toy, whole, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(disk)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("only root may mount a small disk")
    try:
        toy["output_dir"] = str(disk)
        assert struck(toy, "fill", 9, tmp_path / "log", FILLER=f"{disk}/filler") == 2
        assert "No space left on device" in (tmp_path / "log").read_text()
        assert recorded(toy).status == "failed"
        assert max(saved(folder(toy))) == 8
        assert all(is_whole(path) for path in saved(folder(toy)).values())
        (disk / "filler").unlink()
        assert_recovers(toy, whole)
    finally:
        subprocess.run(["umount", str(disk)], check=True)


@pytest.mark.parametrize("damage", ["truncated", "changed", "empty"])
def test_damaged_checkpoint(toy, whole, tmp_path, capsys, damage):
    assert struck(toy, "SIGKILL", 16, tmp_path / "log") == -9
    newest = saved(folder(toy))[15]
    content = newest.read_bytes()
    middle = len(content) // 2
    changed = content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]
    newest.write_bytes({"truncated": content[:middle], "changed": changed, "empty": b""}[damage])
    assert_recovers(toy, whole)
    assert f"{newest.name} is damaged" in capsys.readouterr().out.replace("\n", "")


def test_all_checkpoints_damaged_begins_again(toy, whole, tmp_path):
    assert struck(toy, "SIGKILL", 9, tmp_path / "log") == -9
    for path in saved(folder(toy)).values():
        path.write_bytes(b"")
    assert_recovers(toy, whole)


@pytest.mark.slow
def test_struck_again_and_again(toy, whole, tmp_path):
    """A fault at every third step or so, of every kind, in one run."""
    kinds = ["SIGKILL", "SIGTERM", "nan", "SIGINT", "memory", "writing", "disk"]
    strikes = list(zip(range(2, STEPS, 3), kinds * 2, strict=False))
    for step, what in strikes:
        assert struck(toy, what, step, tmp_path / "log") != 0, (tmp_path / "log").read_text()
    record = run(toy)
    assert record.metrics == whole[0].metrics
    assert record.compute.restarts == len(strikes)
    assert all(torch.equal(value, whole[1][name]) for name, value in weights(toy).items())


@pytest.mark.slow
def test_killed_at_random_moments(toy, whole, tmp_path, pytestconfig):
    """Twice each: in preparation, training, validation, while a checkpoint or the record is written, in the test."""
    start = time.monotonic()
    assert killed_after(at(toy, tmp_path / "timed"), None, tmp_path / "log") == 0
    length, rng = time.monotonic() - start, random.Random(0)
    for kill in range(pytestconfig.getoption("--kills")):
        struck_run = at(toy, tmp_path / str(kill))
        for _ in range(2):
            assert killed_after(struck_run, rng.uniform(0, length), tmp_path / "log") in (-9, 0)
        record = run(struck_run)
        assert record.metrics == whole[0].metrics, kill
        assert all(torch.equal(value, whole[1][name]) for name, value in weights(struck_run).items()), kill
        left = [path for path in (tmp_path / str(kill)).rglob("*") if path.is_file() and path.suffix != ".lock"]
        results = [path.suffix for path in left if path.is_relative_to(struck_run["results_dir"])]
        assert results == [".json"]  # and the empty lock of one that was killed when all was done
        assert not [path for path in left if path.name.startswith(".")], kill  # nothing half-written stays
