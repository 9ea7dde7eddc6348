"""The whole model: padding, batches, streaming, heads, gradients."""

from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lra.data.spec import TaskSpec
from lra.errors import UserError
from lra.kernels.dss import DSS
from lra.kernels.s4 import S4
from lra.kernels.s4d import S4D
from lra.mixers.convolution import Convolution
from lra.models.backbone import Backbone
from lra.models.classifier import Classifier

SPLITS = {"train": 1, "val": 1, "test": 1}
OPTIONS = {
    "layers": 2,
    "features": 6,
    "norm": "batch",
    "prenorm": True,
    "dropout": 0.0,
    "tie_dropout": True,
    "mixing": "glu",
    "bidirectional": True,
    "mask_padding": True,
}


def convolution(kernel):
    return partial(Convolution, kernel=kernel)


def make(pooling: str = "mean", *, kind: str = "tokens", paired: bool = False, **changes) -> Classifier:
    torch.manual_seed(0)
    spec = TaskSpec("toy", kind, 7, 64, 3, SPLITS, paired=paired)
    model = Classifier(
        spec, Backbone(convolution(partial(S4D, state_size=8)), **(OPTIONS | changes)), pooling=pooling
    ).double()
    for module in model.modules():  # batch norms that are not the identity
        if isinstance(module, torch.nn.BatchNorm1d):
            torch.nn.init.normal_(module.running_mean)
            torch.nn.init.uniform_(module.running_var, 0.5, 2.0)
    return model.eval()


CASES = pytest.mark.parametrize("norm", ["batch", "layer"])
PRENORM = pytest.mark.parametrize("prenorm", [True, False])
POOLING = pytest.mark.parametrize("pooling", ["mean", "last"])


@CASES
@PRENORM
@POOLING
@given(extra=st.integers(1, 9), filler=st.integers(0, 6))
@settings(max_examples=5, deadline=None)
def test_padding_does_not_change_the_logits(norm, prenorm, pooling, extra, filler):
    model = make(pooling, norm=norm, prenorm=prenorm)
    x, lengths = torch.randint(0, 7, (3, 11)), torch.tensor([11, 4, 7])
    padded = torch.nn.functional.pad(x, (0, extra), value=filler)
    torch.testing.assert_close(model(padded, lengths), model(x, lengths))


@POOLING
def test_a_batch_is_its_rows(pooling):
    model = make(pooling)
    x, lengths = torch.randint(0, 7, (3, 13)), torch.tensor([13, 5, 9])
    rows = [model(x[i : i + 1, : lengths[i]], lengths[i : i + 1]) for i in range(3)]
    torch.testing.assert_close(model(x, lengths), torch.cat(rows))


@CASES
@PRENORM
@POOLING
def test_streaming_equals_the_whole_sequence(norm, prenorm, pooling):
    model = make(pooling, norm=norm, prenorm=prenorm, bidirectional=False, mixing="linear", mask_padding=False)
    x = torch.randint(0, 7, (2, 17))
    carried = model.start(2)
    for t in range(17):
        outputs, carried = model.step(x[:, t], carried)
        expected = model(x[:, : t + 1], torch.full((2,), t + 1))
        torch.testing.assert_close(outputs, expected, rtol=1e-9, atol=1e-9)


def test_bidirectional_models_do_not_stream():
    with pytest.raises(UserError, match="no recurrent mode"):
        make().start(1)


def test_pairs_share_the_encoder_and_meet_in_the_head():
    model = make(paired=True)
    x, lengths = torch.randint(0, 7, (4, 9)), torch.tensor([9, 8, 7, 6])
    assert model(x, lengths).shape == (2, 3)
    swapped = model(x[[2, 3, 0, 1]], lengths[[2, 3, 0, 1]])
    assert not torch.allclose(swapped, model(x, lengths))


def test_features_go_through_a_linear_encoder():
    model = make(kind="features")
    assert model(torch.randn(2, 9, 7, dtype=torch.double), torch.tensor([9, 9])).shape == (2, 3)


def test_every_parameter_gets_a_gradient():
    model = make().train()
    model(torch.randint(0, 7, (8, 20)), torch.full((8,), 20)).logsumexp(1).sum().backward()
    without = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert without == []


@pytest.mark.parametrize("tied", [True, False])
def test_dropout_keeps_the_mean_and_is_off_in_evaluation(tied):
    torch.manual_seed(0)
    backbone = Backbone(convolution(partial(S4D, state_size=8)), **(OPTIONS | {"dropout": 0.25, "tie_dropout": tied}))
    dropout, x = backbone.blocks[0].mixing.dropout, torch.ones(400, 3, 10)
    factor = dropout.factor(x, 6)
    assert factor.shape == (400, 6, 1 if tied else 10)
    assert factor.unique().tolist() == [0, pytest.approx(4 / 3)]
    assert abs(factor.mean() - 1) < 0.1
    assert backbone.eval().blocks[0].mixing.dropout.factor(x, 6) is None


def test_unknown_options_are_refused():
    with pytest.raises(UserError, match="mixing is 'gul'; allowed: glu, linear, none"):
        make(mixing="gul")
    with pytest.raises(UserError, match="pooling"):
        make("max")
    with pytest.raises(UserError, match="needs a kernel"):
        Backbone(convolution(None), **OPTIONS)


@pytest.mark.parametrize(
    ("kernel", "length"),
    [
        (partial(S4, state_size=8), None),
        (partial(S4, state_size=8, c_parameter="truncated", length=17), None),
        (partial(DSS, state_size=4, version="exp"), None),
        (partial(DSS, state_size=4, version="softmax"), 17),
    ],
)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-9), (torch.float32, 1e-4)])
def test_every_family_streams(kernel, length, dtype, tolerance):
    torch.manual_seed(0)
    spec = TaskSpec("toy", "tokens", 7, 64, 3, SPLITS)
    options = OPTIONS | {"bidirectional": False, "mask_padding": False, "mixing": "linear"}
    model = Classifier(spec, Backbone(convolution(kernel), **options), pooling="mean").to(dtype).eval()
    x = torch.randint(0, 7, (2, 17))
    with torch.no_grad():
        carried = model.start(2, length=length)
        for t in range(17):
            outputs, carried = model.step(x[:, t], carried)
        torch.testing.assert_close(outputs, model(x, torch.full((2,), 17)), rtol=tolerance, atol=tolerance)


def test_a_softmax_does_not_stream_without_a_length():
    torch.manual_seed(0)
    options = OPTIONS | {"bidirectional": False, "mask_padding": False}
    backbone = Backbone(convolution(partial(DSS, state_size=4, version="softmax")), **options)
    with pytest.raises(UserError, match="length"):
        backbone.start(1)
