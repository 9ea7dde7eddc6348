"""What is said of a run while it runs, and how it is timed."""

from typing import ClassVar

import pytest
import torch

from lra.config import Expected
from lra.training.callbacks import Divergence, Stopwatch, Trajectory
from lra.training.run import run


def test_still_at_chance_is_said_with_likely_causes(toy, capsys):
    toy["expected"] = [{"epoch": 2, "val": 99}]
    toy["optimizer"]["lr"] = 1e-9
    toy["kernel"]["lr"] = {"A": 0, "B": 0, "dt": 0}
    record = run(toy)
    (said,) = record.health
    assert said.startswith("Still at chance after epoch 2: ")
    assert "published runs about 99" in said
    for cause in ("learning rate too high", "warm-up too short", "seed"):
        assert cause in said
    assert "Still at chance" in capsys.readouterr().out


@pytest.mark.parametrize(("value", "said"), [(0.9, "On track"), (0.6, "Behind"), (0.26, "Still at chance")])
def test_trajectory(value, said):
    class Trainer:
        current_epoch = 4
        callback_metrics: ClassVar[dict] = {}

    class Number(float):
        def item(self) -> float:
            return float(self)

    Trainer.callback_metrics = {"val/accuracy": Number(value), "val/n": Number(2000)}
    heard: list[str] = []
    watcher = Trajectory([Expected(epoch=5, val=90)], "accuracy", 0.25, heard.append)
    watcher.on_train_epoch_end(Trainer, None)
    assert len(heard) == 1
    assert heard[0].startswith(said)


def test_rising_loss_is_said():
    heard: list[str] = []
    divergence = Divergence(heard.append)
    for step in range(20):
        divergence._watch(1.0 if step < 5 else 10.0, 20 * step)
    assert heard[0] == "The loss is rising: 10 at step 180, 1 at the start."


@pytest.mark.parametrize("parts", [1, 4])
def test_losses_are_looked_at_after_whole_steps(parts):
    """After each part of a batch the step would be the same one, and the host would wait each time."""

    class Trainer:
        accumulate_grad_batches, is_last_batch, global_step = parts, False, 0

        class strategy:
            @staticmethod
            def reduce(tensor, reduce_op):
                return tensor

    divergence, looked = Divergence(print), []
    divergence._watch = lambda loss, step: looked.append(step)
    for batch in range(45 * parts):
        Trainer.global_step = (batch + 1) // parts
        divergence.on_train_batch_end(Trainer, None, {"loss": torch.tensor(1.0)}, None, batch)
    assert looked == [20, 40]


def test_throughput_and_health_are_recorded(toy):
    record = run(toy)
    compute = record.compute
    assert 0 < compute.steps_per_s < 10_000
    assert compute.samples_per_s == pytest.approx(16 * compute.steps_per_s)
    assert 0 <= compute.data_wait < 1
    assert compute.peak_memory_bytes > 1e7
    assert 0 < compute.train_s < compute.wall_s
    assert (compute.device, compute.n_devices, compute.restarts, compute.accumulate) == ("cpu", 1, 0, 1)


def test_stopwatch_counts_steps_not_parts(monkeypatch):
    clock = iter(range(1000))
    monkeypatch.setattr("time.perf_counter", lambda: float(next(clock)))

    class Trainer:
        accumulate_grad_batches = 2
        is_last_batch = False

    class Module:
        class device:
            type = "cpu"

        @staticmethod
        def log(*_) -> None: ...

    watch = Stopwatch(batch_size=10)
    for _ in range(100):
        watch.on_train_batch_start()
        watch.on_train_batch_end(Trainer, Module)
    assert sum(steps for steps, _ in watch.windows) == 45  # 5 to warm up, two windows of 20
    assert watch.steps_per_s == pytest.approx(1 / 4, rel=0.1)  # two parts, each two ticks of the clock
    assert watch.samples_per_s == 10 * watch.steps_per_s
    assert watch.data_wait == pytest.approx(0.5, rel=0.1)


def test_several_seeds_differ_and_zero_is_a_seed(toy):
    toy["trainer"]["epochs"] = 1
    losses = set()
    for seed in (0, 1, 2):
        record = run(toy | {"seed": seed})
        assert record.identity.seed == seed
        losses.add(record.metrics.curve[0]["train_loss"])
    assert len(losses) == 3
    assert run(toy | {"seed": 0, "force": True}).metrics.curve[0]["train_loss"] in losses
