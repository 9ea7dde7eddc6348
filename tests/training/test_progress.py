"""What is shown while a run trains."""

import io
import re
from types import SimpleNamespace

import pytest
import torch

from lra.terminal import Console
from lra.training.progress import RunProgress


def trainer(step: int, epoch: int, accuracy: float) -> SimpleNamespace:
    metrics = {"train/loss_epoch": torch.tensor(0.5), "val/accuracy": torch.tensor(accuracy)}
    return SimpleNamespace(
        global_step=step,
        current_epoch=epoch,
        max_epochs=40,
        estimated_stepping_batches=96_000.0,
        callback_metrics=metrics,
    )


@pytest.mark.parametrize("width", [80, 120])
def test_a_bar_for_the_whole_run_below_a_line_for_each_epoch(width):
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=width, color_system=None)
    progress = RunProgress(console, "accuracy", lambda: {"val_accuracy": 0.31}, brief=False)
    progress.seconds = 0.0
    progress.on_train_start(trainer(0, 0, 0.0), None)
    for epoch, accuracy in ((0, 0.31), (1, 0.29)):
        progress.on_train_epoch_end(trainer(2400 * (epoch + 1), epoch, accuracy), None)
    progress._begin -= 100.0
    progress.on_train_batch_end(trainer(4801, 2, 0.29), None, {"loss": torch.tensor(1.25)})
    progress.on_train_end()
    shown = io.StringIO()
    Console(file=shown, width=width).print(progress.bar.get_renderable())
    (line,) = shown.getvalue().splitlines()
    assert re.match("epoch 3/40 [━╸]", line)
    assert re.search(r"4,801/96,000  4[78][.\d]*/s  loss 1.250  best 0.3100  31:4", line)
    assert len(line.rstrip()) <= width
    assert "epoch 2/40  train loss 0.500  val accuracy 0.2900" in out.getvalue()


def test_lines_elsewhere():
    out = io.StringIO()
    progress = RunProgress(Console(file=out, width=80), "accuracy", lambda: None, brief=False)
    progress.seconds = 0.0
    progress.on_train_start(trainer(0, 0, 0.0), None)
    progress._begin -= 100.0
    progress.on_train_batch_end(trainer(4800, 2, 0.29), None, {"loss": torch.tensor(1.25)})
    assert re.fullmatch(r"step 4800/96000  4[78][.\d]* steps/s  31:4\d left  loss 1.250\n", out.getvalue())
