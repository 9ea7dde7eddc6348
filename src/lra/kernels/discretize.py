"""Discretization of a diagonal system: x' = A x + B u, sampled at step size Δ, to x_t = Ā x_{t−1} + B̄ u_t.

Both rules return log Ā in place of Ā, which keeps the precision of a small Δ A and is what the Vandermonde
product needs. A, B (H, M) complex; Δ (H, 1), or (H, M) for a step size of each mode.
"""

from __future__ import annotations

import torch
from torch import Tensor


def zoh(A: Tensor, B: Tensor, dt: Tensor) -> tuple[Tensor, Tensor]:
    """Zero-order hold: log Ā = Δ A, B̄ = (exp(Δ A) − 1) / A · B. Exact for stepwise inputs."""
    log_A = dt * A
    return log_A, torch.expm1(log_A) / A * B


def bilinear(A: Tensor, B: Tensor, dt: Tensor) -> tuple[Tensor, Tensor]:
    """Bilinear (Tustin): Ā = (1 + Δ A/2) / (1 − Δ A/2), B̄ = Δ B / (1 − Δ A/2)."""
    half = dt * A / 2
    return 2 * torch.atanh(half), dt * B / (1 - half)
