"""Saved weights into a model, which may have been changed since."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn
from torch.optim import Optimizer

from lra.errors import UserError

MOST_NAMES = 3


@contextmanager
def same_version(model: nn.Module, state: Mapping[str, Any], what: str, advice: str) -> Iterator[None]:
    """Around loading `state` into `model`. Raises UserError if it is of another version of the model.

    `what` holds the state and the `advice` what to do become the message.
    """
    try:
        yield
    except RuntimeError as error:
        if not (found := "; ".join(_differences(model.state_dict(), state))):
            raise
        raise UserError(f"{what} is of another version of the model: {found}. {advice}") from error


def check_order(model: nn.Module, state: Mapping[str, Any], what: str, advice: str) -> None:
    """Raise UserError if the parameters had another order when `state` was saved: an optimizer's state goes by it."""
    names = [name for name, _ in model.named_parameters() if name in state]
    now = set(names)
    moved = [(then, name) for then, name in zip((n for n in state if n in now), names, strict=True) if then != name]
    if moved:
        then, name = moved[0]
        raise UserError(
            f"{what} is of another version of the model: its parameters are in another order, with {then} where {name} "
            f"is now, and its optimizer goes by the order. {advice}"
        )


def check_groups(optimizer: Optimizer, state: Mapping[str, Any], what: str, advice: str) -> None:
    """Raise UserError if an optimizer's saved `state` has other groups of parameters than it has now."""
    then, now = (_groups(groups) for groups in (state["param_groups"], optimizer.param_groups))
    if then != now:
        raise UserError(
            f"{what} is of another version of the model: its optimizer had {_shown(then)}; now it has {_shown(now)}. "
            f"{advice}"
        )


def _differences(now: Mapping[str, Any], then: Mapping[str, Any]) -> Iterator[str]:
    shapes = [
        f"{name} {_shape(value)}, now {_shape(now[name])}"
        for name, value in then.items()
        if name in now and _shape(value) != _shape(now[name])
    ]
    missing, unexpected = ([name for name in a if name not in b] for a, b in ((now, then), (then, now)))
    for kind, names in (("missing", missing), ("unexpected", unexpected), ("other shapes", shapes)):
        if names:
            more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
            yield f"{kind} {', '.join(names[:MOST_NAMES])}{more}"


def _shape(value: Any) -> tuple[int, ...]:
    return tuple(value.shape) if isinstance(value, Tensor) else ()


def _groups(groups: Iterable[Mapping[str, Any]]) -> list[tuple[float, float, int]]:
    """Rate, decay and number of parameters of each group; a schedule changes none of them."""
    return [(g.get("initial_lr", 0.0), g["weight_decay"], len(g["params"])) for g in groups]


def _shown(groups: Iterable[tuple[float, float, int]]) -> str:
    return ", ".join(f"{size} at lr {lr:g} and decay {decay:g}" for lr, decay, size in groups)
