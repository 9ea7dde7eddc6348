"""What `forked` loads once: the libraries that a training run imports, with the settings that our commands give them.

Nothing of ours is loaded: a command imports it from the copy of the code that it runs.
"""

import importlib
import os
import runpy
from pathlib import Path

SETTINGS = Path(__file__).resolve().parents[1] / "src/lra/environment.py"

os.environ.update(runpy.run_path(str(SETTINGS))["DEFAULTS"])
for name in ("torch._dynamo", "pytorch_lightning", "hydra", "numba", "scipy.linalg", "matplotlib", "pydantic", "yaml"):
    importlib.import_module(name)
