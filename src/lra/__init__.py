"""Long Range Arena: diagonal and structured state space models, reproduced and recorded."""

import os
from typing import Any

# Nothing is reported to anyone: these switch off what libraries would send of their own accord.
for _name, _off in {
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
    "WANDB_ERROR_REPORTING": "false",
}.items():
    os.environ.setdefault(_name, _off)


def load(path: str | os.PathLike, device: str = "cpu") -> Any:
    """A trained model from a file of `scripts/export.py`, ready for inference: `lra.weights.load`."""
    from lra import weights

    return weights.load(path, device)
