import copy
from functools import cache

import pytest
import yaml
from pydantic import ValidationError

from lra.composition import compose, experiments, flat
from lra.errors import UserError
from lra.paths import STUDIES_DIR
from lra.studies.schema import Study, load_studies, load_study, study_names

PAPER_TABLES = {
    "s4d-lra",
    "s4d-sc35",
    "s4d-scifar",
    "s4d-bidmc",
    "dss-lra",
    "dss-sc10",
    "s4-lra",
    "lra-attention",
    "s4d-ablation",
    "s4d-real",
    "dss-ablation",
}


def small():
    return {
        "name": "small",
        "title": "Small",
        "description": "",
        "source": "none",
        "reported": None,
        "protocol": "best epoch",
        "seeds": [0],
        "columns": [{"key": "a", "title": "A"}, {"key": "b", "title": "B", "experiment": "bee"}],
        "rows": [{"key": "r", "title": "R", "family": "F", "experiment": "lra/{column}-x"}],
    }


def test_all_studies_load():
    assert {s.name for s in load_studies()[0]} >= PAPER_TABLES


def test_cells_of_the_s4d_table():
    cells = {(p.row.key, p.column.key): p for p in load_study("s4d-lra").cells()}
    assert cells["s4d-legs", "listops"].experiment == "lra/listops-s4d"
    assert cells["s4d-legs", "listops"].changes == {}
    assert cells["s4d-inv", "pathx"].changes == {"kernel.init": "inv"}
    assert cells["s4d-inv", "pathx"].seeds == [0]
    assert ("s4d-lin-wide", "listops") not in cells


def test_an_evaluation_column_changes_the_trained_run():
    cells = {(p.row.key, p.column.key): p for p in load_study("s4d-sc35").cells()}
    assert cells["s4d-inv", "sc35-8khz"].experiment == cells["s4d-inv", "sc35"].experiment
    assert cells["s4d-inv", "sc35-8khz"].changes == {"kernel.init": "inv", "task.rate": 2}


def test_a_column_may_change_every_run():
    content = small()
    content["columns"].append({"key": "long", "title": "Long", "experiment": "a", "changes": {"trainer.epochs": 5}})
    content["rows"][0]["changes"] = {"kernel.init": "lin"}
    *_, long = Study.model_validate(content).cells()
    assert (long.experiment, long.changes) == ("lra/a-x", {"kernel.init": "lin", "trainer.epochs": 5})


def test_a_grid_is_every_combination_less_the_recipes_own_values():
    study = load_study("s4d-ablation")
    assert len(study.rows) == 3 * 2 * 3 * 2
    changes = {row.title: row.changes for row in study.rows}
    assert changes["LegS, bilinear, exp, B trained"] == {}
    assert changes["Lin, ZOH, free, B fixed"] == {
        "kernel.init": "lin",
        "kernel.discretization": "zoh",
        "kernel.real_part": "none",
        "kernel.lr.B": 0.0,
    }


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda s: s["columns"].append(s["columns"][0]), "column keys appear twice: a"),
        (lambda s: s["rows"].append({**s["rows"][0], "title": "R2"}), "row keys appear twice: r"),
        (lambda s: s["rows"].append({**s["rows"][0], "key": "r2"}), "two cells have the same runs"),
        (lambda s: s["rows"][0].update(only=["c"]), "unknown column keys: c"),
        (
            lambda s: s.update(averages=[{"key": "m", "title": "M", "columns": ["z"]}]),
            "unknown column keys: z",
        ),
        (
            lambda s: (s["rows"][0].update(changes={"k": 1}), s["columns"][0].update(changes={"k": 2})),
            "row r and column a both change k",
        ),
        (lambda s: s.update(seeds=[]), "seeds"),
        (lambda s: s.update(color="red"), "color"),
        (
            lambda s: s.update(
                grid={
                    "family": "F",
                    "experiment": "{column}",
                    "axes": [{"key": "k", "recipe": 1, "values": {"two": 2}}],
                }
            ),
            "not among the values",
        ),
    ],
)
def test_invalid_studies(spoil, words):
    Study.model_validate(small())
    content = copy.deepcopy(small())
    spoil(content)
    with pytest.raises(ValidationError, match=words):
        Study.model_validate(content)


RECIPES = [
    pytest.param(
        spec.experiment,
        spec.row.changes | spec.column.changes,
        id=f"{study.name}-{spec.row.key}-{spec.column.key}",
    )
    for study in load_studies()[0]
    for spec in study.cells()
    if spec.experiment in experiments() and (spec.row.changes or spec.column.changes)
]


@pytest.mark.parametrize(("experiment", "changes"), RECIPES)
def test_changes_are_changes_of_the_recipe(experiment, changes):
    """A cell whose changes equal the recipe's own values, or name no key, could never be filled."""
    recipe = composed(experiment)
    assert {k: v for k, v in changes.items() if recipe.get(k, v) == v} == {}


AXES = [
    pytest.param(p.experiment, axis, id=f"{study.name}-{p.experiment}-{axis['key']}")
    for study in load_studies()[0]
    for axis in yaml.safe_load((STUDIES_DIR / f"{study.name}.yaml").read_text()).get("grid", {}).get("axes", [])
    for p in study.cells()
    if not p.changes and p.experiment in experiments()
]


@pytest.mark.parametrize(("experiment", "axis"), AXES)
def test_a_grid_knows_the_recipes_values(experiment, axis):
    assert composed(experiment)[axis["key"]] == axis["recipe"]


@cache
def composed(experiment):
    return flat(compose([f"experiment={experiment}"]))


def test_unknown_study_has_near_matches():
    with pytest.raises(UserError, match="Did you mean 's4d-lra'"):
        load_study("s4d-lrs")


@pytest.mark.parametrize("text", ["", "- 1\n", "title: [", "title: a\ntitle: b\n", "title: a\n"])
def test_a_file_that_is_no_study_is_named(tmp_path, text):
    (tmp_path / "broken.yaml").write_text(text)
    assert study_names(tmp_path) == ["broken"]
    with pytest.raises(UserError, match=r"broken\.yaml"):
        load_study("broken", tmp_path)
