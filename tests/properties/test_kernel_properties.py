"""What every kernel must satisfy, at any size."""

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import cont2discrete

from lra.kernels import discretize
from lra.kernels.dss import DSS
from lra.kernels.s4 import S4
from lra.kernels.s4d import S4D
from lra.ops.long_conv import long_conv

SIZES = {
    "features": st.integers(1, 4),
    "channels": st.integers(1, 2),
    "half": st.integers(1, 8),
    "length": st.integers(1, 257),
    "seed": st.integers(0, 99),
}


def unrolled(kernel, u, rate=1.0):
    """The recurrence over u (B, H, L) as (B, C, H, L)."""
    system, state, outputs = kernel.discretize(rate), kernel.initial_state(len(u)), []
    for t in range(u.shape[-1]):
        y, state = kernel.step(u[..., t], state, system)
        outputs.append(y)
    return torch.stack(outputs, -1)


def relative(ours, expected):
    return float((ours - expected).norm() / expected.norm())


@settings(deadline=None, max_examples=25)
@given(
    **SIZES,
    init=st.sampled_from(["legs", "inv", "lin", "quad", "real", "random"]),
    discretization=st.sampled_from(["zoh", "bilinear"]),
    rate=st.sampled_from([1.0, 2.0, 0.5]),
)
def test_s4d_convolution_is_its_recurrence(features, channels, half, length, seed, init, discretization, rate):
    torch.manual_seed(seed)
    kernel = S4D(features, channels, state_size=2 * half, init=init, discretization=discretization)
    u = torch.randn(2, features, length)
    with torch.no_grad():
        assert relative(unrolled(kernel, u, rate), long_conv(u, kernel(length, rate))) < 1e-4
        kernel, u = kernel.double(), u.double()
        assert relative(unrolled(kernel, u, rate), long_conv(u, kernel(length, rate))) < 1e-10


@settings(deadline=None, max_examples=25)
@given(
    **SIZES,
    init=st.sampled_from(["legs", "fout", "legt"]),
    truncation=st.one_of(st.none(), st.integers(1, 300)),
    rate=st.sampled_from([1.0, 2.0, 0.5]),
)
def test_s4_convolution_is_its_recurrence(features, channels, half, length, seed, init, truncation, rate):
    torch.manual_seed(seed)
    c_parameter = {"c_parameter": "truncated", "length": 2 * truncation} if truncation else {}
    kernel = S4(features, channels, state_size=2 * half, init=init, **c_parameter)
    u = torch.randn(2, features, length)
    with torch.no_grad():
        assert relative(unrolled(kernel, u, rate), long_conv(u, kernel(length, rate))) < 1e-4
        kernel, u = kernel.double(), u.double()
        assert relative(unrolled(kernel, u, rate), long_conv(u, kernel(length, rate))) < 1e-10


@settings(deadline=None, max_examples=25)
@given(**SIZES, version=st.sampled_from(["exp", "exp-no-scale", "exp-re-im", "clip", "clip-no-scale"]))
def test_dss_convolution_is_its_recurrence(features, channels, half, length, seed, version):
    torch.manual_seed(seed)
    kernel = DSS(features, channels, state_size=half, version=version)
    u = torch.randn(2, features, length)
    with torch.no_grad():
        assert relative(unrolled(kernel, u), long_conv(u, kernel(length))) < 1e-4
        kernel, u = kernel.double(), u.double()
        assert relative(unrolled(kernel, u), long_conv(u, kernel(length))) < 1e-10


@settings(deadline=None, max_examples=25)
@given(**SIZES, cut=st.integers(1, 257))
def test_s4d_kernel_does_not_depend_on_the_length(features, channels, half, length, seed, cut):
    torch.manual_seed(seed)
    kernel = S4D(features, channels, state_size=2 * half).double()
    cut = min(cut, length)
    torch.testing.assert_close(kernel(length)[..., :cut], kernel(cut), rtol=1e-10, atol=1e-10)


@settings(deadline=None, max_examples=25)
@given(st.floats(1e-4, 1e-1), st.floats(0.01, 2), st.floats(-50, 50))
def test_discretizations_agree_with_scipy(dt, damping, frequency):
    """A complex mode as a 2×2 real system, through an independent implementation."""
    A = torch.tensor([[complex(-damping, frequency)]], dtype=torch.complex128)
    B, step = torch.ones_like(A), torch.tensor([[dt]], dtype=torch.float64)
    system = [
        np.array(x) for x in ([[-damping, -frequency], [frequency, -damping]], [[1.0], [0.0]], [[1.0, 0.0]], [[0.0]])
    ]
    for rule, method in [(discretize.zoh, "zoh"), (discretize.bilinear, "bilinear")]:
        log_A, B_bar = rule(A, B, step)
        expected_A, expected_B, *_ = cont2discrete(system, dt, method)
        assert abs(log_A.exp().item() - complex(*expected_A[:, 0])) < 1e-12
        assert abs(B_bar.item() - complex(*expected_B[:, 0])) < 1e-12
        assert log_A.real.item() < 0


def test_discretizations_agree_for_small_steps():
    A = torch.tensor([[-0.5 + 3j, -0.5 - 20j]], dtype=torch.complex128)
    B = torch.ones_like(A)
    gaps = []
    for dt in (1e-2, 1e-3, 1e-4):
        step = torch.tensor([[dt]], dtype=torch.float64)
        (zoh_A, zoh_B), (bil_A, bil_B) = discretize.zoh(A, B, step), discretize.bilinear(A, B, step)
        gaps.append(float((zoh_A - bil_A).norm() / zoh_A.norm() + (zoh_B - bil_B).norm() / zoh_B.norm()))
    assert gaps[0] > 30 * gaps[1] > 900 * gaps[2] * 0.9
