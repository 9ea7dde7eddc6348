"""The recipes of S5 and LRU against their authors' scripts and tables, and S5's sizes."""

from functools import cache

import pytest
import vectors

from lra.composition import compose, experiments
from lra.config import Config
from lra.models.build import make_model
from lra.training.assemble import make_task
from lra.training.budget import scale

# layers, H, P, J, batch, epochs, rate of the SSM, its multiple for the rest, decay, dropout, C, optimizer, gate,
# warm-up epochs, momentum of the old statistics: the authors' scripts in bin/run_experiments
S5 = {
    "lra/listops": "8 128 16 8 50 40 .001 3 .04 0 lecun_normal BfastandCdecay half_glu2 1 .95",
    "lra/text": "6 256 192 12 50 35 .001 4 .07 .1 lecun_normal standard,dt_global half_glu2 0 .95",
    "lra/retrieval": "6 128 256 16 32 20 .001 2 .05 0 trunc_standard_normal standard,dt_global half_glu1 1 .95",
    "lra/image": "6 512 384 3 50 250 .001 4.5 .07 .1 lecun_normal BfastandCdecay half_glu1 1 .95",
    "lra/pathfinder": "6 192 256 8 64 200 .0009 5 .03 .05 trunc_standard_normal standard half_glu1 1 .9",
    "lra/pathx": "6 128 256 16 32 75 .0006 3 .06 0 complex_normal BandCdecay half_glu1 1 .9",
    "sc/sc35": "6 96 128 16 16 40 .002 4 .04 .1 lecun_normal noBCdecay half_glu1 1 .95",
}
# H, N, steps, batch, factor of the recurrence's rate, dropout, least and largest radius, phase in π: Tables 8 and 9
LRU = {
    "lra/image": "512 384 180000 50 .25 .1 .9 .999 2",
    "lra/listops": "128 256 80000 32 .5 0 0 .99 2",
    "lra/text": "256 192 50000 32 .1 .1 .5 .9 2",
    "lra/retrieval": "128 256 100000 64 .5 .1 .5 .9 2",
    "lra/pathfinder": "192 256 500000 64 .25 0 .9 .999 2",
    "lra/pathx": "128 256 250000 32 .25 0 .999 .9999 .1",
}
# Parameters that a trained system of each optimizer option shares with the rest of the model, and those decayed.
OPTIMIZERS = {
    "standard": ({"C", "D"}, {"C", "D"}),
    "standard,dt_global": ({"dt", "C", "D"}, {"dt", "C", "D"}),
    "BandCdecay": ({"C", "D"}, {"B", "C", "D"}),
    "BfastandCdecay": ({"B", "C", "D"}, {"B", "C", "D"}),
    "noBCdecay": (set(), set()),
}
# Inputs of the published encoders that no symbol uses, and that ours do not have
UNUSED_INPUTS = {"listops": 20 - 18, "text": 135 - 134}


@cache
def config_of(name: str) -> Config:
    return Config.parse(compose([f"experiment={name}"]))


def test_all_are_compared():
    ours = {name for name in experiments() if name.endswith(("-s5", "-lru"))}
    assert ours == {f"{name}-s5" for name in S5} | {f"{name}-lru" for name in LRU}


@pytest.mark.parametrize("name", S5)
def test_s5_is_the_authors(name):
    *sizes, C_init, opt_config, gate, warmup, momentum = S5[name].split()
    layers, H, P, J, batch, epochs, rate, factor, decay, dropout = map(float, sizes)
    config = config_of(f"{name}-s5")
    model, mixer, lr = config.model, config.mixer, config.mixer["lr"]
    assert (model["layers"], model["features"], model["dropout"]) == (layers, H, dropout)
    assert (mixer["state_size"], mixer["blocks"], mixer["C_init"]) == (P, J, C_init)
    assert (config.trainer.batch_size, config.trainer.epochs) == (batch, epochs)
    assert config.optimizer.lr == pytest.approx(rate * factor)
    assert config.optimizer.weight_decay == decay
    assert model["mixing"] == gate
    assert model["norm_momentum"] == pytest.approx(1 - float(momentum))
    shared, decayed = OPTIMIZERS[opt_config]
    assert {role for role, value in lr.items() if value is None} == shared
    assert {value for value in lr.values() if value is not None} == {rate}
    assert set(mixer["decay"]) == decayed
    assert (config.scheduler.warmup, config.scheduler.cosine) == (int(warmup), epochs - int(warmup))
    assert (mixer["dt_min"], mixer["dt_max"]) == (0.0001 if name == "lra/pathx" else 0.001, 0.1)
    assert mixer["clip_eigs"] == (name == "lra/image")
    assert mixer["discretization"] == "zoh"
    frame = {
        "bidirectional": True,
        "prenorm": True,
        "norm": "batch",
        "pooling": "mean",
        "mask_padding": False,
    }
    assert {key: model[key] for key in frame} == frame
    assert model["conventions"] == "s5"
    assert config.optimizer.decay_norms_and_biases


@pytest.mark.parametrize("name", S5)
def test_s5_has_the_published_size(name):
    config, task = config_of(f"{name}-s5"), name.split("/")[1]
    model = make_model(make_task(config).spec, config.model, config.kernel, config.mixer)
    ours = sum(p.numel() for p in model.parameters())
    published = int(vectors.load("s5_init")[f"parameters/{task}"])
    assert ours + UNUSED_INPUTS.get(task, 0) * config.model["features"] == published


@pytest.mark.parametrize("name", LRU)
def test_lru_is_the_papers(name):
    H, N, steps, batch, factor, dropout, r_min, r_max, phase = map(float, LRU[name].split())
    config = config_of(f"{name}-lru")
    model, mixer, optimizer = config.model, config.mixer, config.optimizer
    assert (model["layers"], model["features"], model["dropout"]) == (6, H, dropout)
    assert (mixer["state_size"], mixer["r_min"], mixer["r_max"]) == (N, r_min, r_max)
    assert mixer["max_phase"] == pytest.approx(phase * 3.141592653589793)
    assert list(mixer["lr"].values()) == pytest.approx([factor * optimizer.lr] * 3)
    assert (optimizer.weight_decay, optimizer.decay_norms_and_biases, config.trainer.batch_size) == (
        0.05,
        True,
        batch,
    )
    schedule = config.scheduler
    assert (schedule.warmup_steps, schedule.total_steps, schedule.min_lr) == (steps / 10, steps, 1e-7)
    assert model["bidirectional"] == (name in ("lra/pathfinder", "lra/pathx"))
    assert model["mixing"] == ("half_glu1" if name == "lra/pathx" else "full_glu")
    assert make_task(config).spec.name == ("scifar" if name == "lra/image" else name.split("/")[1])
    spec = make_task(config).spec
    plan = scale(config, spec, dict(spec.splits), spec.splits["train"])
    assert 0.999 * steps < plan.steps < steps + plan.steps_per_epoch


@pytest.mark.parametrize("name", LRU)
def test_what_the_lru_paper_leaves_open_is_said(name):
    said = " ".join(config_of(f"{name}-lru").source.deviations)
    assert "second-hand: the learning rate" in said or "not published: the learning rate" in said
    if name in ("lra/pathfinder", "lra/pathx"):
        assert "not published: how two directions are joined" in said


def test_a_shorter_run_of_s5_goes_through_the_same_schedule():
    config = config_of("lra/listops-s5")
    spec = make_task(config).spec
    counts = dict(spec.splits)
    whole = scale(config, spec, counts, counts["train"])
    assert (whole.steps_per_epoch, whole.scheduler.warmup, whole.scheduler.cosine) == (1920, 1920, 39 * 1920)
    budget = config.budget.model_copy(update={"kind": "reduced", "epochs": 4})
    short = scale(config.model_copy(update={"budget": budget}), spec, counts, counts["train"])
    assert (short.scheduler.warmup, short.scheduler.cosine) == (192, 7488)
