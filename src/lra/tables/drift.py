"""Recipe drift: where a record's stored configuration is not what its recipe, with its changes, says today."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

from lra.composition import compose, experiments, flat
from lra.config import Config
from lra.recorded import comparable, recorded
from lra.records.schema import RunRecord


def drift(record: RunRecord) -> list[str]:
    """`kernel.n_ssm is 1, the recipe has 2` for each field that differs; empty for a recipe that is not known.

    The seed, the budget with what it cuts, the place of the data and the record's own changes are no drift.
    """
    name = record.identity.experiment
    if name not in experiments():
        return []
    stored = recorded(record)
    recipe = comparable(_recipe(name) | record.identity.changes, record.budget.kind)
    return [
        f"{key} is {_shown(stored, key)}, the recipe has {_shown(recipe, key)}"
        for key in sorted(recipe.keys() | stored.keys())
        if stored.get(key, ...) != recipe.get(key, ...) and key != "seed" and not key.startswith("budget.")
    ]


@cache
def _recipe(experiment: str) -> dict[str, Any]:
    return flat(Config.model_validate(compose([f"experiment={experiment}"])).identity())


def _shown(values: dict[str, Any], key: str) -> str:
    return json.dumps(values[key], ensure_ascii=False) if key in values else "missing"
