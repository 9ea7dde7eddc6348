"""Runs from configuration to record: learning, determinism, resuming, failing."""

import copy
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback
from toy import Toy

from lra.cli import explanation
from lra.data.storage import Store
from lra.errors import UserError
from lra.records import sources, store
from lra.training import fit
from lra.training import run as run_module
from lra.training.run import run


def final_weights(composed: dict[str, Any]) -> dict[str, torch.Tensor]:
    path = max(Path(composed["output_dir"]).rglob("step-*.ckpt"))
    return torch.load(path, weights_only=True)["state_dict"]


def in_folder(composed: dict[str, Any], name: str) -> dict[str, Any]:
    moved = copy.deepcopy(composed)
    for key in ("output_dir", "results_dir"):
        moved[key] = f"{composed[key]}-{name}"
    return moved


def plateau(composed: dict[str, Any]) -> dict[str, Any]:
    return composed | {"scheduler": {"name": "plateau", "factor": 0.5, "patience": 0}}


class Stop(Callback):
    """Raises in the middle of an epoch, once."""

    def __init__(self, epoch: int, error: BaseException) -> None:
        self.epoch, self.error = epoch, error

    def on_train_batch_end(self, trainer: Any, *_: Any) -> None:
        if trainer.current_epoch == self.epoch and trainer.global_step % 6 == 3:
            raise self.error


def stopping(monkeypatch: pytest.MonkeyPatch, callback: Callback) -> None:
    make = fit.make_trainer

    def wrapped(config: Any, plan: Any, run_dir: Any, callbacks: list, logger: Any) -> Any:
        return make(config, plan, run_dir, [callback, *callbacks], logger)

    monkeypatch.setattr(fit, "make_trainer", wrapped)


def interrupted_record(composed: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> Path:
    """Train until the third epoch and no further; the record that this leaves."""
    with monkeypatch.context() as patch:
        stopping(patch, Stop(epoch=2, error=KeyboardInterrupt()))
        with pytest.raises(SystemExit):
            run(composed)
    (path,) = Path(composed["results_dir"]).rglob("*.json")
    return path


def test_learns_and_records(toy):
    toy["trainer"]["epochs"] = 12
    toy["scheduler"]["total_steps"] = 72
    toy["model"] |= {"features": 32, "layers": 2, "norm": "batch"}
    toy["kernel"]["state_size"] = 16
    record = run(toy)
    curve = record.metrics.curve
    assert curve[-1]["train_loss"] < 0.7 * curve[0]["train_loss"]
    assert record.metrics.test.value > record.metrics.chance + 0.2
    assert record.status == "complete"
    assert record.selection.n_test_evaluations == 1
    assert record.budget.done_steps == record.budget.planned_steps == 72
    assert record.metrics.best_val.value == max(row["val_accuracy"] for row in curve)
    assert record.data.variant == "standin"
    assert store.load(store.path(record, Path(toy["results_dir"]))) == record


def test_same_seed_same_result_and_other_seed_another(toy):
    first = run(in_folder(toy, "a"))
    again = run(in_folder(toy, "b"))
    assert first.metrics == again.metrics
    assert first.run_id == again.run_id
    toy["seed"] = 1
    other = run(in_folder(toy, "c"))
    assert other.run_id != first.run_id
    assert other.metrics.curve != first.metrics.curve


@pytest.mark.parametrize("schedule", ["cosine", "plateau"])
def test_resumed_equals_uninterrupted(toy, monkeypatch, schedule, device):
    toy["trainer"]["accelerator"] = "gpu" if device == "cuda" else "cpu"
    toy["model"]["dropout"] = 0.2  # its random numbers must continue too
    if schedule == "plateau":
        toy = plateau(toy)
    whole = run(in_folder(toy, "whole"))
    path = interrupted_record(toy, monkeypatch)
    interrupted = store.load(path)
    assert interrupted.status == "interrupted"
    assert [row["epoch"] for row in interrupted.metrics.curve] == [1, 2]

    resumed = run(toy)
    assert resumed.metrics.curve == whole.metrics.curve
    assert resumed.metrics == whole.metrics
    assert resumed.compute.restarts == 1
    expected, found = final_weights(in_folder(toy, "whole")), final_weights(toy)
    assert expected.keys() == found.keys()
    assert all(torch.equal(expected[name], found[name]) for name in expected)


def test_earlier_starts_are_kept(toy, monkeypatch):
    """The hardware and the code of the last start are not those of the whole run."""
    interrupted_record(toy, monkeypatch)
    monkeypatch.setattr(sources, "MODEL_PARTS", ("ops",))
    torch.set_num_threads(2)
    try:
        resumed = run(toy)
    finally:
        torch.set_num_threads(1)
    (first,) = resumed.earlier  # its last checkpoint ended epoch 2
    assert (first.hardware.partition(" of ")[0], first.precision, first.steps) == ("1 core", "32-true", 12)
    assert [words.partition(" of ")[0] for words in resumed.hardware] == ["1 core", "2 cores"]
    assert resumed.code_labels == [first.code]
    assert resumed.health == ["The code changed at step 12, where the run was resumed: lra."]


def test_a_record_is_not_replaced_because_its_checkpoints_are_elsewhere(toy, monkeypatch):
    """As in a clone, where records are and checkpoints are not."""
    path = interrupted_record(toy, monkeypatch)
    before, elsewhere = path.read_bytes(), toy["output_dir"]
    toy["output_dir"] += "-new"
    with pytest.raises(UserError, match=r"has 12 of 24 steps of this run, but there is no checkpoint .* force=true"):
        run(toy)
    assert path.read_bytes() == before
    toy["output_dir"] = elsewhere
    assert run(toy).status == "complete"


def test_a_run_does_not_go_on_with_other_data(toy, monkeypatch):
    path = interrupted_record(toy, monkeypatch)
    before = path.read_bytes()
    with monkeypatch.context() as patch:
        made = Toy.store
        patch.setattr(
            Toy, "store", lambda self, folder: Store(folder, "toy", 2, "modified", made(self, folder).parameters)
        )
        with pytest.raises(UserError, match=r"for 12 steps on standin data \(\w+\); the data of toy are now modified"):
            run(toy)
    assert path.read_bytes() == before
    assert run(toy).status == "complete"


def test_a_start_that_dies_before_its_first_checkpoint_takes_nothing_from_the_record(toy, monkeypatch):
    path = interrupted_record(toy, monkeypatch)
    before = store.load(path)
    with monkeypatch.context() as patch:
        stopping(patch, Stop(epoch=2, error=RuntimeError("again")))
        patch.setattr(fit.Training, "save", lambda *_: pytest.fail("saved"))
        with pytest.raises(RuntimeError, match="again"):
            run(toy)
    after = store.load(path)
    assert (after.metrics.curve, after.budget.done_steps) == (before.metrics.curve, 12)
    assert (after.starts(), after.status) == (before.starts(), "failed")


def test_a_damaged_record_loses_no_checkpoints(toy, monkeypatch):
    whole = run(in_folder(toy, "whole"))
    path = interrupted_record(toy, monkeypatch)
    path.write_text(path.read_text()[:200])
    before = sorted(Path(toy["output_dir"]).rglob("*.ckpt"))
    with pytest.raises(UserError, match=rf"Delete {path}: the same command then resumes"):
        run(toy)
    assert sorted(Path(toy["output_dir"]).rglob("*.ckpt")) == before
    path.unlink()
    assert run(toy).metrics == whole.metrics


def test_finished_run_is_shown_not_repeated(toy, capsys, monkeypatch):
    first = run(toy)
    assert "whole: 4 epochs, 24 steps" in capsys.readouterr().out  # there is no paper behind it
    monkeypatch.setattr(fit, "Training", lambda *_: pytest.fail("trained again"))
    assert run(toy) == first
    assert "is finished" in capsys.readouterr().out


def test_finished_run_says_that_its_code_has_changed(toy, capsys, monkeypatch):
    run(toy)
    monkeypatch.setattr(sources, "MODEL_PARTS", ("ops",))
    run(toy)
    said = capsys.readouterr().out
    assert "code of this run has changed since: lra" in said
    assert said.index("has changed since") < said.rindex("ours")


def test_a_run_that_another_process_finishes_meanwhile_is_not_tested_again(toy, monkeypatch):
    """It was not there when the command began, and is when the lock is free."""
    first = run(toy)
    missing, found = iter([None]), run_module._previous
    monkeypatch.setattr(run_module, "_previous", lambda *places: next(missing, found(*places)))
    monkeypatch.setattr(fit, "Training", lambda *_: pytest.fail("trained again"))
    assert run(toy) == first


def test_force_runs_again(toy):
    first = run(toy)
    again = run(toy | {"force": True})
    assert again.metrics == first.metrics
    assert again.compute.restarts == 0


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (torch.OutOfMemoryError("no memory left"), "out of memory at step"),
        (ZeroDivisionError("one over nothing"), "ZeroDivisionError: one over nothing"),
    ],
)
def test_failure_is_recorded(toy, monkeypatch, error, reason):
    stopping(monkeypatch, Stop(epoch=0, error=error))
    with pytest.raises((UserError, ZeroDivisionError)):
        run(toy)
    (path,) = Path(toy["results_dir"]).rglob("*.json")
    record = store.load(path)
    assert record.status == "failed"
    assert reason in record.status_reason


def test_nan_stops_the_run_with_its_step(toy):
    toy["optimizer"]["lr"] = 1e30
    with pytest.raises(UserError, match=r"diverged: the loss is not finite from step \d+ on"):
        run(toy)
    (path,) = Path(toy["results_dir"]).rglob("*.json")
    assert store.load(path).status == "failed"


class Poison(Callback):
    """Makes the weights NaN before the `split` is evaluated."""

    def __init__(self, split: str) -> None:
        self.split = split

    def poison(self, module: pl.LightningModule) -> None:
        next(module.parameters()).data.fill_(float("nan"))

    def on_validation_start(self, _: pl.Trainer, module: pl.LightningModule) -> None:
        if self.split == "val":
            self.poison(module)

    def on_test_start(self, _: pl.Trainer, module: pl.LightningModule) -> None:
        if self.split == "test":
            self.poison(module)


@pytest.mark.parametrize(("split", "step"), [("val", 6), ("test", 24)])
def test_nan_is_never_a_result(toy, monkeypatch, split, step):
    stopping(monkeypatch, Poison(split))
    with pytest.raises(UserError, match=rf"diverged: {split}/\w+ is not finite at step {step}"):
        run(toy)
    (path,) = Path(toy["results_dir"]).rglob("*.json")
    record = store.load(path)
    assert record.status == "failed"
    assert f"at step {step}" in record.status_reason
    assert record.metrics.test is None
    assert (record.metrics.best_val is None) == (split == "val")


def test_a_folder_that_cannot_be_written_is_a_sentence(toy, tmp_path):
    (tmp_path / "file").touch()
    for key in ("data_dir", "output_dir", "results_dir"):
        with pytest.raises((UserError, OSError)) as caught:
            run(toy | {key: str(tmp_path / "file" / "folder")})
        assert str(tmp_path / "file") in explanation(caught.value)


def test_two_processes_do_not_share_a_run(toy):
    from lra.config import Config
    from lra.files import locked

    folder = Path(toy["output_dir"]) / "custom/toy" / Config.parse(toy).run_id()
    with locked(folder / "lock", wait=True), pytest.raises(UserError, match="active in another process"):
        run(toy)


def test_overfits_one_batch(toy):
    toy["budget"] |= {"kind": "reduced", "train_samples": 16}
    toy["trainer"] |= {"epochs": 100}
    toy["model"] |= {"features": 32, "layers": 2, "norm": "batch"}
    toy["kernel"]["state_size"] = 16
    toy["scheduler"] |= {"warmup_steps": 5, "total_steps": 600}
    record = run(toy)
    assert record.metrics.curve[-1]["train_loss"] < 0.05
    assert record.budget.reasons == ["16 of 96 training samples"]


def test_data_on_the_device_changes_nothing(toy):
    first = run(in_folder(toy, "a"))
    toy["trainer"]["data_on_device"] = True
    resident = run(in_folder(toy, "b"))
    assert resident.run_id == first.run_id
    assert resident.metrics == first.metrics
