"""Parts of batches that fit into memory, and plans."""

from pathlib import Path

import pytest
import torch

from lra.errors import UserError
from lra.models.classifier import Classifier
from lra.records import store
from lra.terminal import Console, duration
from lra.training import plan
from lra.training.memory import backward, is_out_of_memory
from lra.training.run import run


@pytest.fixture
def small_memory(monkeypatch):
    """A machine on which at most `limit` samples can be trained at once."""
    limit = {"samples": 4}
    forward = Classifier.forward

    def limited(self, x, *rest):
        if torch.is_grad_enabled() and len(x) > limit["samples"]:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return forward(self, x, *rest)

    monkeypatch.setattr(Classifier, "forward", limited)
    return limit


def elsewhere(toy, name):
    return toy | {key: f"{toy[key]}-{name}" for key in ("output_dir", "results_dir")}


def test_batches_in_parts_train_the_same(toy, request):
    whole = run(elsewhere(toy, "whole"))
    request.getfixturevalue("small_memory")
    with pytest.raises(UserError, match=r"trainer\.micro_batch=8 computes 8 samples at a time"):
        run(elsewhere(toy, "fails"))
    toy["trainer"] |= {"micro_batch": 4}
    record = run(toy)
    assert record.run_id == whole.run_id
    assert record.compute.accumulate == 4
    assert record.budget.done_steps == whole.budget.done_steps == 24
    for ours, theirs in zip(record.metrics.curve, whole.metrics.curve, strict=True):
        assert ours == pytest.approx(theirs, rel=1e-4)
    assert record.metrics.test.value == whole.metrics.test.value
    assert not record.health


def test_batch_norm_sees_parts(toy):
    toy["trainer"] |= {"micro_batch": 4, "epochs": 1}
    toy["model"]["norm"] = "batch"
    (sentence,) = run(toy).health
    assert sentence.startswith("A batch of 16 is computed in 4 parts on each device; normalization")


def test_goes_on_in_other_parts_within_an_epoch(toy, small_memory, monkeypatch):
    whole = run(elsewhere(toy, "whole") | {"trainer": toy["trainer"] | {"micro_batch": 4}})
    toy["trainer"] |= {"micro_batch": 4, "checkpoint_minutes": 0}
    with monkeypatch.context() as patch:
        from faulty import Fault

        from lra.training import fit

        class Fails(Fault):
            def on_train_batch_end(self, trainer, *_):
                if trainer.global_step == 9:
                    raise ZeroDivisionError

        make = fit.make_trainer
        patch.setattr(fit, "make_trainer", lambda c, p, d, cb, lo: make(c, p, d, [Fails("", 0), *cb], lo))
        with pytest.raises(ZeroDivisionError):
            run(toy)
    toy["trainer"] |= {"micro_batch": 8}
    small_memory["samples"] = 8
    record = run(toy)
    assert record.compute.accumulate == 2
    for ours, theirs in zip(record.metrics.curve, whole.metrics.curve, strict=True):
        assert ours == pytest.approx(theirs, rel=1e-4)


def test_not_even_one_sample(toy, small_memory):
    small_memory["samples"] = 0
    toy["trainer"] |= {"micro_batch": 1}
    with pytest.raises(UserError, match="One sample is computed at a time already"):
        run(toy)


@pytest.mark.parametrize("prepared", [False, True])
def test_plan_measures_and_leaves_nothing(toy, capsys, prepared):
    if prepared:
        run(elsewhere(toy, "before"))
        capsys.readouterr()
    assert run(toy | {"plan": True}) is None
    said = capsys.readouterr().out
    for word in ("steps/s", "GiB", " for 24 steps", "at lr 0.001, decay 0", "4 epochs"):
        assert word in said
    assert ("not prepared yet" in said) != prepared
    for folder in ("output_dir", "results_dir"):
        assert not Path(toy[folder]).exists()
    assert Path(toy["data_dir"]).exists() == prepared


@pytest.mark.parametrize(("seconds", "samples"), [(0.5, 16), (4, 2), (30, 1), (100, 1)])
def test_a_plan_of_slow_steps_is_made_from_a_few_samples(toy, monkeypatch, capsys, seconds, samples):
    """Steps of 16 samples of so many seconds, which would take up to half an hour."""
    clock, largest = [0.0], []

    def slow(module, model, batch):
        clock[0] += seconds * len(batch.y)
        largest.append(len(batch.y))
        return backward(module, model, batch)

    monkeypatch.setattr(plan.time, "perf_counter", lambda: clock[0])
    monkeypatch.setattr(plan, "backward", slow)
    run(toy | {"plan": True})
    said = " ".join(capsys.readouterr().out.split())
    assert max(largest) == samples
    assert clock[0] <= 120
    assert f"{duration(16 * seconds)} a step" in said
    assert ("estimated from" in said) == (samples < 16)


def test_plan_on_features_and_after_it_the_run(toy):
    toy["task"] = {"_target_": "toy.Waves"}
    run(toy | {"plan": True})
    record = run(toy)
    assert record.status == "complete"
    assert store.load(store.path(record, Path(toy["results_dir"]))) == record


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("CUDA out of memory. Tried to allocate 2 GiB", True),
        ("cuFFT error: CUFFT_ALLOC_FAILED", True),
        ("cuFFT error: CUFFT_INTERNAL_ERROR", True),
        ("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`", True),
        ("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes", True),
        ("mat1 and mat2 shapes cannot be multiplied", False),
    ],
)
def test_what_counts_as_out_of_memory(message, expected):
    assert is_out_of_memory(RuntimeError(message)) is expected


@pytest.mark.parametrize(("seconds", "calls"), [(0.1, 8), (20, 2), (90, 1)])
def test_a_plan_measures_slow_steps_less_often(monkeypatch, capsys, seconds, calls):
    clock, counted = [0.0], []

    def work():
        clock[0] += seconds
        counted.append(seconds)

    monkeypatch.setattr(plan.time, "perf_counter", lambda: clock[0])
    found = plan._measured("training step", work, torch.device("cpu"), Console())
    assert found == pytest.approx(seconds)
    assert len(counted) == calls == capsys.readouterr().out.count("training step")
