"""Long Range Arena: diagonal and structured state space models, reproduced and recorded."""

import os
from collections.abc import Sequence
from typing import Any

__version__ = "0.1.0"


def load(path: str | os.PathLike, device: str = "cpu", allow: Sequence[str] = ()) -> Any:
    """A trained model from a file of `lra export`, ready for inference: `lra.weights.load`."""
    from lra import weights

    return weights.load(path, device, allow)
