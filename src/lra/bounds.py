"""Types of options that have bounds, for the signatures of tasks, kernels and models; `lra.config` checks them."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

Count = Annotated[int, Field(ge=1)]
DropoutRate = Annotated[float, Field(ge=0, lt=1)]
LearningRate = Annotated[float, Field(ge=0)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]
