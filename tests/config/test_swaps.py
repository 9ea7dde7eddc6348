"""Another kernel, mixer or model in a paper's recipe: it trains, or one sentence says what to take."""

from dataclasses import replace
from functools import cache

import pytest
import torch
from omegaconf import OmegaConf
from toy import batch_for

from lra.composition import FAMILY, compose, experiments, plain, with_swaps
from lra.config import Config, changes
from lra.errors import UserError
from lra.models.build import make_model
from lra.paths import CONFIG_DIR
from lra.training.assemble import make_task
from lra.training.module import SequenceModule
from lra.training.optim import make_optimizer

SMALL = {"layers": 1, "features": 16}
RECIPES = [name for name in experiments() if name.startswith("lra/")]
PARTS = [
    f"{part}={file.stem}"
    for part in ("kernel", "mixer", "model")
    for file in sorted((CONFIG_DIR / part).glob("*.yaml"))
]


@cache
def takes_a_step(recipe: str, *parts: str) -> Config:
    torch.manual_seed(0)
    config = Config.parse(compose([f"experiment={recipe}", *parts]))
    spec = replace(make_task(config).spec, max_length=64)  # what S5 pads to
    model = make_model(spec, config.model | SMALL, config.kernel, config.mixer)
    module, batch = SequenceModule(model, config.optimizer, config.scheduler), batch_for(spec)
    optimizer = make_optimizer(model, config.optimizer)
    loss = module.loss(module(batch), batch.y)
    loss.backward()
    optimizer.step()
    assert torch.isfinite(loss)
    return config


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("recipe", RECIPES)
def test_every_part_in_every_recipe(recipe, part):
    try:
        config = takes_a_step(recipe, part)
    except UserError as error:
        message = str(error)
    else:
        group = part.partition("=")[0]
        own = plain([part])[group]
        assert getattr(config, group)["_target_"] == own["_target_"]
        return
    assert "or take a recipe" in message
    assert len(message.splitlines()) == 1
    cure = {"model=ssm", "mixer=convolution"} & set(message.replace(",", " ").split())
    takes_a_step(recipe, part, *cure)


def test_the_frame_is_the_recipes_and_the_rest_the_parts_own():
    overrides = ["experiment=lra/pathx-s4d", "kernel=dss", "kernel.lr.W=0.5"]
    recipe, own = compose(overrides[:1]), plain(["kernel=dss"])["kernel"]
    tree, notes = with_swaps(plain(overrides), overrides)
    frame = {key: recipe["kernel"][key] for key in ("state_size", "dt_min", "dt_max")}
    assert tree["kernel"] == own | frame | {"lr": own["lr"] | {"W": 0.5}}
    assert {**tree, "kernel": {}} == {**recipe, "kernel": {}}
    assert notes == [
        "kernel=dss in place of the recipe's kernel; of its options the recipe's are: "
        "state_size=64, dt_min=0.0001, dt_max=0.01"
    ]
    found = changes(Config.parse(tree), "lra/pathx-s4d")
    assert found["kernel._target_"] == "lra.kernels.dss.DSS"
    assert found["kernel.lr.W"] == 0.5
    assert not {"kernel.discretization", "kernel.state_size"} & found.keys()


@pytest.mark.parametrize("name", ["plateau", "multistep", "constant", "s5", "inverse_sqrt"])
def test_a_schedule_of_another_kind_has_its_own_options(name):
    config = Config.parse(compose(["experiment=lra/listops-s4d", f"scheduler={name}"]))
    assert config.scheduler.model_dump(mode="json") == plain([f"scheduler={name}"])["scheduler"]
    found = changes(config, "lra/listops-s4d")
    assert found["scheduler.name"] == name
    assert None not in found.values()


def test_the_recipes_own_part_is_no_change():
    for part in ("kernel=s4d", "mixer=convolution", "model=ssm", "scheduler=cosine"):
        overrides = ["experiment=lra/listops-s4d", part, "kernel.init=lin"]
        assert compose(overrides) == compose(["experiment=lra/listops-s4d", "kernel.init=lin"])


def test_options_of_a_part_that_is_not_there_are_refused():
    base = "experiment=lra/listops-s4d"
    with pytest.raises(UserError, match=r"kernel.discretization: no such option"):
        Config.parse(compose([base, "kernel=dss", "kernel.discretization=zoh"]))
    with pytest.raises(UserError, match=r"kernel.init changes nothing here: Transformer has no kernel"):
        compose([base, "model=transformer", "kernel.init=lin"])
    with pytest.raises(UserError, match="kernel changes nothing here: Attention has no kernel"):
        compose([base, "mixer=attention", "kernel=s4"])


def test_families_say_what_the_code_says_they_do():
    for file in (CONFIG_DIR / "recipe").glob("*.yaml"):
        assert set(OmegaConf.load(file).model) == set(FAMILY)
