"""Which process is the first is known before Lightning is imported, and Lightning agrees; and its device."""

import pytest
import torch
from lightning_fabric.utilities.rank_zero import _get_rank
from lightning_utilities.core.rank_zero import rank_zero_only

from lra.composition import compose
from lra.config import Config
from lra.training.processes import LOCAL_VARIABLES, RANK_VARIABLES, is_main, training_device


@pytest.mark.parametrize(
    "ranks",
    [
        {},
        {"LOCAL_RANK": "0", "SLURM_PROCID": "3"},
        {"RANK": "2", "LOCAL_RANK": "0"},
        {"SLURM_PROCID": "1"},
        {"JSM_NAMESPACE_RANK": "1"},
    ],
)
def test_lightning_finds_the_same_rank(monkeypatch, ranks):
    for name in RANK_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    for name, value in ranks.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(rank_zero_only, "rank", 0)  # given back after the test
    del rank_zero_only.rank
    assert is_main() == (rank_zero_only.rank == 0) == ((_get_rank() or 0) == 0)
    assert rank_zero_only.rank == (_get_rank() or 0)


@pytest.mark.parametrize(
    ("gpus", "options", "variables", "expected"),
    [
        (0, [], {}, "cpu"),
        (2, ["trainer.accelerator=cpu"], {}, "cpu"),
        (2, [], {}, "cuda:0"),
        (2, ["trainer.devices=2"], {"LOCAL_RANK": "1"}, "cuda:1"),
        (2, ["trainer.devices=2"], {"SLURM_LOCALID": "1"}, "cuda:1"),
        (1, [], {"SLURM_LOCALID": "1"}, "cuda:0"),  # SLURM shows a task its own GPU alone
    ],
)
def test_device(monkeypatch, gpus, options, variables, expected):
    for name in LOCAL_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpus > 0)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)  # never chosen
    assert str(training_device(Config.parse(compose(options)).trainer)) == expected
