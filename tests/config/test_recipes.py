"""Every recipe against what the papers and their code say (papers.yaml), and their published sizes."""

import re
from itertools import product
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from lra.composition import compose, experiments
from lra.config import Config
from lra.kernels.base import Rule
from lra.kernels.s4_original import S4Original
from lra.models.build import make_model
from lra.nodes import factory, options, target
from lra.training.assemble import make_task

PAPERS = OmegaConf.to_container(OmegaConf.load(Path(__file__).with_name("papers.yaml")))


def expanded(pattern: str) -> list[str]:
    parts = re.split(r"\{([^}]*)\}", pattern)
    return ["".join(choice) for choice in product(*(p.split(",") for p in parts))]


def rows(group: str) -> dict[str, dict]:
    return {
        name: dict(zip(PAPERS["columns"], values, strict=True))
        for pattern, values in PAPERS[group].items()
        for name in expanded(pattern)
    }


GROUPS = {group: rows(group) for group in PAPERS["versions"]}
ALL = [(group, name) for group, recipes in GROUPS.items() for name in recipes]


def test_every_state_space_recipe_is_compared():
    compared = {name for _, name in ALL}
    elsewhere = ("transformer", "-s5", "-lru")
    assert compared == {
        name for name in experiments() if not name.endswith(elsewhere) and not name.startswith("small/")
    }


@pytest.mark.parametrize(("group", "name"), ALL)
def test_recipe_is_the_papers(group, name):
    expected = GROUPS[group][name]
    config = Config.parse(compose([f"experiment={name}"]))
    model, kernel, schedule = config.model, config.kernel, config.scheduler
    found = {
        **{key: model[key] for key in ("layers", "features", "norm", "prenorm", "dropout", "pooling")},
        **{key: kernel[key] for key in ("state_size", "dt_min", "dt_max")},
        "lr": config.optimizer.lr,
        "weight_decay": config.optimizer.weight_decay,
        "batch_size": config.trainer.batch_size,
        "epochs": config.trainer.epochs,
        "lr_dt": kernel["lr"]["dt"],
        "schedule": {
            "cosine": lambda: [schedule.warmup_steps, schedule.total_steps],
            "plateau": lambda: schedule.patience,
            "multistep": lambda: {"milestones": schedule.milestones},
        }[schedule.name](),
    }
    assert found == expected
    if group in ("first", "dss", "dss_s4"):
        assert (model["bidirectional"], model["mixing"], model["mask_padding"]) == (False, "linear", False)
        assert schedule.factor == 0.2
    elif group == "cosine":
        assert (model["bidirectional"], model["mixing"], model["mask_padding"]) == (True, "glu", True)
    else:
        assert model["mixing"] == "linear"
        assert model["bidirectional"] == (name not in PAPERS["causal_ablations"])
    assert model["tie_dropout"]
    assert kernel.get("n_ssm") == PAPERS["tied"].get(name)
    assert config.task.get("max_length", 0) == PAPERS["max_length"].get(name, config.task.get("max_length", 0))
    if config.kernel["_target_"].endswith("S4"):
        assert kernel["c_parameter"] == "truncated"  # the published code trains C (I − Ā^L)


@pytest.mark.parametrize(("group", "name"), ALL)
def test_recipe_follows_the_version_it_names(group, name):
    version, config = PAPERS["versions"][group], Config.parse(compose([f"experiment={name}"]))
    kernel = config.kernel
    assert config.source.code == version["code"]
    assert config.optimizer.decay_norms_and_biases == version["decayed"]
    assert kernel.get("init_version", "none") == version["init_version"]
    assert kernel.get("B_init", "ones") == "ones"
    assert kernel.get("gradient", "published") == "published"
    made = target(kernel)(4, **{k: v for k, v in options(kernel).items() if k != "n_ssm"} | _length(kernel))
    rule = made.optimizer_rules().get("W" if group == "dss" else "C")
    assert rule == (Rule(0.001, 0.0) if version["lr_C"] == "kernel" else None)
    assert (target(kernel) is S4Original) == (group == "first")


def _length(kernel: dict) -> dict:
    return {"length": 64} if "length" in kernel else {}


def test_every_recipe_names_its_code_version():
    for name in experiments():
        assert Config.parse(compose([f"experiment={name}"])).source.code, name


def test_first_s4_shares_one_system():
    """Λ is one for all features; P, Q and B are not tied (tag v1)."""
    kernel = factory(compose(["experiment=lra/text-s4-original"])["kernel"])(8, length=64)
    assert kernel.A_real.shape == (32,)
    assert kernel.P.shape == kernel.Q.shape == (1, 8, 32, 2)


@pytest.mark.parametrize("name", PAPERS["parameters"])
def test_published_parameter_counts(name):
    config = Config.parse(compose([f"experiment={name}"]))
    model = make_model(make_task(config).spec, config.model, config.kernel, config.mixer)
    assert round(sum(p.numel() for p in model.parameters()) / 1000) == PAPERS["parameters"][name]


def test_text_uses_the_papers_protocol():
    for name in ("lra/text-s4d", "lra/text-dss", "lra/text-s4"):
        config = Config.parse(compose([f"experiment={name}"]))
        assert make_task(config).spec.protocol == "test_as_validation"
