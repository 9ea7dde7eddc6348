"""Process settings for the CPU."""

import subprocess
import sys

SCRIPT = """
import torch
from lra import cpu

tiny = torch.tensor([1e-30])
assert (tiny * 1e-10).item() > 0
cpu.tune()
assert (tiny * 1e-10).item() == 0
"""


def test_denormal_numbers_become_zero():
    result = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
