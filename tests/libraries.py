"""What `forked` loads once: the libraries that a training run imports, with the settings that our commands give them.

Nothing of ours stays loaded: a command imports it anew, from the copy of the code that it runs.
"""

import importlib
import os
import sys

from lra.environment import DEFAULTS

os.environ.update(DEFAULTS)
for name in (
    "torch._dynamo",
    "pytorch_lightning",
    "hydra",
    "numba",
    "scipy.linalg",
    "matplotlib",
    "pydantic",
    "yaml",
):
    importlib.import_module(name)
for name in [name for name in sys.modules if name.partition(".")[0] == "lra"]:
    del sys.modules[name]
