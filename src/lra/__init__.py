"""Long Range Arena: diagonal and structured state space models, reproduced and recorded."""

import os
from typing import Any

_DEFAULTS = {
    # Before torch is imported: threads that wait for work spin for some 0.1 ms only, then sleep. Sleeping at once
    # costs half the speed of short operations, spinning on costs two thirds where the cores are busy elsewhere.
    "GOMP_SPINCOUNT": "20000",
    "THP_MEM_ALLOC_ENABLE": "1",  # large tensors on huge pages: a tenth less time where pages are expensive
    # Nothing is reported to anyone: these switch off what libraries would send of their own accord.
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
    "WANDB_ERROR_REPORTING": "false",
}
for _name, _value in _DEFAULTS.items():
    os.environ.setdefault(_name, _value)


def load(path: str | os.PathLike, device: str = "cpu") -> Any:
    """A trained model from a file of `lra export`, ready for inference: `lra.weights.load`."""
    from lra import weights

    return weights.load(path, device)
