"""Every recipe composes, is typed, says where it comes from, fits one screen, and takes one step."""

from dataclasses import replace

import pytest
import torch
from toy import batch_for

from lra.composition import compose, experiments
from lra.config import Config
from lra.models.build import make_model
from lra.paths import CONFIG_DIR
from lra.training.assemble import make_task
from lra.training.module import SequenceModule
from lra.training.optim import make_optimizer

EXPERIMENTS = experiments()
SMALL = {"layers": 2, "features": 16}


def test_there_are_recipes():
    assert "lra/listops-s4d" in EXPERIMENTS


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_composes_typed_and_sourced(name):
    config = Config.parse(compose([f"experiment={name}"]))
    assert config.source is not None
    assert config.budget.kind == "paper"
    lines = (CONFIG_DIR / "experiment" / f"{name}.yaml").read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 45
    assert lines[0] == "# @package _global_"
    assert lines[1].startswith(f"# python train.py experiment={name}")


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_takes_one_step(name):
    torch.manual_seed(0)
    config = Config.parse(compose([f"experiment={name}"]))
    spec = replace(make_task(config).spec, max_length=64)  # what S5 pads to
    model = make_model(spec, config.model | SMALL, config.kernel, config.mixer)
    module = SequenceModule(model, config.optimizer, config.scheduler)
    batch = batch_for(spec)
    optimizer = make_optimizer(model, config.optimizer)
    loss = module.loss(module(batch), batch.y)
    loss.backward()
    optimizer.step()
    assert torch.isfinite(loss)
    assert torch.isfinite(module.loss(module(batch), batch.y))


KERNELS = sorted(p.stem for p in (CONFIG_DIR / "kernel").glob("*.yaml"))


@pytest.mark.parametrize("kernel", KERNELS)
def test_every_kernel_fits_the_recipe(kernel):
    config = Config.parse(compose([f"kernel={kernel}"]))
    spec = make_task(config).spec
    batch = batch_for(spec)
    outputs = make_model(spec, config.model | SMALL, config.kernel, config.mixer)(batch.x, batch.lengths)
    assert outputs.shape == (2, spec.outputs)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["+optimizer.learning_rate=1"], r"optimizer.learning_rate: no such option"),
        (["+kernel.inti=lin"], r"kernel.inti: no such option; .* Did you mean 'init'"),
        (["+model.feature=3"], r"model.feature: no such option; .* Did you mean 'features'"),
        (["+task.max_len=3"], r"task.max_len: no such option; .* Did you mean 'max_length'"),
        (["model.dropout=2"], r"model.dropout: Input should be less than 1 \(given: 2\)"),
        (["model.layers=0", "kernel.dt_min=abc"], r"kernel.dt_min: .* number .*'abc'[^$]*model.layers: "),
        (["kernel.lr.A=-1"], r"kernel.lr.A: Input should be greater than or equal to 0"),
        (["kernel.init=[legs,3]"], r"kernel.init.1 is 3; allowed: legs, fout, lin"),
        (["task.generator_seed=-1"], r"task.generator_seed: "),
        (["optimizer.lr=fast"], r"optimizer.lr: .* number .*'fast'"),
        (["optimizer.lr=-1"], r"optimizer.lr: Input should be greater than 0 \(given: -1\)"),
        (["trainer.precision=16"], r"trainer.precision is 16; allowed: 32-true, 64-true"),
        (["trainer.time_limit=soon"], r"trainer.time_limit: a duration is 90s, 9m, 2h, .* \(given: 'soon'\)"),
        (["trainer.time_limit=0m"], r"trainer.time_limit: Input should be greater than 0"),
        (["seed=-1"], r"seed: "),
        (["scheduler.name=exponential"], r"scheduler: .*cosine"),
        (["kernel._target_=lra.kernels.s5.S5"], r"lra.kernels.s5.S5 cannot be imported"),
    ],
)
def test_mistakes_are_answered_in_words(overrides, message):
    from lra.errors import UserError

    with pytest.raises(UserError, match=message):
        Config.parse(compose(["experiment=lra/listops-s4d", *overrides]))


def test_run_id_depends_on_what_is_computed_and_on_nothing_else():
    base = ["experiment=lra/listops-s4d"]

    def run_id(*overrides: str) -> str:
        return Config.parse(compose([*base, *overrides])).run_id()

    same = [
        "logger=wandb",
        "data_dir=/elsewhere",
        "trainer.accelerator=cpu",
        "trainer.time_limit=2h",
        "trainer.tf32=true",
        "force=true",
        "kernel.init=legs",
    ]
    assert {run_id(override) for override in same} == {run_id()}
    other = ["seed=1", "seed=2", "kernel.init=lin", "budget=smoke", "trainer.precision=64-true"]
    assert len({run_id(), *map(run_id, other)}) == len(other) + 1


@pytest.mark.parametrize(
    ("given", "seconds"),
    [("90s", 90), ("9m", 540), ("2h", 7200), ("1h30m", 5400), ("1d", 86400), (3, 180), (0.5, 30)],
)
def test_durations(given, seconds):
    composed = compose(["experiment=lra/listops-s4d", f"trainer.time_limit={given}"])
    assert Config.parse(composed).trainer.time_limit == seconds


def test_changes_against_the_recipe():
    from lra.config import changes

    overrides = ["kernel.init=lin", "seed=5", "budget=smoke", "logger=wandb", "optimizer.lr=0.01"]
    config = Config.parse(compose(["experiment=lra/listops-s4d", *overrides]))
    assert changes(config, "lra/listops-s4d") == {"kernel.init": "lin"}
