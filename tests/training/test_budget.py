"""Budgets: cuts in words, the stretched schedule, and what is refused."""

import pytest

from lra.config import Config
from lra.data.spec import TaskSpec
from lra.errors import UserError
from lra.training.budget import scale

SPEC = TaskSpec("toy", "tokens", 5, 100, 4, {"train": 1000, "val": 100, "test": 200})
COUNTS = dict(SPEC.splits)


def plan(composed, short=1000, **cuts):
    composed["budget"] |= cuts
    composed["trainer"] |= {"epochs": 10, "batch_size": 50}
    composed["scheduler"] |= {"warmup_steps": 40, "total_steps": 210}
    return scale(Config.parse(composed), SPEC, COUNTS, short)


def test_the_papers_budget_is_the_recipe(toy):
    whole = plan(toy)
    assert whole.reasons == []
    assert whole.fraction == 1
    assert whole.steps == 200
    assert whole.scheduler.total_steps == 210


def test_cuts_are_named_and_stretch_the_schedule(toy):
    cut = plan(toy, kind="reduced", epochs=5, train_samples=400, layers=1, features=4)
    assert cut.reasons == ["5 of 10 epochs", "400 of 1,000 training samples", "4 of 8 features"]
    assert cut.steps == 40
    assert cut.fraction == pytest.approx(0.2)
    assert (cut.scheduler.warmup_steps, cut.scheduler.total_steps) == (8, 42)
    assert cut.model["features"] == 4


def test_a_batch_is_cut_as_it_divides(toy):
    toy["trainer"]["micro_batch"] = 10
    assert plan(toy).parts == 5
    toy["trainer"]["micro_batch"] = 64
    assert plan(toy).parts == 1
    toy["trainer"]["micro_batch"] = 7
    with pytest.raises(UserError, match=r"micro_batch=7 does not divide the 50 .* 1, 2, 5, 10, 25\."):
        plan(toy)


def test_short_samples_only(toy):
    cut = plan(toy, short=300, kind="reduced", train_length=50)
    assert cut.reasons == ["300 of 1,000 training samples", "50 of 100 positions a training sample"]


def test_a_cut_above_the_recipe_is_none(toy):
    assert plan(toy, kind="reduced", epochs=99).reasons == []


@pytest.mark.parametrize(
    ("cuts", "message"),
    [
        ({"kind": "paper", "epochs": 3}, "budget=paper is the recipe without cuts, but epochs is set"),
        ({"kind": "reduced"}, "budget=reduced needs at least one cut"),
        ({"kind": "reduced", "epochs": 0}, "greater than 0"),
        ({"kind": "tiny"}, "allowed: paper, reduced, demo, smoke"),
    ],
)
def test_what_is_refused(toy, cuts, message):
    with pytest.raises(UserError, match=message):
        plan(toy, **cuts)


@pytest.mark.parametrize("kind", ["paper", "reduced"])
def test_a_batch_of_more_than_all_samples_is_refused(toy, kind):
    toy["trainer"]["batch_size"] = 1001
    toy["budget"] |= {"kind": kind} | ({"epochs": 1} if kind == "reduced" else {})
    with pytest.raises(UserError, match=r"trainer.batch_size is 1,001; toy has 1,000 training samples"):
        scale(Config.parse(toy), SPEC, COUNTS, 1000)


def test_each_process_has_something_to_validate(toy):
    toy["trainer"]["devices"] = 2
    with pytest.raises(UserError, match=r"validation split has 1 samples, too few for 2 processes"):
        plan(toy, kind="reduced", val_samples=1)


def test_no_warm_up_stays_none(toy):
    toy["scheduler"] = {"name": "constant", "warmup_steps": 0}
    whole = scale(Config.parse(toy), SPEC, COUNTS, 1000)
    assert whole.scheduler.warmup_steps == 0
