"""Several processes: the same result as with one, however they are started and stopped."""

import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from toy import CONF, SMALL, folders

from lra.composition import compose
from lra.data.datasets import BatchSampler
from lra.errors import UserError
from lra.paths import CHECKOUT
from lra.records import store
from lra.records.schema import RunRecord
from lra.training.checkpoint import saved
from lra.training.run import run

UNEVEN = ["budget=reduced", "budget.val_samples=31", "budget.test_samples=47"]
ENVIRONMENT = {
    "PYTHONPATH": f"{CHECKOUT}/src:{CHECKOUT}/tests",
    "OMP_NUM_THREADS": "1",
    "PATH": "/usr/bin:/bin",
}


def overrides(folder: Path, *more: str) -> list[str]:
    return ["task=toy", f"hydra.searchpath=[file://{CONF}]", *SMALL, *UNEVEN, *folders(folder), *more]


def command(folder: Path, *more: str, launcher: tuple[str, ...] = ()) -> list[str]:
    return [sys.executable, *launcher, "train.py", *overrides(folder, "trainer.devices=2", *more)]


def start(arguments: list[str]) -> subprocess.Popen[str]:
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    return subprocess.Popen(arguments, cwd=CHECKOUT, env=ENVIRONMENT, **pipes)


def finish(arguments: list[str]) -> str:
    process = start(arguments)
    said = process.communicate(timeout=200)[0]
    assert process.returncode == 0, said
    return said


def outcome(folder: Path) -> tuple[RunRecord, dict[str, torch.Tensor]]:
    (path,) = (folder / "results").rglob("*.json")
    (checkpoints,) = (folder / "outputs").rglob("checkpoints")
    weights = torch.load(saved(checkpoints)[24], weights_only=True)["state_dict"]
    return store.load(path), weights


@pytest.fixture(scope="module")
def single(tmp_path_factory: pytest.TempPathFactory) -> tuple[RunRecord, dict[str, torch.Tensor]]:
    folder = tmp_path_factory.mktemp("single")
    composed = compose([*SMALL, *UNEVEN, *folders(folder)])
    run(composed | {"task": {"_target_": "toy.Toy", "max_length": 12}})
    return outcome(folder)


def assert_same(found: tuple[RunRecord, dict[str, torch.Tensor]], expected: Any) -> None:
    (record, weights), (whole, whole_weights) = found, expected
    assert record.status == "complete"
    assert record.run_id == whole.run_id  # the number of processes is not part of what a run is
    assert record.metrics.test.n == 47
    assert record.metrics.test.value == pytest.approx(whole.metrics.test.value)
    for ours, theirs in zip(record.metrics.curve, whole.metrics.curve, strict=True):
        assert ours == pytest.approx(theirs, rel=1e-4)
    for name, value in whole_weights.items():
        torch.testing.assert_close(weights[name], value, rtol=1e-3, atol=1e-5)


@pytest.mark.slow
def test_started_by_lightning(tmp_path, single):
    said = finish(command(tmp_path))
    assert said.count("custom/toy  seed 0") == 1  # one card
    assert said.count("│ record") == 1
    record, weights = outcome(tmp_path)
    assert_same((record, weights), single)
    assert record.compute.n_devices == 2


@pytest.mark.slow
def test_started_by_torchrun(tmp_path, single):
    launcher = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2")
    finish(command(tmp_path, launcher=launcher))
    assert_same(outcome(tmp_path), single)


@pytest.mark.slow
def test_an_error_in_all_processes_is_a_sentence_of_each(tmp_path):
    process = start(command(tmp_path, "optimizer.lr=1e30"))
    said = process.communicate(timeout=150)[0]
    assert process.returncode == 2, said
    assert said.count("error: The run diverged: ") == 2
    assert "Traceback" not in said


@pytest.mark.slow
def test_stopped_and_finished_by_one_process(tmp_path, single):
    process = start(command(tmp_path, "trainer.checkpoint_minutes=0"))
    deadline = time.monotonic() + 100
    while not [*tmp_path.rglob("step-*.ckpt")]:
        assert time.monotonic() < deadline
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    said = process.communicate(timeout=100)[0]
    assert process.returncode == 143, said
    (path,) = (tmp_path / "results").rglob("*.json")
    assert store.load(path).status == "interrupted", said
    composed = compose([*SMALL, *UNEVEN, *folders(tmp_path)])
    run(composed | {"task": {"_target_": "toy.Toy", "max_length": 12}})
    assert_same(outcome(tmp_path), single)


@pytest.mark.slow
def test_sweep_of_runs_with_two_processes(tmp_path):
    said = finish([*command(tmp_path, "seed=0,1", "trainer.epochs=1"), "-m"])
    records = [store.load(path) for path in (tmp_path / "results").rglob("*.json")]
    assert sorted(record.identity.seed for record in records) == [0, 1], said
    assert all(record.status == "complete" for record in records)


@pytest.mark.parametrize("size", [3, 16, 47, 48, 50])
@pytest.mark.parametrize("world", [1, 2, 3])
@pytest.mark.parametrize("parts", [1, 4, 16])
def test_evaluation_shares_have_no_duplicates(monkeypatch, size, world, parts):
    shares = []
    for rank in range(world):
        monkeypatch.setattr("lra.data.datasets.share", lambda rank=rank: (rank, world))
        sampler = BatchSampler(size, 16, shuffle=False, drop_last=False)
        sampler.parts = parts
        shares.append(list(sampler))
        assert len(sampler) == len(shares[-1])
    assert len({len(batches) for batches in shares}) == 1  # or one process would wait for ever
    assert min(len(rows) for batches in shares for rows in batches) > 0
    assert max(len(rows) for batches in shares for rows in batches) <= -(-16 // parts) + 1
    assert sorted(np.concatenate([rows for batches in shares for rows in batches])) == list(range(size))


@pytest.mark.parametrize(("world", "parts"), [(1, 1), (2, 1), (1, 4), (2, 2)])
def test_training_batches_do_not_depend_on_processes(monkeypatch, world, parts):
    whole = list(BatchSampler(50, 16, shuffle=True, drop_last=True, seed=3))
    shares = []
    for rank in range(world):
        monkeypatch.setattr("lra.data.datasets.share", lambda rank=rank: (rank, world))
        sampler = BatchSampler(50, 16, shuffle=True, drop_last=True, seed=3)
        sampler.parts = parts
        assert len(sampler) == 3 * parts
        shares.append(list(sampler))
    for i, batch in enumerate(whole):
        pieces = [share[i * parts + part] for share in shares for part in range(parts)]
        assert {len(piece) for piece in pieces} == {16 // world // parts}
        assert sorted(np.concatenate(pieces)) == sorted(batch)


def test_batch_must_be_shared_evenly(toy):
    toy["trainer"] |= {"devices": 3}
    with pytest.raises(UserError, match="batch of 16 samples cannot be shared by 3"):
        run(toy)


def test_batch_norm_is_not_shared_silently(toy):
    toy["trainer"] |= {"devices": 2}
    toy["model"]["norm"] = "batch"
    with pytest.raises(UserError, match="sync_batchnorm=false"):
        run(toy)


def test_torchrun_must_agree(toy, monkeypatch):
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "x")
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(UserError, match="torchrun started 2 processes"):
        run(toy)


@pytest.mark.parametrize(
    ("variable", "said"),
    [
        ("LOCAL_RANK=1", "LOCAL_RANK=1 .* unset it"),
        ("SLURM_PROCID=-1", "SLURM_PROCID=-1 .* unset it"),
        ("RANK=x", "RANK='x' in the environment is no number"),
        ("TORCHELASTIC_RUN_ID=x", "WORLD_SIZE='' in the environment is no number"),
    ],
)
def test_a_rank_that_is_left_over_loses_no_run(toy, monkeypatch, variable, said):
    """Such a process would train in silence and write no record."""
    monkeypatch.setenv(*variable.split("="))
    with pytest.raises(UserError, match=said):
        run(toy)
