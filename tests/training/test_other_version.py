"""Checkpoints of a layer whose code was changed since."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from lra.errors import UserError
from lra.kernels.base import Rule
from lra.mixers.convolution import Convolution
from lra.records import store
from lra.training import fit
from lra.training.evaluate import evaluate
from lra.training.run import run


def change_layer(monkeypatch: pytest.MonkeyPatch, change: Callable[[Convolution], None]) -> None:
    """The code of the layer says something else from now on."""
    make = Convolution.__init__

    @functools.wraps(make)
    def changed(self: Convolution, *arguments: Any, **options: Any) -> None:
        make(self, *arguments, **options)
        change(self)

    monkeypatch.setattr(Convolution, "__init__", changed)


def stop(_: fit.Training) -> None:
    raise KeyboardInterrupt


CHANGES = {
    r"missing model\.\S+\.mixer\.v\. Restore .* force=true": lambda layer: setattr(
        layer, "v", torch.nn.Parameter(torch.zeros(2))
    ),
    r"unexpected model\.\S+\.mixer\.D\. Restore .* force=true": lambda layer: layer.register_parameter("D", None),
    r"other shapes model\.\S+\.mixer\.D \(1, 8\), now \(2, 8\)\. Restore": lambda layer: setattr(
        layer, "D", torch.nn.Parameter(torch.zeros(2, 8))
    ),
}


def swap(layer: Convolution) -> None:
    """Two parameters of the same shape change places."""
    own = layer.kernel._parameters
    for name in ("log_dt", "A_imag", "A_real", "B", "C"):
        own[name] = own.pop(name)


OTHER_RULES = r"its optimizer had .*; now it has .* 1 at lr 0\.5 and decay 0, .*\. Restore .* force=true"
OTHER_ORDER = r"its parameters are in another order, with \S+A_real where \S+A_imag is now.* Restore .* force=true"


@pytest.mark.parametrize(
    ("message", "change"),
    [
        *CHANGES.items(),
        (OTHER_RULES, lambda layer: setattr(layer, "optimizer_rules", lambda: {"D": Rule(0.5, 0.0)})),
        (OTHER_ORDER, swap),
    ],
)
def test_a_layer_that_was_changed_since_does_not_resume(toy, monkeypatch, message, change):
    with monkeypatch.context() as patch:
        patch.setattr(fit.Training, "_test", stop)
        with pytest.raises(SystemExit):
            run(toy)
    (path,) = Path(toy["results_dir"]).rglob("*.json")
    before = store.load(path)
    with monkeypatch.context() as patch:
        change_layer(patch, change)
        with pytest.raises(UserError, match=f"The checkpoint is of another version of the model: {message}"):
            run(toy)
    failed = store.load(path)
    assert failed.status == "failed"
    assert "another version" in failed.status_reason
    assert (failed.metrics, failed.budget) == (before.metrics, before.budget)
    assert run(toy).status == "complete"


@pytest.mark.parametrize(("message", "change"), CHANGES.items())
def test_a_layer_that_was_changed_since_is_not_tested(toy, monkeypatch, message, change):
    record = run(toy)
    change_layer(monkeypatch, change)
    where = [f"{key}={toy[key]}" for key in ("data_dir", "output_dir", "results_dir")]
    with pytest.raises(UserError, match=f"The checkpoint is of another version of the model: {message}"):
        evaluate(record.run_id, [*where, "trainer.accelerator=cpu"], ["toy"])


def test_a_finished_run_is_tested_whatever_the_order_of_its_parameters(toy, monkeypatch):
    record = run(toy)
    change_layer(monkeypatch, swap)
    where = [f"{key}={toy[key]}" for key in ("data_dir", "output_dir", "results_dir")]
    evaluation, _ = evaluate(record.run_id, [*where, "trainer.accelerator=cpu"], ["toy"])
    assert evaluation.test.value == record.metrics.test.value
