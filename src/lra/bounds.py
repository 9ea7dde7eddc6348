"""Types of options that have bounds, for the signatures of tasks, kernels and models; `lra.options` checks them.

The upper bounds are far above anything the papers use, and below what a machine would choke on.
"""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

DURATION = re.compile(r"(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?")


def seconds(given: Any) -> Any:
    """Seconds of a duration such as 9m, 2h or 1h30m; a number is minutes. Raises ValueError for other text."""
    if not isinstance(given, str):
        return 60 * given if type(given) in (int, float) else given
    if given.isdecimal():
        return 60 * int(given)
    parts = DURATION.fullmatch(given)
    if not given or parts is None:
        raise ValueError("a duration is 90s, 9m, 2h, 1h30m or 1d, or a number of minutes")
    return sum(size * int(part or 0) for size, part in zip((86400, 3600, 60, 1), parts.groups(), strict=True))


Count = Annotated[int, Field(ge=1, le=2**24)]
Layers = Annotated[int, Field(ge=1, le=1000)]
Width = Annotated[int, Field(ge=1, le=2**16)]
StateSize = Annotated[int, Field(ge=1, le=1024)]  # eigenvalues of an (N, N) matrix are computed
StepSize = Annotated[float, Field(gt=0, le=1e6)]
Momentum = Annotated[float, Field(gt=0, le=1)]
DropoutRate = Annotated[float, Field(ge=0, lt=1)]
LearningRate = Annotated[float, Field(ge=0)]
Duration = Annotated[float, BeforeValidator(seconds), Field(gt=0)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]
Steps = Annotated[int, Field(ge=0, le=10**12)]  # of the optimizer, over a whole run
