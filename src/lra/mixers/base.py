"""What stands between normalization and channel mixing: a map of sequences that mixes positions. Read this first.

Shape legend, used in all of `lra`: B batch, L length, H features, N state size, C channels, O outputs of a mixer.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, Self

import torch
from torch import Tensor, nn

from lra.errors import UserError
from lra.kernels.base import Rule


class SequenceMixer(nn.Module, ABC):
    """A map of signals (B, H, L) -> (B, O, L): a convolution, attention, a recurrence.

    Constructors take `features` (H) first, then what the model decides and they can use, by these names: `kernel`
    (a factory of kernels), `channels` (C) and `bidirectional`; everything else by keyword, as options of
    `configs/mixer/*.yaml`. They raise `UserError` for combinations that make no sense. A mixer without
    `bidirectional` is causal; the model pairs two of them where it reads both directions.
    """

    features: int
    outputs: int  # O
    # Whether valid outputs stay the same however much padding follows, shown by a mask or, to a causal mixer, not at
    # all. Evaluation then takes batches of like lengths.
    ignores_padding: bool = False

    @abstractmethod
    def forward(self, u: Tensor, mask: Tensor | None = None, rate: float = 1.0) -> Tensor:
        """u (B, H, L) -> (B, O, L), in the dtype of u.

        `mask` (B, 1, L) is 1 on valid positions and 0 on the padding behind them; with it, no valid position may
        depend on the padding. `rate` multiplies the step size: 2.0 reads a signal that was sampled at half the
        training rate. Raises UserError for a rate other than 1 if there is no notion of one.
        """

    @classmethod
    def prepare(cls, mixers: Sequence[Self], length: int, rate: float) -> list[dict[str, Any]]:
        """Further keyword arguments of `forward`, for each of several mixers of a model.

        They depend on the parameters alone, so that all layers can be prepared at once. None by default.
        """
        return [{} for _ in mixers]

    def optimizer_rules(self) -> dict[str, Rule]:
        """Rules of this module's own parameters by name; those not named follow the optimizer's defaults."""
        return {}

    def start(self, batch: int, rate: float = 1.0, length: int | None = None) -> Any:
        """The zero state for `batch` sequences, with whatever `step` needs computed once.

        `length` is that of the whole sequence, for mixers that are normalized over it; others ignore it. Raises
        UserError if the mixer has no recurrent mode.
        """
        raise UserError(
            f"{type(self).__name__} has no recurrent mode: it needs the whole sequence. A causal convolution or "
            "recurrence has one."
        )

    def step(self, u: Tensor, state: Any) -> tuple[Tensor, Any]:
        """One position of a causal mixer: u (B, H) and the state to y (B, O) and the next state."""
        raise UserError(f"{type(self).__name__} starts a recurrence, but has no step. Give it one, or no start.")


MixerFactory = Callable[..., SequenceMixer]  # (features=H, …) -> SequenceMixer


def outputs_of(mixer: nn.Module) -> int:
    """The O of a mixer, which may be any module. Raises UserError if it does not say one."""
    outputs = getattr(mixer, "outputs", None)
    if not isinstance(outputs, int) or outputs < 1:
        said = "has none" if outputs is None else f"has outputs = {outputs!r}"
        raise UserError(
            f"A mixer says how many features it gives as `outputs`, an int of at least 1, but "
            f"{type(mixer).__name__} {said}. Set self.outputs in its __init__."
        )
    return outputs


def mixed(mixer: nn.Module, u: Tensor, mask: Tensor | None, rate: float, **prepared: Any) -> Tensor:
    """`mixer(u, mask, rate)`, which may be any module. Raises UserError for what is not (B, O, L) in the dtype of u."""
    y = mixer(u, mask, rate, **prepared)
    shape = (u.shape[0], mixer.outputs, u.shape[-1])
    if isinstance(y, Tensor) and y.shape == shape and (y.dtype == u.dtype or y.dtype in _autocast(u)):
        return y
    gave = f"{tuple(y.shape)} in {y.dtype}" if isinstance(y, Tensor) else f"a {type(y).__name__}"
    raise UserError(
        f"{type(mixer).__name__} was given {tuple(u.shape)} in {u.dtype} and gave {gave}; a mixer gives a "
        f"tensor of the same dtype, {shape} here: batch, its `outputs`, length. Change its forward."
    )


def _autocast(u: Tensor) -> tuple[torch.dtype, ...]:
    """The dtypes of what is computed from u under autocast; none without."""
    kind = u.device.type
    if torch.amp.is_autocast_available(kind) and torch.is_autocast_enabled(kind):
        return torch.float32, torch.get_autocast_dtype(kind)
    return ()
