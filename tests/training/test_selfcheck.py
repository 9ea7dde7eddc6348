"""What is compared before the first step on a GPU: here on the CPU, with PyTorch's operations and with Triton's."""

import os
import subprocess
import sys

import pytest
import torch

from lra.errors import UserError
from lra.ops import backend, pointwise, spectra
from lra.training import selfcheck
from lra.training.selfcheck import TOLERANCE, self_check

CPU = torch.device("cpu")
UNUSABLE = backend._unusable


@pytest.fixture(autouse=True)
def _fused_stays(monkeypatch):
    monkeypatch.setattr(backend, "_wrong", [])
    monkeypatch.setattr(backend, "_unusable", lambda device: None)


def where_fused(wrong, right):
    """An operation that is wrong as long as Triton kernels are used."""
    return lambda *x, **options: (wrong if not backend._wrong else right)(*x, **options)


def test_everything_agrees_here():
    heard = []
    errors = self_check(CPU, heard.append)
    assert list(errors) == [
        "layer norm", "gated mixing", "mixing", "convolution", "diagonal kernel", "recurrence", "low-rank kernel"
    ]  # fmt: skip
    assert max(errors.values()) < TOLERANCE / 3
    assert heard == []
    assert not backend._wrong


class Doubled(torch.autograd.Function):
    """The identity, with a wrong gradient."""

    factor = 2.0

    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, grad):
        return Doubled.factor * grad


@pytest.mark.parametrize(("factor", "error"), [(2.0, "1"), (float("nan"), "nan")])
def test_a_wrong_gradient_of_a_fused_kernel_is_replaced(monkeypatch, factor, error):
    right, heard = selfcheck.mix, []
    monkeypatch.setattr(Doubled, "factor", factor)
    monkeypatch.setattr(selfcheck, "mix", where_fused(lambda y, *rest, **o: right(Doubled.apply(y), *rest, **o), right))
    errors = self_check(CPU, heard.append)
    assert errors["gated mixing"] < TOLERANCE
    assert heard == [
        f"On cpu PyTorch's own operations replace the Triton kernels: gated mixing has an error of {error}."
    ]
    assert backend.pointwise_on(torch.device("cuda")) is pointwise
    assert backend.spectra_on(torch.device("cuda"), 1) is spectra


def test_a_refusal_is_said_of_every_run_of_a_process(monkeypatch):
    monkeypatch.setattr(selfcheck, "_checks", lambda: iter(()))
    backend.refuse("mixing has an error of 1")
    for _ in range(2):
        heard = []
        self_check(torch.device("cuda"), heard.append)
        assert len(heard) == 1
        assert "mixing has an error of 1" in heard[0]


def test_where_triton_cannot_be_used_pytorch_is(monkeypatch):
    """Whoever computes: a plan, an evaluation and loaded weights check nothing first. Here CUDA itself is missing."""
    monkeypatch.setattr(backend, "_unusable", UNUSABLE)
    if not torch.cuda.is_available():
        assert backend.pointwise_on(torch.device("cuda")) is pointwise
        assert backend.refusal(torch.device("cuda"))


def test_a_fused_kernel_that_cannot_be_built_is_replaced(monkeypatch):
    def fails(*_, **__):
        raise RuntimeError("no C compiler")

    heard = []
    monkeypatch.setattr(selfcheck, "channel_norm", where_fused(fails, selfcheck.channel_norm))
    errors = self_check(CPU, heard.append)
    assert "layer norm fails (RuntimeError: no C compiler)" in heard[0]
    assert errors["layer norm"] < TOLERANCE
    assert backend._wrong


def test_a_wrong_convolution_ends_the_run(monkeypatch):
    right = selfcheck.long_conv
    monkeypatch.setattr(selfcheck, "long_conv", lambda *x, **options: 1.01 * right(*x, **options))
    with pytest.raises(UserError, match=r"On cpu convolution has an error of 0.01.* trainer.accelerator=cpu"):
        self_check(CPU, print)


IN_THE_INTERPRETER = """
import torch
from lra.ops import channel_norm, fused, long_conv, mixing, packed
from lra.training.selfcheck import TOLERANCE, self_check

long_conv.spectra_on = lambda device, channels: packed
for module in (channel_norm, mixing):
    module.pointwise_on = lambda device: fused
    module.position_blocks = lambda x: [(...,)]
heard = []
assert max(self_check(torch.device("cpu"), heard.append).values()) < TOLERANCE and not heard, heard
print("equal")
"""


@pytest.mark.slow
def test_the_triton_kernels_agree_in_the_interpreter():
    pytest.importorskip("triton", reason="Triton is made for Linux only")
    environment = {**os.environ, "TRITON_INTERPRET": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", IN_THE_INTERPRETER]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert result.stdout == "equal\n", result.stderr
