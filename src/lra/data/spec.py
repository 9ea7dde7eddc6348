"""What a task is: the facts that models, metrics and tables need, each written once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

from torch import Tensor

from lra.vocabulary import Metric, Protocol


@dataclass(frozen=True)
class TaskSpec:
    """Facts of a task. `inputs` is the vocabulary size for tokens and the number of channels for features.

    Where the data decide the vocabulary (Text, Retrieval), `Task.spec` has the published size, `Task.spec_of` theirs.
    """

    name: str
    kind: Literal["tokens", "features"]
    inputs: int
    max_length: int
    outputs: int  # classes, or 1 for a regression
    splits: Mapping[str, int]  # published number of samples of train, val, test
    metric: Metric = "accuracy"
    paired: bool = False  # two sequences a sample (Retrieval)
    protocol: Protocol = "held_out"

    @property
    def higher_is_better(self) -> bool:
        return self.metric == "accuracy"


class Batch(NamedTuple):
    """A batch on one device.

    x: tokens (B, L) int64 or features (B, L, d) float32; lengths (B,) int64, positions beyond them are
    padding; y (B,) int64 classes or float32 targets. Of paired tasks x and lengths hold 2B rows: first all
    first documents, then all second ones.
    """

    x: Tensor
    lengths: Tensor
    y: Tensor
