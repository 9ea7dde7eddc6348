"""The tables of docs/costs.md are what the estimate and the records say."""

import re

import pandas as pd
import pytest

from lra.composition import compose
from lra.config import Config
from lra.paths import CHECKOUT
from lra.records import store
from lra.terminal import duration
from lra.training.assemble import make_task
from lra.training.forecast import BYTES_PER_NUMBER, NUMBERS_PER_CORE_SECOND, needs

PAGE = (CHECKOUT / "docs/costs.md").read_text(encoding="utf-8")
ESTIMATED, MEASURED = (re.findall(r"^\| `(.*)` \| (.*) \|$", part, re.M) for part in PAGE.split("## Measured"))
BYTES_MOVED = 75 * 4  # of a number in a step: 75 to 110 float32 signals are read or written a layer
BANDWIDTH = 3.35e12  # bytes a second, of an H100


def estimated(experiment: str) -> str:
    config = Config.parse(compose([f"experiment={experiment}"]))
    run = needs(config, make_task(config).spec)
    cells = [
        str(config.trainer.epochs),
        duration(run.numbers / (2 * NUMBERS_PER_CORE_SECOND)),
        duration(run.numbers * BYTES_MOVED / BANDWIDTH),
        f"{run.step_numbers * BYTES_PER_NUMBER / 2**30:.1f}",
        f"{run.data_bytes / 2**30:.2f}",
    ]
    return " | ".join(cells)


@pytest.mark.parametrize(("experiment", "cells"), ESTIMATED)
def test_estimates(experiment, cells):
    assert cells == estimated(experiment)


def test_all_papers_recipes_of_s4d_are_there():
    recipes = {
        str(p.relative_to(CHECKOUT / "configs/experiment"))[:-5]
        for p in (CHECKOUT / "configs/experiment").rglob("*s4d.yaml")
    }
    papers = {name for name in recipes if name.startswith(("lra/", "sc/", "scifar/", "bidmc/"))}
    assert {experiment for experiment, _ in ESTIMATED} >= papers


def test_measurements():
    complete = [r for r in store.load_all(CHECKOUT / "results")[0] if r.status == "complete"]
    records = [r for r in complete if [r.hardware, r.compute.device] == [[r.compute.hardware], "cpu"]]
    rows = pd.DataFrame(
        {
            "recipe": r.identity.experiment,
            "epochs": r.budget.planned_epochs,
            "minutes": round(r.compute.train_s / 60),
            "memory": r.compute.peak_memory_bytes / 2**30,
        }
        for r in records
    )
    found = set()
    for (recipe, epochs), runs in rows.groupby(["recipe", "epochs"]):
        least, most = runs.minutes.min(), runs.minutes.max()
        minutes = f"{least}" if least == most else f"{least} to {most}"
        found.add((recipe, f"{epochs} | {len(runs)} | {minutes} | {runs.memory.max():.1f}"))
    assert found == set(MEASURED)
