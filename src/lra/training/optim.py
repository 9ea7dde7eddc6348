"""Optimiser groups and schedules. Every trainable parameter is in exactly one group.

The rules are those of the published code (state-spaces/s4; the same logic in DSS):
- kernels name the rate and decay of their own parameters (`Kernel.optimizer_rules`);
- normalizations and biases of the backbone are decayed in tags v1, v2, v3.0.0 and v4.0.0 and in DSS, which made
  the papers' numbers; v4.1 exempts them. `optimizer.decay_norms_and_biases` says which;
- everything else, the skip D, C, encoder and head with their biases included, has the global rate and decay.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from typing import Any

from torch import nn
from torch.optim import AdamW
from torch.optim.lr_scheduler import LambdaLR, ReduceLROnPlateau

from lra.config import Cosine, MultiStep, Optimizer, Plateau, Scheduler
from lra.kernels.base import Kernel, Rule
from lra.mixers.base import SequenceMixer

BETAS = (0.9, 0.999)
NORMS = (
    nn.modules.batchnorm._BatchNorm,
    nn.LayerNorm,
    nn.RMSNorm,
    nn.GroupNorm,
)  # SyncBatchNorm is a _BatchNorm


def rules(model: nn.Module, decay_norms_and_biases: bool) -> dict[str, Rule]:
    """The rule of every parameter of a classifier by its full name."""
    found = {name: Rule(None, None) for name, _ in model.named_parameters()}
    for prefix, module in model.named_modules():
        own = {name: f"{prefix}.{name}" for name, _ in module.named_parameters(recurse=False)}
        exempt = prefix.startswith("backbone") and not decay_norms_and_biases
        if isinstance(module, (Kernel, SequenceMixer)):
            found |= {own[name]: rule for name, rule in module.optimizer_rules().items()}
        elif exempt and isinstance(module, NORMS):
            found |= {full: Rule(None, 0.0) for full in own.values()}
        elif exempt and "bias" in own:
            found[own["bias"]] = Rule(None, 0.0)
    return found


def parameter_groups(model: nn.Module, optimizer: Optimizer) -> list[dict[str, Any]]:
    """Groups for AdamW with keys params, names, lr, weight_decay; frozen parameters (lr 0) are left out."""
    groups: dict[tuple[float, float], dict[str, Any]] = {}
    parameters = dict(model.named_parameters())
    for name, rule in rules(model, optimizer.decay_norms_and_biases).items():
        lr = optimizer.lr if rule.lr is None else rule.lr
        decay = optimizer.weight_decay if rule.weight_decay is None else rule.weight_decay
        if lr == 0 or not parameters[name].requires_grad:
            continue
        new = {"params": [], "names": [], "lr": lr, "weight_decay": decay}
        group = groups.setdefault((lr, decay), new)
        group["params"].append(parameters[name])
        group["names"].append(name)
    return list(groups.values())


def group_sizes(groups: list[dict[str, Any]]) -> dict[str, int]:
    """Number of values in each group, under a label such as `lr 0.001, decay 0`."""
    return {
        f"lr {g['lr']:g}, decay {g['weight_decay']:g}": sum(p.numel() for p in g["params"]) for g in groups
    }


def make_optimizer(model: nn.Module, optimizer: Optimizer) -> AdamW:
    """AdamW over the parameter groups."""
    groups = [{k: v for k, v in g.items() if k != "names"} for g in parameter_groups(model, optimizer)]
    return AdamW(groups, lr=optimizer.lr, weight_decay=optimizer.weight_decay, betas=BETAS, fused=True)


def cosine_factor(step: int, warmup: int, total: int) -> float:
    """Linear from 0 to 1 over `warmup` steps, then half a cosine to 0 at `total`, and on along the cosine: past its
    end the rate rises again, as in Hugging Face's schedule, with which the papers trained."""
    if step < warmup:
        return step / max(1, warmup)
    progress = (step - warmup) / max(1, total - warmup)
    return 0.5 * (1 + math.cos(math.pi * progress))


def inverse_sqrt_factor(step: int, warmup: int) -> float:
    """min(1, step / warmup) / √max(step, warmup), as in the code of Long Range Arena."""
    return min(1.0, step / warmup) / math.sqrt(max(step, warmup))


def make_scheduler(
    optimizer: AdamW, scheduler: Scheduler, higher_is_better: bool
) -> LambdaLR | ReduceLROnPlateau:
    """The planned schedule; to be stepped after every batch, or after every validation if a plateau one."""
    if isinstance(scheduler, Plateau):
        mode = "max" if higher_is_better else "min"
        return ReduceLROnPlateau(optimizer, mode, factor=scheduler.factor, patience=scheduler.patience)
    if isinstance(scheduler, Cosine):
        warmup, total = scheduler.warmup_steps, scheduler.total_steps
        return LambdaLR(optimizer, lambda step: cosine_factor(step, warmup, total))
    if isinstance(scheduler, MultiStep):
        factor, milestones = scheduler.factor, sorted(scheduler.milestones)
        return LambdaLR(optimizer, lambda step: factor ** bisect_right(milestones, step))
    warmup = scheduler.warmup_steps
    return LambdaLR(optimizer, lambda step: inverse_sqrt_factor(step, warmup))
