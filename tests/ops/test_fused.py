"""The Triton kernels equal their PyTorch twins: in Triton's interpreter on the CPU, and on a GPU if there is one."""

import os
import struct
import subprocess
import sys

import pytest
import torch

pytest.importorskip("triton", reason="Triton is made for Linux only")

COMPARISON = """
import sys, torch
from lra.ops import channel_norm, fused, long_conv, mixing, packed, spectra

device = torch.device(sys.argv[1])
long_conv.spectra_on = lambda device, channels: packed if channels == 1 else spectra
for module in (channel_norm, mixing):
    module.pointwise_on = lambda device: fused
    module.position_blocks = lambda x: [(...,)]

def compare(fast, naive, tensors, dtype, tolerance, **options):
    results = []
    for function, kind in ((fast, dtype), (naive, torch.float64)):
        inputs = [x.to(device, kind).requires_grad_() for x in tensors]
        y = function(*inputs, **{k: v.to(device, kind) if torch.is_tensor(v) else v for k, v in options.items()})
        weight = torch.arange(y.numel(), device=device).view_as(y) % 7
        results.append([y, *torch.autograd.grad((y * weight).sum(), inputs)])
    for ours, expected in zip(*results, strict=True):
        assert ours.dtype == dtype, ours.dtype
        torch.testing.assert_close(ours.double(), expected, rtol=tolerance, atol=tolerance)

torch.manual_seed(0)
B, I, H = 2, 5, 3
for dtype, tolerance in ((torch.float64, 1e-9), (torch.float32, 1e-3)):
    for L in (1, 1100):
        tensors = torch.randn(B, H, L), torch.randn(H), torch.randn(H)
        compare(channel_norm.channel_norm, channel_norm.channel_norm_naive, tensors, dtype, tolerance, eps=1e-5)
        for gated in (True, False):
            for positions in (None, 1, L):
                out = 2 * H if gated else H
                tensors = [torch.randn(B, I, L), torch.randn(out, I), torch.randn(out)]
                options = {"gated": gated, "residual": torch.randn(B, H, L)}
                if positions is not None:
                    options["inner"] = torch.randint(2, (B, I, positions)) * 1.25
                    options["outer"] = torch.randint(2, (B, H, positions)) * 1.5
                compare(mixing.mix, mixing.mix_naive, tensors, dtype, tolerance, **options)
    for channels in (1, 2):
        for L in (1, 2, 3, 13, 1100):
            tensors = torch.randn(B, H, L), torch.randn(2 * channels, H, L)
            options = {"bidirectional": True}
            compare(long_conv.long_conv, long_conv.long_conv_naive, tensors, dtype, tolerance, **options)
print("equal")
"""


def compare(device: str, interpret: str) -> None:
    environment = {**os.environ, "TRITON_INTERPRET": interpret, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", COMPARISON, device]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert result.stdout == "equal\n", result.stderr


@pytest.mark.slow
def test_equal_in_the_interpreter():
    compare("cpu", "1")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_equal_on_a_gpu():
    compare("cuda", "0")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:AnnAssign:DeprecationWarning")  # Triton's own, on Python 3.13 and later
@pytest.mark.parametrize("exact", [False, True])
def test_compile_for_a_gpu_that_is_not_there(exact):
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource, compile

    from lra.ops import fused, packed

    gates = fused._activate, fused._activate_backward, fused._gate, fused._gate_backward
    kernels = [*gates, fused._normalize, fused._normalize_backward, packed._convolve, packed._correlate]
    constants = {"KIND": 1, "GATED": True, "RESIDUAL": True, "EXACT": exact, "EPS": 1e-5}
    constants |= {"BLOCK": 1024, "ROWS": 128, "COLUMNS": 32, "BATCH": 50}
    numbers = dict.fromkeys(("features", "length", "half"), "i32")
    pointer = "*fp64" if exact else "*fp32"
    for kernel in kernels:
        chosen = {name: value for name, value in constants.items() if name in kernel.arg_names}
        signature = {n: "constexpr" if n in chosen else numbers.get(n, pointer) for n in kernel.arg_names}
        constexprs = {(kernel.arg_names.index(name),): value for name, value in chosen.items()}
        source = ASTSource(fn=kernel, signature=signature, constexprs=constexprs)
        ptx = compile(source, target=GPUTarget("cuda", 90, 32), options=fused.OPTIONS).asm["ptx"]
        for value in written(kernel.__name__, exact):
            assert value in ptx, (kernel.__name__, value)


def written(kernel: str, exact: bool) -> list[str]:
    """How PTX writes the constants of a kernel in the precision of its arithmetic."""
    constants = {"_activate": [0.5**0.5], "_activate_backward": [0.5**0.5], "_normalize": [1e-5]}.get(kernel, [])
    kind, sign = (">d", "0d") if exact else (">f", "0f")
    return [sign + struct.pack(kind, value).hex().upper() for value in constants]
