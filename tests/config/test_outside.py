"""Recipes, parts, tasks, studies and reported numbers from a folder or an installed package of one's own."""

from pathlib import Path

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from lra import paths
from lra.commands import data, verify
from lra.composition import compose, experiments, with_searchpath, with_swaps
from lra.config import Config, changes
from lra.data.catalog import make_task, task_names
from lra.errors import UserError
from lra.models.build import make_model
from lra.studies.jobs import jobs
from lra.studies.schema import load_study, study_names
from lra.tables.select import build

FILES = {
    "running.py": """
from lra.mixers.base import SequenceMixer

class Sum(SequenceMixer):
    def __init__(self, features, *, scale: float = 1.0, **options):
        super().__init__()
        self.features = self.outputs = features
        self.scale = scale

    def forward(self, u, mask=None, rate=1.0):
        return self.scale * u.cumsum(-1)
""",
    "configs/mixer/sum.yaml": "_target_: running.Sum\nscale: 1.0\n",
    "configs/task/mine.yaml": "_target_: toy.Toy\nmax_length: 9\n",
    "configs/experiment/mine/sum.yaml": """
# @package _global_
defaults:
  - override /task: mine
  - override /mixer: sum
model: {layers: 1, features: 8}
mixer: {scale: 0.5}
""",
    "experiments/mine.yaml": """
title: Mine
description: A sum.
source: mine
reported: mine/table
protocol: as it is
seeds: [0]
columns: [{key: sum, title: Sum}]
rows: [{key: ours, title: Ours, family: mine, experiment: "mine/{column}"}]
""",
    "reported/mine.yaml": """
paper: Mine
protocol: as it is
evidence: read
tables:
  table:
    title: Mine
    metric: accuracy
    columns: {sum: Sum}
    rows: {ours: {title: Ours, values: {sum: 12.5}}}
""",
}


def write(folder: Path) -> Path:
    for name, content in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content, encoding="utf-8")
    return folder


@pytest.fixture
def mine(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("LRA_PATH", str(write(tmp_path / "mine")))
    monkeypatch.syspath_prepend(str(tmp_path / "mine"))
    return tmp_path / "mine"


def test_a_recipe_and_its_parts_from_a_folder(mine):
    assert "mine/sum" in experiments()
    config = Config.parse(compose(["experiment=mine/sum", "mixer.scale=2"]))
    assert config.mixer == {"_target_": "running.Sum", "scale": 2}
    assert config.kernel == {}
    assert changes(config, "mine/sum") == {"mixer.scale": 2}
    model = make_model(make_task("mine").spec, config.model, config.kernel, config.mixer)
    assert model.backbone.blocks[0].mixer.past.scale == 2  # the cosine recipe reads both directions


def test_an_edited_recipe_is_composed_as_it_is_now(mine):
    """In a notebook a recipe is edited between two cells."""
    recipe = mine / "configs/experiment/mine/sum.yaml"
    assert compose(["experiment=mine/sum"])["model"]["features"] == 8
    recipe.write_text(recipe.read_text().replace("features: 8", "features: 6"))
    assert compose(["experiment=mine/sum"])["model"]["features"] == 6


def test_every_model_has_layers_and_features(mine):
    (mine / "flat.py").write_text(
        "import torch\nclass Flat(torch.nn.Module):\n    def __init__(self, width: int = 3): ...\n"
    )
    tree = compose(["experiment=mine/sum"]) | {"model": {"_target_": "flat.Flat", "pooling": "mean"}}
    with pytest.raises(UserError, match=r"flat.Flat does not take layers, .*\n.* does not take features"):
        Config.parse(tree)


def test_a_mixer_of_ones_own_in_a_papers_recipe(mine):
    overrides = ["experiment=lra/listops-s4d", "mixer=sum"]
    tree, notes = with_swaps(compose(overrides[:1]), overrides)
    assert notes == ["mixer=sum in place of the recipe's mixer; its options are its own, none is the recipe's"]
    found = changes(Config.parse(compose(overrides)), "lra/listops-s4d")
    assert found["mixer._target_"] == "running.Sum"
    with pytest.raises(UserError, match="kernel changes nothing here: Sum has no kernel"):
        compose([*overrides, "kernel=s4"])
    assert tree["kernel"] == {}


@pytest.mark.parametrize("name", ["a,b", "a b", "[a]", "a=b", "it's", 'say "a"', "(a)", "~a", "ü", "a\\"])
def test_a_folder_may_have_any_name(tmp_path, monkeypatch, name):
    monkeypatch.setenv("LRA_PATH", str(write(tmp_path / name)))
    monkeypatch.syspath_prepend(str(tmp_path / name))
    assert compose(["experiment=mine/sum"])["mixer"]["scale"] == 0.5
    # and on the command line, where Hydra parses it
    (option,) = with_searchpath([])
    (parsed,) = OverridesParser.create().parse_overrides([option])
    assert parsed.value() == [f"file://{tmp_path / name / 'configs'}"]


def test_a_folder_whose_name_is_an_interpolation_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("LRA_PATH", str(write(tmp_path / "a${x}")))
    with pytest.raises(UserError, match="Rename the folder"):
        compose(["experiment=mine/sum"])


def test_a_study_and_its_reported_numbers_from_a_folder(mine):
    assert "mine" in study_names()
    (job,) = jobs(load_study("mine"))
    assert job.experiment == "mine/sum"
    (cell,) = build(load_study("mine"), []).cells.values()
    assert str(cell.reported.value) == "12.5"


def test_tasks_from_a_folder(mine, tmp_path, capsys):
    """A task need not be a published one, also for the commands that prepare and verify all."""
    assert "mine" in task_names()
    assert make_task("mine").max_length == 9
    folder = ["--data-dir", str(tmp_path / "data")]
    assert data.main(folder) == 0
    assert "no download; made here" in capsys.readouterr().out
    assert data.main(["mine", *folder]) == 0
    assert verify.main(["mine", *folder]) == 0
    assert "standin" in capsys.readouterr().out


def test_an_installed_package_names_its_folder(tmp_path, monkeypatch):
    write(tmp_path / "minepackage")
    (tmp_path / "minepackage/__init__.py").write_text("raise RuntimeError('not to be imported')")
    (tmp_path / "mine-1.0.dist-info").mkdir()
    (tmp_path / "mine-1.0.dist-info/METADATA").write_text("Metadata-Version: 2.1\nName: mine\nVersion: 1.0\n")
    (tmp_path / "mine-1.0.dist-info/entry_points.txt").write_text("[lra]\nmine = minepackage\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert paths.extensions() == [tmp_path / "minepackage"]
    assert "mine/sum" in experiments()


def test_what_is_not_there_or_twice_there_is_refused(mine, monkeypatch):
    (mine / "experiments/s4d-lra.yaml").write_text("title: the name of one of ours\n")
    with pytest.raises(UserError, match="have the same name"):
        study_names()
    monkeypatch.setenv("LRA_PATH", "/nowhere")
    with pytest.raises(UserError, match="/nowhere, which is no folder"):
        experiments()
