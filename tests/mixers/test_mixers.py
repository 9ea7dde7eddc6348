"""What the mixers of this repository do, beyond the protocol."""

from functools import partial

import pytest
import torch

from lra.errors import UserError
from lra.kernels.s4d import S4D
from lra.mixers.attention import Attention, rotate, rotation
from lra.mixers.base import SequenceMixer
from lra.mixers.bidirectional import Bidirectional, make_mixer
from lra.mixers.convolution import Convolution
from lra.models.backbone import Backbone


class Sum(SequenceMixer):
    """The running sum: enough to see a direction."""

    def __init__(self, features):
        super().__init__()
        self.features = self.outputs = features

    def forward(self, u, mask=None, rate=1.0):
        return u.cumsum(-1)


def test_a_causal_mixer_is_paired_for_both_directions():
    both = make_mixer(Sum, 2, bidirectional=True)
    assert isinstance(both, Bidirectional)
    u = torch.tensor([[[1.0, 2.0, 4.0, 100.0]]]).expand(1, 2, 4)
    mask = torch.tensor([[[1.0, 1.0, 1.0, 0.0]]])
    y = both(u, mask)
    assert y[0, 0, :3].tolist() == [1 + 7, 3 + 6, 7 + 4]  # past and future sums both count the present
    assert both(u)[0, 0].tolist() == [1 + 107, 3 + 106, 7 + 104, 107 + 100]


def test_directions_and_channels_are_the_models():
    assert make_mixer(partial(Convolution, kernel=S4D), 4, channels=3, bidirectional=True).outputs == 12
    assert isinstance(make_mixer(Sum, 2), Sum)
    with pytest.raises(UserError, match="channels is 2"):
        make_mixer(Sum, 2, channels=2)


def test_a_convolution_needs_a_kernel():
    with pytest.raises(UserError, match="kernel=s4d"):
        make_mixer(partial(Convolution, kernel=None), 4)


def test_rotary_scores_depend_on_the_distance_alone():
    x = torch.randn(2, 1, 6, dtype=torch.double)
    q, k = (rotate(one.expand(9, 6), rotation(9, 6, x.device)) for one in x)
    scores = q @ k.T
    for distance in range(-8, 9):
        diagonal = scores.diagonal(distance)
        torch.testing.assert_close(diagonal, diagonal[:1].expand_as(diagonal), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(q.norm(dim=-1), x[0].norm(dim=-1).expand(9))


def test_attention_without_rotary_positions_knows_no_order():
    u, order = torch.randn(2, 8, 5), torch.tensor([3, 0, 4, 1, 2])
    plain = Attention(8, bidirectional=True, heads=2, rotary=False)
    torch.testing.assert_close(plain(u)[..., order], plain(u[..., order]))
    turned = Attention(8, bidirectional=True, heads=2)
    assert not torch.allclose(turned(u)[..., order], turned(u[..., order]), atol=1e-3)


def test_heads_divide_the_features():
    with pytest.raises(UserError, match="heads=3 does not divide"):
        Attention(8, heads=3)
    with pytest.raises(UserError, match="leaves 3 of 6 features"):
        Attention(6, heads=2)


def test_any_module_mixes():
    """A layer from elsewhere need not be derived from ours, if it has their sizes and their forward."""

    class Elsewhere(torch.nn.Module):
        def __init__(self, features, bidirectional=False):
            super().__init__()
            self.features = self.outputs = features

        def forward(self, u, mask=None, rate=1.0):
            return u.cumsum(-1)

    u, mask = torch.randn(2, 4, 8), torch.ones(2, 1, 8)
    found = []
    for mixer in (Elsewhere, Sum):
        torch.manual_seed(0)
        found.append(backbone(mixer)(u, mask))
    assert torch.equal(*found)


def backbone(mixer, bidirectional=False):
    sizes = {"layers": 2, "features": 4, "dropout": 0.0, "tie_dropout": False, "bidirectional": bidirectional}
    return Backbone(mixer, **sizes, norm="layer", prenorm=True, mixing="glu", mask_padding=False)


class Wrong(torch.nn.Module):
    """A layer with a mistake: what it gives, or what it says of itself."""

    def __init__(self, features, *, give=lambda u: u, says=4):
        super().__init__()
        self.give = give
        if says is not None:
            self.outputs = says

    def forward(self, u, mask=None, rate=1.0):
        return self.give(u)


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize(
    ("give", "said"),
    [
        (lambda u: None, "a NoneType"),
        (lambda u: (u, None), "a tuple"),
        (lambda u: u.detach().numpy(), "a ndarray"),
        (lambda u: u[:, :3], r"\(2, 3, 8\) in torch.float32"),
        (lambda u: u[..., :-1], r"\(2, 4, 7\) in torch.float32"),
        (lambda u: u[0], r"\(4, 8\) in torch.float32"),
        (torch.Tensor.double, r"\(2, 4, 8\) in torch.float64"),
        (torch.Tensor.long, r"\(2, 4, 8\) in torch.int64"),
        (lambda u: torch.complex(u, u), r"\(2, 4, 8\) in torch.complex64"),
    ],
)
def test_what_no_mixer_gives_is_a_sentence(bidirectional, give, said):
    model = backbone(partial(Wrong, give=give), bidirectional)
    wanted = r"Wrong was given \(2, 4, 8\) in torch.float32 and gave {}; .* same dtype, \(2, 4, 8\) here".format
    for dtype in (None, torch.bfloat16):
        with torch.autocast("cpu", dtype, enabled=dtype is not None), pytest.raises(UserError, match=wanted(said)):
            model(torch.randn(2, 4, 8), torch.ones(2, 1, 8))


def test_a_mixer_may_give_the_dtype_of_autocast():
    u, mask = torch.randn(2, 4, 8), torch.ones(2, 1, 8)
    with torch.autocast("cpu", torch.bfloat16):
        assert backbone(partial(Wrong, give=torch.Tensor.bfloat16))(u, mask).isfinite().all()
    with pytest.raises(UserError, match=r"gave .* in torch.bfloat16"):
        backbone(partial(Wrong, give=torch.Tensor.bfloat16))(u, mask)


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize(
    ("says", "said"),
    [(None, "has none"), ("4", "has outputs = '4'"), (0, "has outputs = 0"), (4.0, "has outputs = 4.0")],
)
def test_a_mixer_says_its_outputs(bidirectional, says, said):
    with pytest.raises(UserError, match=f"an int of at least 1, but Wrong {said}. Set self.outputs"):
        backbone(partial(Wrong, says=says), bidirectional)
