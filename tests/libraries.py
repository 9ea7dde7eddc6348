"""What `forked` loads once: everything that a training run imports."""

import importlib

from lra import environment

environment.settle()
for name in (
    *(
        "hydra.main",
        "torch._dynamo",
        "lra.sweep",
        "lra.mixers.convolution",
        "lra.kernels.s4d",
        "lra.data.listops",
    ),
    *(f"lra.commands.{part}" for part in ("train", "tables", "study", "data")),
    *(f"lra.training.{part}" for part in ("run", "fit", "forecast", "new_record", "plan", "evaluate")),
):
    importlib.import_module(name)
