"""The device of a run."""

import pytest
import torch
from toy import SMALL, folders

from lra.composition import compose
from lra.config import Config
from lra.training.processes import training_device


@pytest.mark.parametrize("cuda", [True, False])
def test_auto_is_cuda_or_the_cpu_and_never_mps(cuda, tmp_path, monkeypatch):
    """Kernels need float64, which MPS lacks; Lightning's own choice would take it."""
    config = Config.parse(compose([*SMALL, *folders(tmp_path), "trainer.accelerator=auto"]))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert training_device(config.trainer).type == ("cuda" if cuda else "cpu")
