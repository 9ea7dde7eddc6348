"""Whole layers against the published ones: outputs, gradients, both directions, other sampling rates."""

from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from lra.kernels.dss import DSS
from lra.kernels.s4 import S4
from lra.kernels.s4d import S4D
from lra.mixers.convolution import Convolution
from lra.models.mixing import Dropout, make_mixing

GOLDEN = Path(__file__).parents[1] / "golden"
S4D_NAMES = {"log_dt": "inv_dt", "A_real": "A_real", "A_imag": "A_imag", "B": "B", "C": "C"}


def load(name: str, prefix: str = "") -> dict[str, torch.Tensor]:
    with np.load(GOLDEN / f"{name}.npz") as arrays:
        names = [key for key in arrays if key.startswith(prefix)]
        return {key.removeprefix(prefix): torch.from_numpy(arrays[key]) for key in names}


def relative(ours: torch.Tensor, expected: torch.Tensor) -> float:
    return float((ours.detach().reshape(expected.shape) - expected).norm() / expected.norm())


class Layer(torch.nn.Module):
    """Mixer and channel mixing without norm and residual, which is the published layer."""

    def __init__(self, features, kernel, *, mixing="glu", channels=1, bidirectional=False):
        super().__init__()
        self.mixer = Convolution(features, kernel, channels, bidirectional)
        self.mixing = make_mixing(mixing, self.mixer.outputs, features, Dropout(0.0, tied=True))

    def forward(self, u, rate=1.0):
        return self.mixing(self.mixer(u, None, rate))


def check(layer: Layer, case: dict[str, torch.Tensor], names: dict[str, str]) -> None:
    """Fill the layer with the stored parameters; compare output and every gradient. `names`: ours -> theirs."""
    layer.double()
    parameters = dict(layer.named_parameters())
    with torch.no_grad():
        for ours, theirs in names.items():
            parameters[ours].copy_(case[theirs].reshape(parameters[ours].shape))
    x = case["x"].clone().requires_grad_()
    y = layer(x)
    assert relative(y, case["y"]) < 1e-9
    (y * case["g"]).sum().backward()
    assert relative(x.grad, case["grad_input"]) < 1e-9
    for ours, theirs in names.items():
        gradient = case[theirs.replace("param_after", "param").replace("param.", "grad.")]
        assert relative(parameters[ours].grad, gradient) < 1e-9, ours
    if "y_rate2_x_every_2nd" in case:
        assert relative(layer(case["x"][..., ::2], rate=2.0), case["y_rate2_x_every_2nd"]) < 1e-9


def s4_names(kernel: dict[str, str]) -> dict[str, str]:
    layer = {
        "mixer.D": "param.layer.D",
        "mixing.linear.weight": "param.output_linear.0.weight",
        "mixing.linear.bias": "param.output_linear.0.bias",
    }
    return layer | {f"mixer.kernel.{ours}": f"param.layer.kernel.{theirs}" for ours, theirs in kernel.items()}


@pytest.mark.parametrize(
    ("name", "options", "kernel"),
    [
        ("bi", {"bidirectional": True}, {"discretization": "zoh"}),
        ("uni_bilinear_lin", {}, {"discretization": "bilinear"}),
        ("bi_lin_nssm2_ch2", {"bidirectional": True, "channels": 2}, {"discretization": "zoh", "n_ssm": 2}),
    ],
)
def test_s4d_layer(name, options, kernel):
    layer = Layer(8, partial(S4D, state_size=64, **kernel), **options)
    check(layer, load("s4d_layers", f"{name}."), s4_names(S4D_NAMES))


@pytest.mark.parametrize(
    ("name", "options", "kernel"),
    [
        ("uni", {}, {}),
        ("uni_nssm2_ch2", {"channels": 2}, {"n_ssm": 2}),
        ("bi_legt_rank2", {"bidirectional": True}, {"init": "legt", "rank": 2}),
    ],
)
def test_s4_layer(name, options, kernel):
    layer = Layer(8, partial(S4, state_size=64, c_parameter="truncated", length=256, **kernel), **options)
    names = s4_names(S4D_NAMES | {"P": "P"})
    names["mixer.kernel.C"] = "param_after.layer.kernel.C"
    check(layer, load("s4_layers", f"{name}."), names)


@pytest.mark.parametrize(
    ("name", "options", "kernel"),
    [
        ("softmax_bi", {"bidirectional": True, "mixing": "linear"}, {"version": "softmax"}),
        ("exp_bi_glu_ch2", {"bidirectional": True, "channels": 2}, {"version": "exp"}),
        ("softmax_maxker", {"mixing": "linear"}, {"version": "softmax", "max_kernel_length": 85}),
    ],
)
def test_dss_layer(name, options, kernel):
    case = load("dss_layers", f"{name}.")
    linear = "output_linear.0" if options.get("mixing") != "linear" else "output_linear"
    names = {"mixer.D": "param.D"} | {f"mixing.linear.{p}": f"param.{linear}.{p}" for p in ("weight", "bias")}
    names |= {"mixer.kernel.log_dt": "param.kernel.log_dt", "mixer.kernel.W": "param.kernel.W"}
    parts = {"Lambda_real": "Lambda_log_neg_re", "Lambda_imag": "Lambda_im"}
    for i, (ours, theirs) in enumerate(parts.items()):
        if "param.kernel.Lambda" in case:  # stored as pairs
            for kind in ("param", "grad"):
                case[f"{kind}.kernel.{theirs}"] = case[f"{kind}.kernel.Lambda"][:, i]
        names[f"mixer.kernel.{ours}"] = f"param.kernel.{theirs}"
    check(Layer(8, partial(DSS, state_size=16, **kernel), **options), case, names)


def test_minimal_s4d_layer():
    case = load("s4d_minimal_layer")
    for kind in ("param", "grad"):  # stored with Im A, where we keep −Im A
        case[f"{kind}.kernel.A_imag"] = -case[f"{kind}.kernel.A_imag"]
    names = {
        "mixer.D": "param.D",
        "mixing.linear.weight": "param.output_linear.0.weight",
        "mixing.linear.bias": "param.output_linear.0.bias",
    }
    names |= {"mixer.kernel.A_real": "param.kernel.log_A_real", "mixer.kernel.A_imag": "param.kernel.A_imag"}
    names |= {"mixer.kernel.log_dt": "param.kernel.log_dt", "mixer.kernel.C": "param.kernel.C"}
    check(Layer(8, partial(S4D, state_size=64, init="lin")), case, names)
