"""What a heavy run on a CPU says before it prepares anything."""

import re

import pytest
import torch

from lra.composition import compose
from lra.config import Config
from lra.terminal import duration
from lra.training.assemble import make_task
from lra.training.forecast import forecast


def said(*overrides):
    config = Config.parse(compose(list(overrides)))
    return forecast(config, make_task(config).spec)


@pytest.fixture(autouse=True)
def on_two_cores_without_a_gpu(monkeypatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)


def test_a_heavy_recipe_says_days_and_how_to_try_it_smaller():
    words = said("experiment=lra/pathx-s4d")
    assert "days" in words
    assert "budget=demo" in words
    assert "plan=true" in words
    assert "at least 9.4 GiB of memory" in words  # as in docs/costs.md


def test_the_estimate_is_that_of_the_recorded_steps_within_a_factor_of_two():
    """8 of the 50 samples of a step of lra/listops-s4d take 0.40 s: 76,800 steps are 2.2 days."""
    days = float(re.search(r"about ([\d.]+) days", said("experiment=lra/listops-s4d"))[1])
    assert 1.1 < days < 4.4


@pytest.mark.parametrize("budget", ["demo", "smoke"])
def test_a_short_run_says_nothing(budget):
    assert said("experiment=lra/pathx-s4d", f"budget={budget}") is None


def test_cuts_count():
    cut = ("budget=reduced", "budget.epochs=1", "budget.train_samples=500", "budget.val_samples=100")
    assert said("experiment=lra/listops-s4d", *cut) is None


def test_nothing_on_a_gpu_and_for_models_without_recorded_speeds(monkeypatch):
    assert said("experiment=lra/listops-transformer") is None
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert said("experiment=lra/pathx-s4d") is None


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.25, "0.2 s"),
        (2, "2 s"),
        (61, "1 min"),
        (840, "14 min"),
        (18720, "5.2 h"),
        (50400, "14 h"),
        (432000, "5.0 days"),
    ],
)
def test_durations_are_spoken(seconds, words):
    assert duration(seconds) == words
