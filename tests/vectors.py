"""Golden vectors and how their stored parameters fill our modules."""

from pathlib import Path

import numpy as np
import pytest
import torch

GOLDEN = Path(__file__).parents[1] / "golden"


class Golden(dict):
    """Arrays of one file by name, as tensors; `case` selects those with a prefix."""

    def case(self, prefix: str) -> "Golden":
        return Golden(
            {key.removeprefix(prefix): value for key, value in self.items() if key.startswith(prefix)}
        )


@pytest.fixture(scope="session")
def golden():
    def load(name: str) -> Golden:
        with np.load(GOLDEN / f"{name}.npz") as arrays:
            return Golden({key: torch.from_numpy(arrays[key]) for key in arrays})

    return load
