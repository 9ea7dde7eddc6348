"""torch.compile for what it can compile: everything but the complex arithmetic."""

from __future__ import annotations

import warnings

import torch
from torch import nn

from lra.errors import UserError
from lra.mixers.base import SequenceMixer


def compile_real(model: nn.Module) -> None:
    """Compile the blocks of a classifier's backbone in place; state and parameter names stay as they are.

    Mixers run as they are unless they say that they compile: the compiler does not support complex numbers, and
    their products and FFTs are library calls already. Sequence lengths may vary. Raises UserError if the backbone
    has no blocks.
    """
    blocks = getattr(model.backbone, "blocks", None)
    if blocks is None:
        raise UserError(f"trainer.compile=true: {type(model.backbone).__name__} has no blocks to compile.")
    for remark in (
        ".*torch.jit.script.* is deprecated.*",
        ".*grad attribute of a Tensor that is not a leaf.*",
    ):
        warnings.filterwarnings("ignore", remark)  # the compiler's, of itself
    for module in model.modules():
        if isinstance(module, SequenceMixer) and not module.compiles:
            module.forward = torch.compiler.disable(module.forward)
    for block in blocks:
        block.compile(dynamic=True)
