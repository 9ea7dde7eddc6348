"""Optimizer groups and schedules. Every trainable parameter is in exactly one group.

The rules are those of the published code (state-spaces/s4; the same logic in DSS):
- modules name the rate and decay of their own parameters (`optimizer_rules` of kernels, mixers and any other), or
  parameters do themselves, as in the code of S4 (`_optim`) and Mamba (`_no_weight_decay`);
- normalizations and biases of the backbone are decayed in tags v1, v2, v3.0.0 and v4.0.0 and in DSS, which made
  the papers' numbers; v4.1 exempts them. `optimizer.decay_norms_and_biases` says which;
- everything else, the skip D, C, encoder and head with their biases included, has the global rate and decay.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Literal

from torch import nn
from torch.optim import AdamW
from torch.optim.lr_scheduler import LambdaLR, ReduceLROnPlateau

from lra.config import Constant, Cosine, Linear, MultiStep, Optimizer, Plateau, S5Cosine, Scheduler
from lra.errors import UserError
from lra.kernels.base import Rule
from lra.models.classifier import Classifier

# SyncBatchNorm is a _BatchNorm
NORMS = (nn.modules.batchnorm._BatchNorm, nn.LayerNorm, nn.RMSNorm, nn.GroupNorm)


def rules(model: Classifier, decay_norms_and_biases: bool) -> dict[str, Rule]:
    """The rule of every parameter of a classifier by its full name.

    Raises UserError for a parameter with two rules, and for a rule of no parameter.
    """
    stated = _stated(model)
    found = {name: stated.get(name, Rule(None, None)) for name, _ in model.named_parameters()}
    if not decay_norms_and_biases:
        for prefix, module in model.backbone.named_modules(prefix="backbone"):
            for name, _ in module.named_parameters(recurse=False):
                full = f"{prefix}.{name}"
                if full in found and full not in stated and (isinstance(module, NORMS) or name == "bias"):
                    found[full] = Rule(None, 0.0)
    return found


def _stated(model: nn.Module) -> dict[str, Rule]:
    """Rules that modules (`optimizer_rules`) or parameters (`_optim`, `_no_weight_decay`) state, by full name."""
    first: dict[int, str] = {}  # a parameter that is used twice has its first name
    names = {n: first.setdefault(id(p), n) for n, p in model.named_parameters(remove_duplicate=False)}
    stated: dict[str, Rule] = {}

    def state(name: str, rule: Rule) -> None:
        if name not in names:
            raise UserError(f"There is an optimizer rule for {name}, but no such parameter.")
        if stated.setdefault(names[name], rule) != rule:
            raise UserError(f"{name} has two optimizer rules: {stated[names[name]]} and {rule}. State one.")

    for prefix, module in model.named_modules():
        if callable(own := getattr(module, "optimizer_rules", None)):
            for name, rule in _checked(type(module).__name__, own()).items():
                state(f"{prefix}.{name}", rule)
    for name, parameter in model.named_parameters():
        if (own := getattr(parameter, "_optim", None)) is not None:
            state(name, Rule(own.get("lr"), own.get("weight_decay")))
        if getattr(parameter, "_no_weight_decay", False):
            state(name, Rule(None, 0.0))
    return stated


def _checked(who: str, found: Any) -> Mapping[str, Rule]:
    """What a module's `optimizer_rules` gave. Raises UserError if they are none."""
    if not isinstance(found, Mapping) or not all(isinstance(rule, Rule) for rule in found.values()):
        raise UserError(
            f"optimizer_rules() of {who} gave {found!r}; it gives a dictionary from names of parameters to rules, such "
            "as {'D': Rule(lr=None, weight_decay=0.0)}, or {} for none."
        )
    return found


def parameter_groups(model: Classifier, optimizer: Optimizer) -> list[dict[str, Any]]:
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


def group_label(group: dict[str, Any]) -> str:
    """A group by its rate and decay, such as `lr 0.001, decay 0`."""
    return f"lr {group['lr']:g}, decay {group['weight_decay']:g}"


def make_optimizer(model: Classifier, optimizer: Optimizer) -> AdamW:
    """AdamW over the parameter groups."""
    groups = [{k: v for k, v in g.items() if k != "names"} for g in parameter_groups(model, optimizer)]
    return AdamW(groups, lr=optimizer.lr, weight_decay=optimizer.weight_decay, betas=optimizer.betas, fused=True)


def cosine_factor(step: int, warmup: int, total: int, floor: float = 0.0) -> float:
    """Linear from 0 to 1 over `warmup` steps, then half a cosine to `floor` at `total`, and on along the cosine: past
    its end the rate rises again, as in Hugging Face's schedule, with which the papers trained."""
    if step < warmup:
        return step / warmup
    progress = (step - warmup) / max(1, total - warmup)
    return floor + (1 - floor) * (0.5 * (1 + math.cos(math.pi * progress)))


def linear_factor(step: int, warmup: int, total: int) -> float:
    """Linear from 0 to 1 over `warmup` steps, then linearly to 0 at `total`; 0 from then on."""
    if step < warmup:
        return step / warmup
    return max(0.0, (total - step) / max(1, total - warmup))


def constant_factor(step: int, warmup: int) -> float:
    """Linear from 0 to 1 over `warmup` steps, then 1."""
    return step / warmup if step < warmup else 1.0


def s5_cosine_factor(step: int, warmup: int, cosine: int) -> float:
    """The S5 code's: as a cosine after a warm-up, but a step late, and with the warm-up's steps counted twice. It
    ends at 0 and stays there."""
    if step == 0:
        return 1.0
    if step <= warmup:
        return step / warmup
    return cosine_factor(min(step - 1, cosine), 0, cosine)


def inverse_sqrt_factor(step: int, warmup: int) -> float:
    """min(1, step / warmup) / √max(step, warmup), as in the code of Long Range Arena."""
    return min(1.0, step / warmup) / math.sqrt(max(step, warmup))


def make_scheduler(optimizer: AdamW, scheduler: Scheduler, higher_is_better: bool) -> LambdaLR | ReduceLROnPlateau:
    """The planned schedule; to be stepped after every batch, or after every validation if a plateau one."""
    if isinstance(scheduler, Plateau):
        mode: Literal["max", "min"] = "max" if higher_is_better else "min"
        return ReduceLROnPlateau(optimizer, mode, factor=scheduler.factor, patience=scheduler.patience)
    if isinstance(scheduler, S5Cosine):
        return LambdaLR(optimizer, lambda step: s5_cosine_factor(step, scheduler.warmup, scheduler.cosine))
    if isinstance(scheduler, MultiStep):
        factor, milestones = scheduler.factor, sorted(scheduler.milestones)
        return LambdaLR(optimizer, lambda step: factor ** bisect_right(milestones, step))
    warmup = scheduler.warmup_steps
    if isinstance(scheduler, Cosine):
        floors = [scheduler.min_lr / group["lr"] for group in optimizer.param_groups]
        factors: list[Callable[[int], float]] = [
            partial(cosine_factor, warmup=warmup, total=scheduler.total_steps, floor=floor) for floor in floors
        ]
        return LambdaLR(optimizer, factors)
    if isinstance(scheduler, Linear):
        return LambdaLR(optimizer, lambda step: linear_factor(step, warmup, scheduler.total_steps))
    if isinstance(scheduler, Constant):
        return LambdaLR(optimizer, lambda step: constant_factor(step, warmup))
    return LambdaLR(optimizer, lambda step: inverse_sqrt_factor(step, warmup))
