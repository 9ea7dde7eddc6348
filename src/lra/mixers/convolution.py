"""The long convolution with a state space kernel, the mixer of S4, S4D and DSS."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Self

import torch
from torch import Tensor, nn

from lra.errors import UserError
from lra.kernels.base import Kernel
from lra.kernels.together import joinable, together
from lra.mixers.base import SequenceMixer
from lra.ops.long_conv import circular_conv, kernel_spectrum, long_conv

KernelFactory = Callable[..., Kernel]  # (features=H, channels=C) -> Kernel


class Convolution(SequenceMixer):
    """y = K * u + D u with C channels (arXiv 2111.00396, section 3.4); O = C H.

    Parameters: those of the kernel, and D (C, H). A bidirectional one has a second kernel for the future, which
    leaves out the present step. Raises UserError without a kernel.
    """

    def __init__(
        self,
        features: int,
        kernel: KernelFactory | None,
        channels: int = 1,
        bidirectional: bool = False,
    ) -> None:
        super().__init__()
        if kernel is None:
            raise UserError("A convolution needs a kernel. Choose one, e.g. kernel=s4d.")
        self.features, self.outputs, self.bidirectional = features, channels * features, bidirectional
        self.kernel = kernel(features=features, channels=2 * channels if bidirectional else channels)
        self.ignores_padding = getattr(self.kernel, "nested", False)
        self.D = nn.Parameter(torch.randn(channels, features))

    @classmethod
    def prepare(cls, mixers: Sequence[Self], length: int, rate: float) -> list[dict[str, Any]]:
        kernels = [mixer.kernel for mixer in mixers]
        if cls.forward is not Convolution.forward or not joinable(kernels):  # others may do anything with a kernel
            return super().prepare(mixers, length, rate)
        skips = torch.cat([mixer.D for mixer in mixers], dim=1)
        spectra = kernel_spectrum(
            together(kernels, length, rate), length, bidirectional=mixers[0].bidirectional, skip=skips
        )
        return [{"spectrum": spectrum} for spectrum in spectra.chunk(len(mixers), dim=1)]

    def forward(
        self, u: Tensor, mask: Tensor | None = None, rate: float = 1.0, spectrum: Tensor | None = None
    ) -> Tensor:
        if spectrum is None:
            kernel = self.kernel(u.shape[-1], rate)
            y = long_conv(u, kernel, bidirectional=self.bidirectional, skip=self.D, mask=mask)
        else:
            y = circular_conv(u, spectrum, mask)
        return y.flatten(1, 2)  # from (B, C, H, L)

    def start(self, batch: int, rate: float = 1.0, length: int | None = None) -> tuple[Tensor, Any]:
        """The kernel's zero state and its discrete system."""
        if self.bidirectional:
            raise UserError(
                "A bidirectional model needs the whole sequence and has no recurrent mode. "
                "Use a causal recipe (model.bidirectional=false)."
            )
        system = self.kernel.discretize(rate, length)
        return self.kernel.initial_state(batch), system

    def step(self, u: Tensor, state: tuple[Tensor, Any]) -> tuple[Tensor, tuple[Tensor, Any]]:
        inner, system = state
        y, inner = self.kernel.step(u, inner, system)
        return (y + u.unsqueeze(1) * self.D).flatten(1, 2), (inner, system)
