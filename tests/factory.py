"""Records for tests: complete ones by default, with only what a test is about spelled out."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from functools import cache
from typing import Any

from lra.composition import compose, experiments
from lra.config import Config
from lra.records.schema import RunRecord


@cache
def _recipe(experiment: str) -> str:
    return json.dumps(Config.model_validate(compose([f"experiment={experiment}"])).identity())


def recorded_config(experiment: str, changes: dict[str, Any]) -> dict[str, Any]:
    """What a run of the recipe with these changes records; a few fields for recipes that do not exist."""
    if experiment not in experiments():
        return {"task": {"name": experiment.split("/")[-1].split("-")[0]}, "kernel": {"init": "legs"}}
    config = json.loads(_recipe(experiment))
    for key, value in changes.items():
        *groups, leaf = key.split(".")
        node = config
        for group in groups:
            node = node[group]
        node[leaf] = value
    return config


def planned_record(experiment: str, arguments: Sequence[str] = ()) -> RunRecord:
    """A finished run of a recipe, with the configuration and the plan that a run of these arguments writes."""
    from lra.training.assemble import make_task  # imports Lightning
    from lra.training.budget import planned, scale

    config = Config.parse(compose([f"experiment={experiment}", *arguments]))
    spec = make_task(config).spec
    scaled = scale(config, spec, spec.splits, spec.splits["train"])
    record = make_record(experiment, seed=config.seed, kind=config.budget.kind, fraction=scaled.fraction)
    record.config = planned(config, scaled)
    record.budget.planned_epochs = record.budget.done_epochs = scaled.epochs
    record.budget.planned_steps = record.budget.done_steps = scaled.steps
    return record


def make_record(
    experiment: str = "lra/listops-s4d",
    value: float | None = 0.6,
    *,
    seed: int = 0,
    changes: dict[str, Any] | None = None,
    status: str = "complete",
    reason: str = "",
    variant: str = "official",
    kind: str = "paper",
    fraction: float = 1.0,
    reasons: list[str] | None = None,
    protocol: str = "held_out",
    done: float = 1.0,
    chance: float | None = 0.1,
    n_test: int = 2000,
    metric: str = "accuracy",
    best_val: float | None = None,
    created: str = "2026-01-02T03:04:05Z",
    config: dict[str, Any] | None = None,
    curve: list[dict[str, float]] | None = None,
) -> RunRecord:
    """A record; `value` is the test score (accuracy in [0, 1] or RMSE), `done` the share of planned steps."""
    changes = changes or {}
    accuracy = metric == "accuracy"
    complete = status == "complete"
    best_val = value if best_val is None else best_val
    task = experiment.split("/")[-1].split("-")[0]
    identity = [experiment, changes, seed, variant, kind, fraction, protocol, created, config]
    config = recorded_config(experiment, changes) | {"seed": seed} | (config or {})
    standard_error = None
    if complete:
        standard_error = math.sqrt(value * (1 - value) / n_test) if accuracy else value / math.sqrt(2 * n_test)
    return RunRecord.model_validate(
        {
            "run_id": hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:12],
            "status": status,
            "status_reason": reason,
            "created_utc": created,
            "finished_utc": "2026-01-03T00:00:00Z" if complete else None,
            "identity": {"experiment": experiment, "changes": changes, "seed": seed, "overrides": []},
            "source": None,
            "config": config,
            "data": {
                "task": task,
                "variant": variant,
                "fingerprint": "0" * 64,
                "protocol": protocol,
                "splits": {
                    "train": {"expected": 96000, "used": 96000},
                    "test": {"expected": n_test, "used": n_test},
                },
            },
            "budget": {
                "kind": kind,
                "planned_epochs": 40,
                "planned_steps": 10000,
                "done_epochs": 40 * done,
                "done_steps": round(10000 * done),
                "fraction": fraction,
                "reasons": reasons or [],
            },
            "metrics": {
                "name": metric,
                "higher_is_better": accuracy,
                "chance": chance if accuracy else None,
                "best_val": None if best_val is None else {"value": best_val, "epoch": 30, "step": 7500},
                "test": {"value": value, "n": n_test, "standard_error": standard_error} if complete else None,
                "curve": curve or [],
            },
            "selection": {"rule": "max val/accuracy", "n_test_evaluations": int(complete)},
            "parameters": {"total": 1000, "trainable": 1000, "groups": {"all": 1000}},
            "compute": {
                "device": "cpu",
                "n_devices": 1,
                "cpu": "a CPU",
                "n_threads": 2,
                "precision": "32",
                "wall_s": 3600.0,
            },
            "code": {
                "version": "0.1.0",
                "git_rev": "0123456789abcdef",
                "dirty": False,
                "python": "3.11",
                "platform": "Linux",
                "packages": {"torch": "2.11.0"},
                "command": f"python train.py experiment={experiment}",
            },
        }
    )
