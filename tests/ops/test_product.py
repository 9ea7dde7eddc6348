"""Both libraries for matrix products give the same, whatever the layout of the factors."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode

from lra.ops import product as module
from lra.ops.product import product

SIZES = st.integers(1, 40)
LAYOUTS = ("rows", "columns", "part")


def laid_out(x, layout):
    """The same numbers: stored by rows, by columns, or as a part of a larger tensor."""
    if layout == "columns":
        return x.mT.contiguous().mT
    if layout == "part":
        return torch.nn.functional.pad(x, (1, 2))[..., 1:-2]
    return x


@pytest.mark.parametrize("onednn", [True, False])
@given(SIZES, SIZES, SIZES, st.sampled_from(LAYOUTS), st.sampled_from(LAYOUTS))
def test_equals_matmul_in_double_precision(onednn, rows, inner, columns, first, second):
    if onednn and not torch.backends.mkldnn.is_available():
        pytest.skip("this PyTorch has no oneDNN")
    torch.manual_seed(0)
    a, b = torch.randn(rows, inner), torch.randn(inner, columns)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_prefers_onednn", lambda: onednn)
        ours = product(laid_out(a, first), laid_out(b, second))
    expected = a.double() @ b.double()
    error = (ours - expected).abs().max()
    assert ours.dtype == torch.float32
    assert error <= 1e-6 * (a.abs().double() @ b.abs().double()).max()


@pytest.mark.parametrize(
    ("first", "second", "dtype"),
    [
        ((3, 4, 5), (3, 5, 6), torch.float32),
        ((4, 5), (3, 5, 6), torch.float32),
        ((4, 5), (5, 6), torch.float64),
        ((4, 5), (5, 6), torch.bfloat16),
    ],
)
def test_other_products_are_pytorchs(monkeypatch, first, second, dtype):
    monkeypatch.setattr(module, "_prefers_onednn", lambda: True)
    torch.manual_seed(0)
    a, b = torch.randn(first).to(dtype), torch.randn(second).to(dtype)
    assert torch.equal(product(a, b), a @ b)


@pytest.mark.parametrize(
    ("processor", "capability", "built", "onednn"),
    [
        ("AMD EPYC 9575F", "AVX512", True, True),
        ("AMD EPYC 7763", "AVX2", True, False),
        ("Intel(R) Xeon(R) Processor", "AVX512", True, False),
        ("AMD EPYC 9575F", "AVX512", False, False),
    ],
)
def test_onednn_where_mkl_is_slow(monkeypatch, processor, capability, built, onednn):
    monkeypatch.setattr(module.cpu, "model_name", lambda: processor)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: built)
    assert module._prefers_onednn.__wrapped__() is onednn


class Called(TorchDispatchMode):
    """The operations that reach a device."""

    def __init__(self):
        super().__init__()
        self.names = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.names.append(func.overloadpacket.__name__)
        return func(*args, **(kwargs or {}))


def test_a_parameters_product_with_a_batch_is_not_copied():
    weight, signals = torch.nn.Parameter(torch.randn(4, 5)), torch.randn(3, 5, 6)
    with torch.no_grad(), Called() as called:  # as inside an autograd function
        ours = product(weight, signals)
    torch.testing.assert_close(ours, weight @ signals)
    assert "bmm" in called.names
    assert not {"clone", "_to_copy", "copy_"} & set(called.names)
