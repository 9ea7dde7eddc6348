"""What loggers write, read back: the configuration, the course of the training, one run however often it starts."""

import struct
from collections.abc import Iterator
from pathlib import Path

import pytest
from pytorch_lightning.callbacks import Callback

from lra.errors import UserError
from lra.training import fit
from lra.training.run import run

COURSE = {
    "train/loss",
    "train/loss_epoch",
    "train/gradient_norm",
    "train/samples_per_s",
    "val/accuracy",
    "val/loss",
}
RATES = {"rate of lr 0.01, decay 0.01", "rate of lr 0.001, decay 0"}


class StopAt(Callback):
    """Interrupts the training after a step."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_train_batch_end(self, trainer, *_) -> None:
        if trainer.global_step == self.step:
            raise KeyboardInterrupt


def in_two_starts(composed, monkeypatch) -> None:
    make = fit.make_trainer
    with monkeypatch.context() as patch:
        patch.setattr(fit, "make_trainer", lambda c, p, d, cs, lg: make(c, p, d, [StopAt(15), *cs], lg))
        with pytest.raises(SystemExit):
            run(composed)
    run(composed)


def test_tensorboard(toy, monkeypatch):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    toy["logger"] = {"_target_": "pytorch_lightning.loggers.TensorBoardLogger"}
    toy["kernel"]["lr"] = {"A": 0.001, "B": 0.001, "dt": 0.001}
    in_two_starts(toy, monkeypatch)
    (folder,) = {path.parent for path in Path(toy["output_dir"]).rglob("events.out.tfevents*")}
    events = EventAccumulator(str(folder))
    events.Reload()
    assert {*events.Tags()["scalars"]} >= COURSE | {"test/accuracy"} | RATES
    assert [event.value for event in events.Scalars("epoch")][-1] == 4  # of the test
    said = (folder / "hparams.yaml").read_text()
    assert "kernel.state_size: 4" in said
    assert "run_id: " in said


def test_weights_and_biases_offline(toy, monkeypatch):
    from wandb.proto.wandb_internal_pb2 import Record

    monkeypatch.setenv("WANDB_MODE", "offline")
    toy["logger"] = {"_target_": "pytorch_lightning.loggers.WandbLogger", "project": "lra", "offline": True}
    toy["trainer"]["epochs"] = 1
    record = run(toy)
    (path,) = Path(toy["output_dir"]).rglob("*.wandb")
    seen = [Record.FromString(data) for data in logged(path.read_bytes())]
    (started,) = [r.run for r in seen if r.HasField("run")]
    assert (started.run_id, started.run_group) == (record.run_id, "custom/toy")
    assert started.display_name.endswith("seed=0")
    assert {*started.tags} == {"toy", "paper", "standin"}
    config = {item.key or ".".join(item.nested_key): item.value_json for r in seen for item in r.run.config.update}
    config |= {i.key or ".".join(i.nested_key): i.value_json for r in seen for i in r.config.update}
    assert config["kernel.state_size"] == "4"


def logged(content: bytes, block: int = 1 << 15, header: int = 7) -> Iterator[bytes]:
    """The entries of a file of W&B: LevelDB's log format, after seven bytes of its own."""
    at, entry = 7, b""
    while at + header <= len(content):
        if block - at % block < header:
            at += block - at % block
        _, size, kind = struct.unpack("<IHB", content[at : at + header])
        entry += content[at + header : at + header + size]
        at += header + size
        if kind in (1, 4):  # whole, or the last part
            yield entry
            entry = b""


@pytest.mark.parametrize(
    ("target", "said"),
    [("no.such.Logger", "cannot be imported"), ("torch.nn.Linear", "no logger of PyTorch Lightning")],
)
def test_no_logger(toy, target, said):
    toy["logger"] = {"_target_": target}
    with pytest.raises(UserError, match=said):
        run(toy)
    assert not [*Path(toy["results_dir"]).rglob("*.json")]
