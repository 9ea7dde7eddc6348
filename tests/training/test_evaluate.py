"""Finished runs: tested again, exported, loaded back."""

import json
import re
import subprocess
from pathlib import Path

import forked
import numpy as np
import pytest
import torch
from toy import Waves, folders

import lra
from lra.config import Config
from lra.data.datasets import Strided
from lra.data.task import silent
from lra.errors import UserError
from lra.paths import CHECKOUT
from lra.records import sources, store
from lra.records.schema import EvaluationRecord
from lra.training.assemble import assemble
from lra.training.checkpoint import saved
from lra.training.evaluate import evaluate, task_changes
from lra.training.export import export_run
from lra.training.run import run
from lra.weights import untrained

TOY = ["toy"]  # the module of the task, which is not part of the package


@pytest.fixture
def waves(toy):
    toy["task"] = {"_target_": "toy.Waves"}
    toy["model"] |= {"features": 16}
    return run(toy)


def test_same_score_again(waves, tmp_path):
    before = store.path(waves, tmp_path / "results").read_bytes()
    evaluation, path = evaluate(waves.run_id[:6], [*folders(tmp_path), "trainer.accelerator=cpu"], TOY)
    assert evaluation.test == waves.metrics.test
    assert evaluation.checkpoint_sha256 == waves.selection.checkpoint_sha256
    content = json.loads(path.read_text())
    content.pop(store.CHECKSUM)
    assert EvaluationRecord.model_validate(content) == evaluation
    assert store.path(waves, tmp_path / "results").read_bytes() == before
    assert store.load_all(tmp_path / "results") == ([waves], [])


def test_of_several_processes_the_first_alone_writes(waves, tmp_path, monkeypatch):
    monkeypatch.setattr("lra.training.evaluate.is_main", lambda: False)
    evaluation, path = evaluate(waves.run_id, [*folders(tmp_path), "trainer.accelerator=cpu"], TOY)
    assert evaluation.test == waves.metrics.test
    assert not path.exists()


def test_other_rate(waves, tmp_path):
    evaluation, _ = evaluate(waves.run_id, [*folders(tmp_path), "trainer.accelerator=cpu", "task.rate=2"], TOY)
    assert evaluation.changes == {"task.rate": "2"}
    assert evaluation.test.n == 48
    trained, again = store.load_all(tmp_path / "results")[0]
    assert trained == waves
    assert again.identity.changes == waves.identity.changes | {"task.rate": 2}
    assert again.metrics.test == evaluation.test
    target = tmp_path / "waves.safetensors"
    export_run(waves.run_id, folders(tmp_path), target, TOY)
    model = lra.load(target)
    data = Strided(Waves().dataset(Waves().prepare(tmp_path / "data"), "test"), 2)
    x, lengths, y = data[np.arange(48)]
    assert x.shape == (48, 16, 1)
    right = (model(x, lengths, 2.0).argmax(1) == y).float().mean().item()
    assert right == pytest.approx(evaluation.test.value)


def test_an_evaluation_counts_for_the_training_that_it_is_of(waves, tmp_path):
    _, path = evaluate(waves.run_id, [*folders(tmp_path), "trainer.accelerator=cpu", "task.rate=2"], TOY)
    again = waves.model_copy(deep=True)
    again.selection.checkpoint_sha256 = "0" * 64  # as if force=true had trained it anew
    store.write(again, tmp_path / "results")
    records, (problem,) = store.load_all(tmp_path / "results")
    assert records == [again]
    assert problem.startswith(f"{path}: evaluates an earlier training of run {waves.run_id}")


def test_an_evaluation_says_that_the_code_has_changed(waves, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(sources, "MODEL_PARTS", ("ops",))
    evaluate(waves.run_id, [*folders(tmp_path), "trainer.accelerator=cpu"], TOY)
    assert "The code of this run has changed since: lra. What follows" in capsys.readouterr().err


def test_where_the_data_lie_is_no_change():
    overrides = ["task.path=/my/data", "task.source=files", "trainer.devices=1", "task.rate=2"]
    assert task_changes(overrides) == {"task.rate": "2"}


def test_tokens_have_no_rate(toy, tmp_path):
    record = run(toy)
    with pytest.raises(UserError, match="consists of tokens"):
        evaluate(record.run_id, [*folders(tmp_path), "trainer.accelerator=cpu", "task.rate=2"], TOY)


@pytest.mark.parametrize(
    "override", ["kernel=s4", "model.layers=3", "task=text", "seed=3", "budget=demo", "trainer={}"]
)
def test_what_was_trained_cannot_be_changed(override):
    with pytest.raises(UserError, match=re.escape(f"{override}: a finished run is evaluated as it was trained")):
        evaluate("any", [override])


def test_each_evaluation_has_a_record_of_its_own(waves, tmp_path):
    options = [*folders(tmp_path), "trainer.accelerator=cpu"]
    (single, first), (double, second) = (
        evaluate(waves.run_id, [*options, *precision], TOY) for precision in ([], ["trainer.precision=64-true"])
    )
    assert (single.precision, double.precision) == ("32-true", "64-true")
    assert first != second
    assert first.exists()
    with pytest.raises(UserError, match=r"task.rate is True"):
        evaluate(waves.run_id, [*options, "task.rate=true"], TOY)


def test_mistakes(waves, tmp_path):
    with pytest.raises(UserError, match="There is no run 'zzz'"):
        evaluate("zzz", folders(tmp_path))
    (checkpoints,) = (tmp_path / "outputs").rglob("checkpoints")
    best = saved(checkpoints)[waves.metrics.best_val.step]
    best.write_bytes(best.read_bytes()[:-1])
    with pytest.raises(UserError, match="another than the record names"):
        evaluate(waves.run_id, folders(tmp_path), TOY)


def test_export_and_load(toy, tmp_path):
    record = run(toy)
    target = export_run(record.run_id, folders(tmp_path), tmp_path / "x" / "toy.safetensors", TOY)
    model = lra.load(target)
    assert model.recipe["run_id"] == record.run_id
    assert model.recipe["test"]["value"] == record.metrics.test.value
    assert not model.training
    assert model(torch.ones(2, 7, dtype=torch.int64), torch.tensor([7, 5])).shape == (2, 4)
    started = assemble(Config.parse(toy), silent).module.model.state_dict()
    torch.testing.assert_close(untrained(model).state_dict(), started, rtol=0, atol=0)
    assert str(tmp_path) not in json.dumps(model.recipe)
    with pytest.raises(UserError, match="There is no file"):
        lra.load(tmp_path / "nothing")
    target.write_bytes(target.read_bytes()[:100])
    with pytest.raises(UserError, match="damaged"):
        lra.load(target)


@pytest.mark.slow
def test_scripts(toy, tmp_path):
    record = run(toy)
    environment = {"PYTHONPATH": f"{CHECKOUT}/src:{CHECKOUT}/tests", "OMP_NUM_THREADS": "1"}

    def call(*arguments: str) -> subprocess.CompletedProcess[str]:
        return forked.run(*arguments, *folders(tmp_path), env=environment)

    said = call("scripts/evaluate.py", "--allow", "toy", record.run_id, "trainer.accelerator=cpu")
    (shown,) = re.findall(r"test accuracy: ([\d.]+)  \(standard error [\d.]+, 48 test samples\)\n", said.stdout)
    assert float(shown) == round(100 * record.metrics.test.value, 1)
    assert len(said.stdout.splitlines()) == 2  # Lightning says nothing
    assert said.stderr == ""
    target = tmp_path / "toy.safetensors"
    said = call("scripts/export.py", "--allow", "toy", "--to", str(target), record.run_id)
    assert Path(said.stdout.strip()) == target, said.stderr
    assert lra.load(target).recipe["experiment"] == "custom/toy"


def test_an_evaluation_edited_by_hand_is_left_out(waves, tmp_path):
    _, path = evaluate(waves.run_id, [*folders(tmp_path), "trainer.accelerator=cpu", "task.rate=2"], TOY)
    path.write_text(path.read_text().replace('"n": 48', '"n": 49'))
    records, (problem,) = store.load_all(tmp_path / "results")
    assert records == [waves]
    assert "changed after it was written" in problem
