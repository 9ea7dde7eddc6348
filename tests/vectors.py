"""Golden vectors: arrays of `tests/golden` by name."""

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

FOLDER = Path(__file__).parent / "golden"


class Golden(dict):
    """Arrays of one file by name, as tensors; `case` selects those with a prefix."""

    def case(self, prefix: str) -> "Golden":
        return Golden({key.removeprefix(prefix): value for key, value in self.items() if key.startswith(prefix)})

    def cases(self) -> list[str]:
        """The parts of the names before the first slash."""
        return sorted({key.split("/")[0] for key in self})


@cache
def load(name: str) -> Golden:
    """The arrays of `tests/golden/<name>.npz`; text comes as str."""
    with np.load(FOLDER / f"{name}.npz") as arrays:
        return Golden({key: _value(arrays[key]) for key in arrays})


def _value(array: np.ndarray) -> Any:
    return array.item() if array.dtype.kind == "U" else torch.from_numpy(array)
