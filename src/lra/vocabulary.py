"""The words that data, records, studies and tables share. Imports nothing of ours."""

from __future__ import annotations

from typing import Literal

SplitName = Literal["train", "val", "test"]
SPLITS: tuple[SplitName, ...] = ("train", "val", "test")
Metric = Literal["accuracy", "rmse"]
Protocol = Literal["held_out", "test_as_validation"]  # how validation was chosen
Variant = Literal["official", "regenerated", "modified", "subset", "standin"]  # of data
BudgetKind = Literal["paper", "reduced", "demo", "smoke"]
