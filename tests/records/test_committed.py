"""The committed records: their recipes still say what they were trained with."""

from pathlib import Path

import pytest

from lra.records import store
from lra.tables.drift import drift

RESULTS = Path(__file__).parents[2] / "results"
RECORDS = sorted((RESULTS / "runs").rglob("*.json"))
# Trained before the recipe's learning rate and warm-up were changed.
SUPERSEDED = {
    "d40670edafe6": [
        "optimizer.lr is 0.01, the recipe has 0.002",
        "scheduler.warmup_steps is 2500, the recipe has 1000",
    ]
}


@pytest.mark.parametrize("file", RECORDS, ids=lambda file: file.stem)
def test_recipe_is_that_of_the_record(file):
    record = store.load(file)
    assert drift(record) == SUPERSEDED.get(record.run_id, [])
