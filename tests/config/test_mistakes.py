"""Mistakes in options: a sentence that says what is wrong and, where there is one, the form that works."""

import re
import shlex

import pytest
from hydra.errors import MissingConfigException

from lra.advice import check_flags
from lra.cli import explanation
from lra.composition import compose
from lra.config import Config
from lra.errors import UserError
from lra.paths import CHECKOUT
from lra.training.assemble import check

LISTOPS = ["experiment=lra/listops-s4d", "task.source=standin"]


def said(*overrides: str) -> str:
    """What the user is told; fails if the options are accepted, or answered by a traceback."""
    try:
        check(Config.parse(compose([*LISTOPS, *overrides])))
    except Exception as error:
        message = explanation(error)
        if message is None:
            raise
        return message
    raise AssertionError(f"accepted: {overrides}")


@pytest.mark.parametrize(
    ("override", "key", "value"),
    [
        ("task.path=~/data", "path", "~/data"),
        ("task.path=/d/my data (copy)", "path", "/d/my data (copy)"),
        ("task.path=/d/x=1", "path", "/d/x=1"),
        ("task.path=/d/数据", "path", "/d/数据"),
        ("task.path=/d/été", "path", "/d/été"),
        ('task.path=/d/a"b', "path", '/d/a"b'),
        ("task.path=[a", "path", "[a"),
        ("task.path={a}b", "path", "{a}b"),
        ("task.path=a,b", "path", "a,b"),
        ("task.path=C:\\data\\x y=", "path", "C:\\data\\x y="),
    ],
)
def test_the_form_that_works_is_shown_and_works(override, key, value):
    message = said(override)
    form = re.findall(r"[Ww]rite ('.*?'|\S+)[.,]", message)[0]
    (argument,) = shlex.split(form)
    assert compose([*LISTOPS, argument])["task"][key] == value


@pytest.mark.parametrize("override", ["seed=0,1,2", "seed=range(0,3)", "kernel.init=choice(legs,lin)"])
def test_several_values_need_m(override):
    assert "With -m there is a run for each" in said(override)


@pytest.mark.parametrize(
    ("argument", "form"),
    [
        ("--lr=0.01", "optimizer.lr=0.01"),
        ("--optimizer.lr=0.01", "optimizer.lr=0.01"),
        ("--seed=3", "seed=3"),
        ("--epochs=3", "trainer.epochs=3"),
        ("--state_size=32", "kernel.state_size=32"),
        ("--nosuchthing", "key=value"),
        ("--experiment=lra/text-s4d", "experiment=lra/text-s4d"),  # not short for Hydra's --experimental-rerun
        ("--experiment lra/text-s4d", "experiment=lra/text-s4d"),
        ("--seed 3", "seed=3."),
        ("--seed seed=3", "seed=…"),
    ],
)
def test_options_have_no_dashes(argument, form):
    with pytest.raises(UserError, match=f"Write .*{re.escape(form)}"):
        check_flags([*LISTOPS, *argument.split()])
    check_flags([*LISTOPS, "-m", "--cfg", "job"])


def test_flags_come_first():
    with pytest.raises(UserError, match="seed=0,1 stands behind a flag"):
        check_flags([*LISTOPS, "-m", "seed=0,1"])
    check_flags(["-m", *LISTOPS, "seed=0,1"])


@pytest.mark.parametrize(
    ("option", "extra"),
    [
        ("hydra/sweeper/optuna", "sweep"),
        ("hydra/launcher/ray", "ray"),
        ("hydra/launcher/submitit_slurm", "slurm"),  # what slurm.yaml starts from
        ("hydra/launcher/submitit_local", "slurm"),
    ],
)
def test_a_missing_extra_is_named(option, extra):
    assert f"\n{extra} = [" in (CHECKOUT / "pyproject.toml").read_text()
    said = explanation(MissingConfigException("Could not find it.\nConfig search path:\n…", option))
    assert f"pip install -c constraints.txt -e '.[{extra}]'" in said
    assert "search path" not in said


def test_other_launchers_are_those_that_hydra_knows():
    said = explanation(MissingConfigException("Could not find it.", "hydra/launcher/nosuch", ["basic"]))
    assert said == "There is no hydra/launcher 'nosuch'.\nAvailable: basic, slurm"


@pytest.mark.parametrize(
    ("overrides", "part"),
    [
        ("task.path=???", "task.path: ??? stands for a value that is still missing"),
        ("seed=???", "seed: ???"),
        ("optimizer.lr=inf", "optimizer.lr: must be a finite number"),
        ("kernel.dt_max=nan", "kernel.dt_max: must be a finite number"),
        ("optimizer.weight_decay=-0.0", "optimizer.weight_decay: negative zero"),
        ("model.dropout=-0.0", "model.dropout: negative zero"),
        ("kernel.state_size=1e9", "kernel.state_size: Input should be"),
        ("kernel.state_size=1000000000", "less than or equal to 1024"),
        ("trainer.epochs=1e18", "trainer.epochs: Input should be"),
        ("trainer.epochs=1000000000000000000", "less than or equal to 1000000"),
        ("model.layers=100000", "less than or equal to 1000"),
        ("model.features=10000000", "less than or equal to 65536"),
        ("model.layers=1000 model.features=65536", "parameters; at most 1e+09"),
        ("task.max_length=1000000000000", "less than or equal to"),
        ("model.layers=4.0", "model.layers: Input should be a valid integer"),
        ("model.layers=true", "model.layers: Input should be a valid integer"),
        ("~model.pooling", "model.pooling: is missing"),
        ("~model.layers", "model.layers: is missing"),
        ("~optimizer.lr", "optimizer.lr: Field required"),
        ("logger=[1,2]", "A group takes the name of one of its files"),
        ("output_dir=''", "output_dir: is empty; name a place"),
        ("task.path=''", "task.path: is empty; name a place"),
        ("kernel=null", "takes the name of one of its choices"),
        ("task._target_=5", "needs the name of a class"),
        ("task._target_=pathlib.Path", "is no Task"),
        ("kernel._target_=nosuch.Thing", "cannot be imported"),
        ('data_dir="~nosuchuser/x"', "home folder of a user that is not known"),
        (f"output_dir={'x' * 300}", "output_dir is too long"),
        ('results_dir="a\0b"', "results_dir: no name or path holds a NUL"),
        ("kernel.dt_min=1.0 kernel.dt_max=0.1", "dt_min"),
        ("+seed=1", "seed"),
        ("experiment=", "experiment"),
        ("experiment=lra/../lra/listops-s4d", "name one recipe as --help lists it. Did you mean 'lra/listops-s4d'"),
        ("experiment=lra/listops-s4d.yaml", "name one recipe"),
        ("experiment=[lra/listops-s4d,lra/text-s4d]", "name one recipe"),
        ("~mixer", "~mixer leaves no mixer"),
        ("~scheduler", "scheduler: is missing; choose one, such as scheduler=cosine"),
        ("+scheduler.warmup=3", "scheduler.warmup: no such option. Did you mean 'scheduler.warmup_steps'?"),
    ],
)
def test_what_no_run_can_have_is_refused(overrides, part):
    assert part in said(*overrides.split(" "))
