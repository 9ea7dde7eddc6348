"""Training steps of S5 and LRU against the published train step (float64): optimizer groups, schedule, losses, weights.

The published code rounds its learning rates to float32, which bounds how close the two can be.
"""

import re
from functools import partial

import pytest
import torch
import vectors
from s5_golden import arrays, fill

from lra.config import Optimizer, S5Cosine
from lra.data.spec import TaskSpec
from lra.mixers.lru import LRU
from lra.mixers.s5 import S5
from lra.models.backbone import Backbone
from lra.models.classifier import Classifier
from lra.training.optim import make_optimizer, make_scheduler, s5_cosine_factor

S5_RUNS = vectors.load("s5_training")
LRU_RUN = vectors.load("lru").case("training/")
SCHEDULES = vectors.load("s5_init").case("schedule/")


def groups_of(opt_config: str, rate: float, dt_global: bool) -> dict:
    """The recipes' way of writing the published optimizer options."""
    lr = {"Lambda": rate, "dt": None if dt_global else rate, "B": rate}
    decay = ["dt", "C", "D"] if dt_global else ["C", "D"]
    if opt_config == "BandCdecay":
        decay = ["B", *decay]
    elif opt_config == "BfastandCdecay":
        lr["B"], decay = None, ["B", *decay]
    elif opt_config == "noBCdecay":
        lr, decay = lr | {"C": rate, "D": rate}, []
    return {"lr": lr, "decay": decay}


def follow(case: vectors.Golden, mixer, mixing: str, bidirectional: bool) -> None:
    """Train as published, from the published weights, and compare every loss and rate and the weights at the end."""
    X, Y = case["X"], case["Y"]
    spec = TaskSpec("toy", "features", X.shape[-1], X.shape[2], 4, dict.fromkeys(("train", "val", "test"), 1))
    backbone = Backbone(
        mixer,
        layers=2,
        features=5,
        norm="batch",
        prenorm=True,
        dropout=0.0,
        tie_dropout=True,
        mixing=mixing,
        bidirectional=bidirectional,
        mask_padding=False,
        norm_momentum=1 - float(case["cfg.bn_momentum_flax"]),
        conventions="s5",
    )
    model = Classifier(spec, backbone, pooling="mean").double()
    fill(model, case, "param_before.")
    lr, weight_decay = float(case["cfg.lr"]), float(case["cfg.weight_decay"])
    optimizer = make_optimizer(model, Optimizer(lr=lr, weight_decay=weight_decay, decay_norms_and_biases=True))
    steps, epochs = int(case["cfg.steps_per_epoch"]), int(case["cfg.epochs"])
    warmup = steps * int(case["cfg.warmup_end"])
    planned = S5Cosine(name="s5", warmup=warmup, cosine=steps * epochs - warmup)
    scheduler = make_scheduler(optimizer, planned, higher_is_better=True)
    lengths = torch.full((X.shape[1],), X.shape[2])
    for step, (x, y) in enumerate(zip(X, Y, strict=True)):
        for group in optimizer.param_groups:
            kind = "regular" if group["initial_lr"] == lr else "ssm"
            assert group["lr"] == pytest.approx(float(case[f"lr_used_{kind}"][step]), rel=1e-6, abs=2e-7)
        loss = torch.nn.functional.cross_entropy(model(x, lengths), y)
        torch.testing.assert_close(loss.detach(), case["losses"][step], rtol=1e-6, atol=0)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        scheduler.step()
    for name, (ours, theirs) in arrays(model, case, "param_after.").items():
        torch.testing.assert_close(ours.detach(), theirs, rtol=1e-6, atol=1e-6, msg=lambda m, n=name: f"{n}: {m}")


@pytest.mark.parametrize("name", S5_RUNS.cases())
def test_training_follows_the_published_s5(name):
    case = S5_RUNS.case(f"{name}/")
    groups = groups_of(case["cfg.opt_config"], float(case["cfg.ssm_lr"]), bool(case["cfg.dt_global"]))
    mixer = partial(S5, state_size=int(case["cfg.P"]), blocks=int(case["cfg.J"]), **groups)
    follow(case, mixer, case["cfg.activation"], bool(case["cfg.bidirectional"]))


def test_training_follows_the_published_lru():
    """But for a least rate of 1e-7 at the end of its schedule, where ours is 0."""
    rate = float(LRU_RUN["cfg.lr"] * LRU_RUN["cfg.lr_factor"])
    mixer = partial(LRU, state_size=6, lr={"Lambda": rate, "gamma": rate, "B": rate})
    follow(LRU_RUN, mixer, "full_glu", bidirectional=False)


@pytest.mark.parametrize("name", [name for name in SCHEDULES if name.endswith("min0.0")])
def test_schedule_is_the_published_one(name):
    steps, epochs, warmup = map(int, re.match(r"S(\d+)_E(\d+)_W(\d+)", name).groups())
    factors = [s5_cosine_factor(k, steps * warmup, steps * (epochs - warmup)) for k in range(steps * epochs)]
    ours = float(SCHEDULES["base_lr"]) * torch.tensor(factors, dtype=torch.float64)
    torch.testing.assert_close(ours, SCHEDULES[name], rtol=1e-6, atol=1e-9)
