"""Records whose stored configuration is not today's recipe are excluded, with the fields that differ."""

import pytest
from factory import make_record, planned_record, recorded_config

from lra.composition import experiments
from lra.studies.schema import load_study
from lra.tables.drift import drift
from lra.tables.explain import explain
from lra.tables.select import build

LISTOPS = "lra/listops-s4d"


def stored(experiment=LISTOPS, changes=None, **edits):
    config = recorded_config(experiment, changes or {})
    for key, value in edits.items():
        *groups, leaf = key.split(".")
        node = config
        for group in groups:
            node = node[group]
        node[leaf] = value
    return make_record(experiment, 0.6, changes=changes, config=config)


def test_no_drift_for_the_recipe_and_its_own_changes():
    assert drift(stored()) == []
    assert drift(stored(changes={"kernel.init": "inv"})) == []


def test_seed_and_place_of_the_data_are_no_drift():
    assert drift(stored(**{"seed": 7, "task.path": "elsewhere"})) == []


@pytest.mark.parametrize(
    ("edits", "words"),
    [
        ({"kernel.dt_max": 0.2}, "kernel.dt_max is 0.2, the recipe has 0.1"),
        ({"optimizer.decay_norms_and_biases": False}, "decay_norms_and_biases is false, the recipe has true"),
        ({"kernel.gone": 1}, "kernel.gone is 1, the recipe has missing"),
    ],
)
def test_each_field_that_differs_is_named(edits, words):
    (difference,) = drift(stored(**edits))
    assert words in difference


@pytest.mark.parametrize("experiment", experiments())
def test_what_a_run_records_is_its_recipe(experiment):
    """Some schedules count epochs in a recipe; a record has their steps."""
    assert drift(planned_record(experiment)) == []
    assert drift(planned_record(experiment, ["budget=reduced", "budget.epochs=1", "budget.layers=2"])) == []


@pytest.mark.parametrize("key", ["milestones", "warmup"])
def test_another_schedule_in_epochs_is_drift(key):
    record = planned_record("bidmc/hr-s4d" if key == "milestones" else "lra/listops-s5")
    steps = record.budget.planned_steps // record.budget.planned_epochs
    record.config["scheduler"][key] = [steps * 100, steps * 200] if key == "milestones" else steps * 7
    (difference,) = drift(record)
    assert difference.startswith(f"scheduler.{key} is {'[100, 200]' if key == 'milestones' else 7}, the recipe has")


def test_a_cut_run_may_differ_where_its_budget_cuts():
    record = make_record(LISTOPS, 0.3, kind="demo", fraction=0.1)
    record.config["model"]["layers"] = 2
    record.config["scheduler"]["total_steps"] = 1600
    assert drift(record) == []


def test_a_drifted_record_is_excluded_and_explain_says_why(golden):
    fixture = load_study("fixture")
    current, old = stored(), stored(**{"kernel.dt_max": 0.2})
    table = build(fixture, [current, old])
    cell = table.find("legs:listops")
    assert cell.complete == [current]
    assert cell.excluded == [old]
    assert "kernel.dt_max is 0.2, the recipe has 0.1" in explain(table, "legs:listops")
