"""Every mixer with a file in configs/mixer, or in a folder given with --mixers, keeps the protocol."""

import inspect
from functools import partial
from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf

from lra.errors import UserError
from lra.kernels.base import Kernel, Rule
from lra.kernels.s4d import S4D
from lra.mixers.base import SequenceMixer
from lra.mixers.bidirectional import make_mixer
from lra.nodes import factory, target

MIXERS = Path(__file__).parents[2] / "configs" / "mixer"
H, L = 16, 37
FROM_THE_MODEL = ("self", "features", "kernel", "channels", "bidirectional")


def pytest_generate_tests(metafunc):
    if "config" in metafunc.fixturenames:
        folders = [MIXERS, *metafunc.config.getoption("mixers")]
        files = [file for folder in folders for file in sorted(folder.glob("*.yaml"))]
        metafunc.parametrize("config", files, ids=[file.stem for file in files], indirect=True)


@pytest.fixture
def config(request):
    return OmegaConf.to_container(OmegaConf.load(request.param))


@pytest.fixture(params=[False, True], ids=["causal", "bidirectional"])
def bidirectional(request):
    return request.param


def build(config, bidirectional=False) -> SequenceMixer:
    torch.manual_seed(0)
    make = factory(config)
    if "kernel" in inspect.signature(target(config)).parameters:
        make = partial(make, kernel=partial(S4D, state_size=8))
    return make_mixer(make, H, bidirectional=bidirectional).double().eval()


def signal(length=L, batch=3):
    return torch.randn(batch, H, length, dtype=torch.double, generator=torch.Generator().manual_seed(1))


def refused(work) -> str | None:
    """The sentence with which it is refused, if it is."""
    try:
        work()
    except UserError as error:
        return str(error)
    return None


def test_config_states_every_option_with_its_default(config):
    signature = inspect.signature(target(config).__init__).parameters
    assert {name for name, p in signature.items() if p.kind is not p.KEYWORD_ONLY} <= set(FROM_THE_MODEL)
    options = {name: p.default for name, p in signature.items() if p.kind is p.KEYWORD_ONLY}
    stated = {key: value for key, value in config.items() if not key.startswith("_")}
    assert stated.keys() == options.keys()
    assert {key: value for key, value in stated.items() if key != "lr"} == {
        key: value for key, value in options.items() if key != "lr"
    }


@pytest.mark.parametrize("length", [1, 2, L, 64])
def test_shape_and_precision(config, bidirectional, length):
    mixer = build(config, bidirectional)
    u = signal(length)
    assert mixer(u).shape == (3, mixer.outputs, length)
    assert mixer(u).dtype == torch.float64
    single = mixer.float()(u.float())
    assert single.dtype == torch.float32
    torch.testing.assert_close(single, build(config, bidirectional)(u).float(), rtol=1e-3, atol=1e-4)


def test_padding_does_not_leak(config, bidirectional):
    mixer, u = build(config, bidirectional), signal()
    lengths = torch.tensor([L, 11, 24])
    mask = (torch.arange(L) < lengths.unsqueeze(1)).unsqueeze(1).double()
    with torch.no_grad():
        whole = mixer(torch.where(mask.bool(), u, 9.0), mask)
        for row, n in enumerate(lengths.tolist()):
            alone = mixer(u[row : row + 1, :, :n], torch.ones(1, 1, n, dtype=torch.double))
            torch.testing.assert_close(whole[row, :, :n], alone[0])


def test_padding_that_is_ignored_may_be_of_any_length(config, bidirectional):
    mixer, u = build(config, bidirectional), signal()
    if mixer.ignores_padding:
        mask = (torch.arange(L + 7) < L).double().expand(3, 1, -1)
        longer = torch.nn.functional.pad(u, (0, 7), value=9.0)
        with torch.no_grad():
            expected = mixer(u, torch.ones(3, 1, L, dtype=torch.double))
            torch.testing.assert_close(mixer(longer, mask)[..., :L], expected)
            if not bidirectional:
                torch.testing.assert_close(mixer(longer)[..., :L], expected)


def test_causal_unless_bidirectional(config, bidirectional):
    mixer, u = build(config, bidirectional), signal().requires_grad_()
    mixer(u)[:, :, 10].sum().backward()
    if bidirectional:
        assert u.grad[..., 11:].abs().max() > 1e-6
    else:
        assert u.grad[..., 11:].abs().max() < 1e-12  # an FFT rounds
    assert u.grad[..., :10].abs().max() > 0


@pytest.mark.parametrize("rate", [1.0, 2.0])
def test_steps_are_the_whole_or_are_refused(config, bidirectional, rate):
    mixer, u, outputs = build(config, bidirectional), signal(), []
    if refusal := refused(lambda: mixer.start(3, rate, length=L)):
        assert "recurrent mode" in refusal or (rate != 1.0 and "sampling rate" in refusal)
        return
    assert not bidirectional
    state = mixer.start(3, rate, length=L)
    with torch.no_grad():
        for t in range(L):
            y, state = mixer.step(u[..., t], state)
            outputs.append(y)
        torch.testing.assert_close(torch.stack(outputs, -1), mixer(u, None, rate))


def test_another_rate_is_read_or_refused(config, bidirectional):
    mixer, u = build(config, bidirectional), signal()
    if refusal := refused(lambda: mixer(u, None, 2.0)):
        assert "rate" in refusal
    else:
        assert not torch.allclose(mixer(u, None, 2.0), mixer(u))


def test_every_parameter_is_real_and_gets_a_gradient(config, bidirectional):
    mixer = build(config, bidirectional).train()
    mixer(signal()).square().sum().backward()
    for name, parameter in mixer.named_parameters():
        assert not parameter.is_complex(), name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.abs().max() > 0, name


def test_rules_name_parameters(config, bidirectional):
    rules = build(config, bidirectional).optimizer_rules()
    assert rules.keys() <= dict(build(config, bidirectional).named_parameters()).keys()
    assert all(isinstance(rule, Rule) for rule in rules.values())


def test_trains_under_autocast(config, bidirectional):
    mixer, u = build(config, bidirectional).float(), signal().float()
    exact = mixer(u)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed = mixer(u)
    mixed.float().square().sum().backward()
    assert all(p.grad.isfinite().all() for p in mixer.parameters())
    assert (mixed - exact).norm() / exact.norm() < 0.05


def test_state_dict_restores_the_mixer(config, bidirectional):
    mixer, other = build(config, bidirectional), build(config, bidirectional)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.add_(0.1)
    other.load_state_dict(mixer.state_dict())
    assert torch.equal(other(signal()), mixer(signal()))


@pytest.mark.parametrize("missing", ["initial_state", "step"])
def test_a_recurrence_that_is_half_there_says_what_it_lacks(missing):
    class Half(Kernel):
        def forward(self, length, rate=1.0):
            return torch.ones(1, 2, length)

        def discretize(self, rate=1.0, length=None):
            return None

    class HalfMixer(SequenceMixer):
        def forward(self, u, mask=None, rate=1.0):
            return u

    call = {"initial_state": lambda: Half().initial_state(1), "step": lambda: Half().step(None, None, None)}[missing]
    with pytest.raises(UserError, match=f"Half discretizes, but has no {missing}\\. Give it one"):
        call()
    with pytest.raises(UserError, match=r"HalfMixer starts a recurrence, but has no step\. Give it one"):
        HalfMixer().step(None, None)
