"""Every kernel with a file in configs/kernel, or in a folder given with --kernels, keeps the protocol."""

import inspect
from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf

from lra.errors import UserError
from lra.kernels.base import Kernel, Rule
from lra.kernels.together import together
from lra.nodes import factory, target
from lra.ops.long_conv import long_conv

KERNELS = Path(__file__).parents[2] / "configs" / "kernel"


def pytest_generate_tests(metafunc):
    if "config" in metafunc.fixturenames:
        folders = [KERNELS, *metafunc.config.getoption("kernels")]
        files = [file for folder in folders for file in sorted(folder.glob("*.yaml"))]
        metafunc.parametrize("config", files, ids=[file.stem for file in files], indirect=True)


@pytest.fixture
def config(request):
    return OmegaConf.to_container(OmegaConf.load(request.param))


def build(config, **options) -> Kernel:
    torch.manual_seed(0)
    needed = {"length": 64} if "length" in config else {}
    small = {"state_size": 8} if "state_size" in config else {}
    return factory(config | small | needed | options)(features=4, channels=2)


def kernel_needs_a_length(kernel: Kernel) -> bool:
    """The kernel of a DSS softmax is normalized over its length."""
    return getattr(kernel, "version", None) == "softmax"


def test_config_states_every_option_with_its_default(config):
    signature = inspect.signature(target(config).__init__).parameters
    options = {name: p.default for name, p in signature.items() if p.kind is p.KEYWORD_ONLY}
    stated = {key: value for key, value in config.items() if not key.startswith("_")}
    assert stated.keys() == options.keys()
    assert {key: value for key, value in stated.items() if key != "lr"} == {
        key: value for key, value in options.items() if key != "lr"
    }


@pytest.mark.parametrize("length", [1, 2, 37, 64])
def test_kernel_shape_and_precision(config, length):
    kernel = build(config)
    assert kernel(length).shape == (2, 4, length)
    assert kernel(length).dtype == torch.float32
    assert kernel.double()(length, rate=2.0).dtype == torch.float64


def test_every_parameter_is_real_and_gets_a_gradient(config):
    kernel = build(config)
    kernel(37).square().sum().backward()
    for name, parameter in kernel.named_parameters():
        assert not parameter.is_complex(), name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.abs().max() > 0, name


@pytest.mark.parametrize("rate", [1.0, 2.0])
def test_the_kernels_of_several_layers_are_generated_in_one_call(config, rate):
    layers = [build(config).double() for _ in range(3)]
    if not layers[0].feature_axes:
        pytest.skip("this kernel is generated one layer at a time")
    with torch.no_grad():
        for parameter in (p for layer in layers for p in layer.parameters()):
            parameter.mul_(1 + torch.rand_like(parameter) / 10)
    weight = torch.randn(2, 4, 37).double()
    results = []
    for kernels in (together(layers, 37, rate).chunk(3, dim=1), [layer(37, rate) for layer in layers]):
        loss = sum((i + 1) * (kernel * weight).sum() for i, kernel in enumerate(kernels))
        gradients = torch.autograd.grad(loss, [p for layer in layers for p in layer.parameters()])
        results.append([*kernels, *gradients])
    for ours, apart in zip(*results, strict=True):
        torch.testing.assert_close(ours, apart)


def test_a_nested_kernel_begins_every_longer_one(config):
    kernel = build(config).double()
    if kernel.nested:
        torch.testing.assert_close(kernel(37), kernel(64)[..., :37])


def test_rules_name_parameters(config):
    kernel = build(config)
    rules = kernel.optimizer_rules()
    assert rules.keys() <= dict(kernel.named_parameters()).keys()
    assert all(isinstance(rule, Rule) for rule in rules.values())


def test_state_dict_restores_the_kernel(config):
    kernel, other = build(config), build(config)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.add_(0.1)
    other.load_state_dict(kernel.state_dict())
    assert torch.equal(other(37), kernel(37))


@pytest.mark.parametrize("rate", [1.0, 2.0])
def test_recurrence_is_the_convolution_or_is_refused(config, rate):
    kernel = build(config).double()
    u = torch.randn(3, 4, 41).double()
    with torch.no_grad():
        try:
            kernel.discretize(rate)
        except UserError as refusal:
            said = str(refusal)
            assert ("length" if kernel_needs_a_length(kernel) else "without a recurrence") in said
            return
        system = kernel.discretize(rate)
        state, outputs = kernel.initial_state(3), []
        for t in range(41):
            y, state = kernel.step(u[..., t], state, system)
            outputs.append(y)
        torch.testing.assert_close(torch.stack(outputs, -1), long_conv(u, kernel(41, rate)))


def test_unaffected_by_autocast(config):
    kernel = build(config)
    plain = kernel(64)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(kernel(64), plain)


def test_float32_is_close_to_float64_at_long_lengths(config):
    kernel = build(config, **{k: 64 for k in ("state_size",) if k in config})
    single = kernel(16384)
    exact = kernel.double()(16384)
    assert ((single - exact).norm(dim=-1) / exact.norm(dim=-1)).max() < 1e-5


def test_unknown_init_is_refused(config):
    if "init" not in config:
        pytest.skip("this kernel has no choice of init")
    with pytest.raises(UserError):
        build(config, init="nothing")
