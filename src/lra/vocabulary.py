"""The words that data, models, records, studies and tables share. Imports nothing of ours."""

from __future__ import annotations

from typing import Literal

SplitName = Literal["train", "val", "test"]
SPLITS: tuple[SplitName, ...] = ("train", "val", "test")
Metric = Literal["accuracy", "rmse"]
Protocol = Literal["held_out", "test_as_validation"]  # how validation was chosen
Variant = Literal["official", "regenerated", "modified", "subset", "standin"]  # of data
RawSource = Literal["download", "files", "standin"]  # of tasks with published files
GeneratedSource = Literal["generate", "download", "files", "standin"]
BudgetKind = Literal["paper", "reduced", "demo", "smoke"]
TRIALS: tuple[BudgetKind, ...] = ("demo", "smoke")  # shown on the terminal, but not in files that are committed
Pooling = Literal["mean", "last"]  # over the valid positions
