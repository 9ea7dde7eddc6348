"""A record's configuration in the terms of its recipe, to compare the two."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lra.composition import flat
from lra.config import is_data_place
from lra.records.schema import RunRecord

# What a budget cuts: a record has what was left of it, a recipe the whole.
CUT = ("model.layers", "model.features", "scheduler.", "trainer.epochs", "trainer.batch_size")
# Schedules that count epochs in a recipe; the record's counts steps.
EPOCHS = ("scheduler.milestones", "scheduler.warmup", "scheduler.cosine")


def recorded(record: RunRecord) -> dict[str, Any]:
    """The options of a record's configuration, by dotted keys, as `comparable` has those of a recipe."""
    options, budget = flat(record.config), record.budget
    for key in (key for key in EPOCHS if key in options):
        steps = options[key]
        many = [steps] if isinstance(steps, int) else steps
        epochs = [n * budget.planned_epochs // budget.planned_steps for n in many]
        options[key] = epochs[0] if isinstance(steps, int) else epochs
    return comparable(options, budget.kind)


def comparable(options: Mapping[str, Any], budget: str) -> dict[str, Any]:
    """Options without those that say where data lie and those that a budget of this kind may have cut."""
    cut = () if budget == "paper" else CUT
    return {key: value for key, value in options.items() if not is_data_place(key) and not key.startswith(cut)}
