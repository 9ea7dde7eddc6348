"""What the processes of `forked` find loaded: libraries, with the settings that our commands give them, and lra."""

import importlib
import os
import runpy
from pathlib import Path

SETTINGS = Path(__file__).resolve().parents[1] / "src/lra/environment.py"

os.environ.update(runpy.run_path(str(SETTINGS))["DEFAULTS"])
for name in ("torch._dynamo", "pytorch_lightning", "hydra", "numba", "scipy.linalg", "matplotlib", "faulty"):
    importlib.import_module(name)
