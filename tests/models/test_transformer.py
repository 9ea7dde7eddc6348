"""The Transformer baseline: padding, order, and what it refuses."""

import pytest
import torch

from lra.data.spec import TaskSpec
from lra.errors import UserError
from lra.models.classifier import Classifier
from lra.models.transformer import Transformer, sinusoids

OPTIONS = {"layers": 2, "features": 8, "heads": 2, "mlp": 16, "dropout": 0.1, "attention_dropout": 0.1}
SPEC = TaskSpec("toy", "tokens", 7, 64, 3, {"train": 1, "val": 1, "test": 1})


def make() -> Classifier:
    torch.manual_seed(0)
    return Classifier(SPEC, Transformer(**OPTIONS), pooling="mean").double().eval()


def test_padding_does_not_change_the_logits():
    model, x, lengths = make(), torch.randint(0, 7, (3, 11)), torch.tensor([11, 4, 7])
    padded = torch.nn.functional.pad(x, (0, 5), value=3)
    torch.testing.assert_close(model(padded, lengths), model(x, lengths))


def test_positions_matter():
    model, x, lengths = make(), torch.arange(7).unsqueeze(0), torch.tensor([7])
    assert not torch.allclose(model(x, lengths), model(x.flip(1), lengths))


def test_attention_is_softmax_of_scaled_products():
    attention, mlp = make().backbone.blocks[:2]
    x = torch.randn(2, 8, 5, dtype=torch.double)
    q, k, v = attention.mixer.qkv(attention.norm(x).mT).view(2, 5, 3, 2, 4).permute(2, 0, 3, 1, 4)
    weights = torch.softmax(q @ k.transpose(-1, -2) / 2, dim=-1)
    middle = x.mT + attention.mixer.out((weights @ v).transpose(1, 2).reshape(2, 5, 8))
    inner = torch.nn.functional.gelu(mlp.mixer.linear(mlp.norm(middle.mT).mT))
    expected = middle + mlp.mixing.linear(inner)
    mask = torch.ones(2, 1, 5, dtype=torch.double)
    torch.testing.assert_close(mlp(attention(x, mask), mask).mT, expected)


@pytest.mark.parametrize("features", [6, 7])
def test_sinusoids(features):
    table = sinusoids(50, features, torch.device("cpu"))
    position = torch.arange(50.0)
    for i in range(features):
        angle = position / 10_000 ** (i // 2 * 2 / features)
        torch.testing.assert_close(table[:, i], angle.cos() if i % 2 else angle.sin(), atol=1e-5, rtol=1e-5)


def test_what_is_refused():
    with pytest.raises(UserError, match="heads=3 does not divide"):
        Transformer(**(OPTIONS | {"heads": 3}))
    with pytest.raises(UserError, match="rate=1"):
        make()(torch.zeros(1, 4, dtype=torch.long), torch.tensor([4]), rate=2.0)
