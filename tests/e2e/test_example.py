"""docs/examples/s4d.py computes what the library computes, in at most 120 lines that need PyTorch alone."""

import importlib.util
import re
import runpy
from types import ModuleType

import pytest
import torch

from lra.composition import compose
from lra.config import Optimizer
from lra.data.spec import TaskSpec
from lra.models.build import make_model
from lra.paths import CHECKOUT
from lra.training.optim import parameter_groups

FILE = CHECKOUT / "docs/examples/s4d.py"
NAMES = {"backbone.": "", ".mixer.": ".", ".mixing.": "."}  # of the library's modules to those of the file


@pytest.fixture(scope="module")
def example() -> ModuleType:
    spec = importlib.util.spec_from_file_location("s4d_example", FILE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def ours(name: str) -> str:
    for library, file in NAMES.items():
        name = name.replace(library, file)
    return name


def pair(example: ModuleType, norm: str, *overrides: str, tokens: bool, **options):
    """A model of the library and one of the file with the same weights."""
    spec = TaskSpec("toy", "tokens" if tokens else "features", 7, 50, 4, {"train": 1})
    sizes = ["model.layers=2", "model.features=8", f"model.norm={norm}", "kernel.state_size=16"]
    composed = compose(["kernel=s4d", "recipe=cosine", *sizes, *overrides])
    library = make_model(spec, composed["model"], composed["kernel"])
    options["norm"] = {"batch": torch.nn.BatchNorm1d, "layer": example.ChannelNorm}[norm]
    copy = example.S4DClassifier(7, 4, H=8, layers=2, tokens=tokens, N=16, **options)
    copy.load_state_dict({ours(name): value for name, value in library.state_dict().items()})
    return library, copy


CASES = [
    ("batch", ["kernel.init=lin"], {"init": "lin"}, True),
    ("layer", ["model.prenorm=false", "kernel.n_ssm=2"], {"prenorm": False, "S": 2}, True),
    ("layer", ["kernel.discretization=bilinear"], {"rule": "bilinear"}, False),
    ("batch", ["model.bidirectional=false"], {"bidirectional": False}, False),
]


@pytest.mark.parametrize(("norm", "overrides", "options", "tokens"), CASES)
def test_same_outputs_and_gradients(example, norm, overrides, options, tokens):
    torch.manual_seed(0)
    library, copy = pair(example, norm, *overrides, tokens=tokens, **options)
    x = torch.randint(7, (3, 50)) if tokens else torch.randn(3, 50, 7)
    lengths = torch.tensor([50, 1, 37])
    losses = [model(x, lengths).square().sum() for model in (library, copy)]
    torch.testing.assert_close(losses[1], losses[0], rtol=1e-5, atol=1e-6)
    for loss in losses:
        loss.backward()
    gradients = dict(copy.named_parameters())
    for name, parameter in library.named_parameters():
        largest = parameter.grad.abs().max().item()
        torch.testing.assert_close(gradients[ours(name)].grad, parameter.grad, rtol=1e-4, atol=1e-4 * largest + 1e-5)


@pytest.mark.parametrize("init", ["legs", "inv", "lin"])
def test_same_initial_values(example, init):
    library, _ = pair(example, "batch", f"kernel.init={init}", tokens=True)
    fresh = example.S4DClassifier(7, 4, H=8, layers=2, tokens=True, N=16, init=init).blocks[0].kernel
    kernel = library.backbone.blocks[0].mixer.kernel
    for name in ("A_real", "A_imag", "B"):
        torch.testing.assert_close(getattr(fresh, name), getattr(kernel, name), rtol=1e-5, atol=1e-5)


def test_same_optimizer_groups(example):
    library, copy = pair(example, "batch", tokens=True)
    # The rate of A and B, but decayed.
    options = Optimizer(**compose([])["optimizer"] | {"lr": 0.001, "weight_decay": 0.05})
    names = {parameter: name for name, parameter in copy.named_parameters()}
    rules = {
        names[p]: (group["lr"], group["weight_decay"])
        for group in example.parameter_groups(copy, lr=0.001, weight_decay=0.05)
        for p in group["params"]
    }
    for group in parameter_groups(library, options):
        for name in group["names"]:
            assert rules.pop(ours(name)) == (group["lr"], group["weight_decay"]), name
    assert not rules


def test_dropout_is_of_whole_channels(example):
    layer = example.S4DLayer(64, dropout=0.5)
    dropped = layer.dropout(torch.ones(1, 64, 20))
    assert {len(row.unique()) for row in dropped[0]} == {1}
    assert 0 < (dropped == 0).float().mean() < 1


def test_needs_pytorch_alone_and_learns(capsys):
    text = FILE.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 120
    assert set(re.findall(r"^(?:import|from) (\w+)", text, re.M)) == {"math", "torch"}
    torch.manual_seed(0)
    runpy.run_path(str(FILE), run_name="__main__")
    loss, guess = map(float, re.findall(r"\d+\.\d+", capsys.readouterr().out))
    assert loss < guess / 4
