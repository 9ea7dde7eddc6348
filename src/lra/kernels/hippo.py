"""HiPPO state matrices and their normal plus low rank form, in float64.

HiPPO matrices are not diagonalizable in a stable way, but A + P Pᵀ is normal for a low-rank P:
A = V (Λ − P P*) V* with unitary V (Gu et al., "Efficiently Modeling Long Sequences with Structured State
Spaces", arXiv 2111.00396, theorem 1). A is real: its eigenvalues are conjugate pairs; one of each is kept.
"""

from __future__ import annotations

import math
from typing import Literal, NamedTuple, get_args

import torch
from torch import Tensor

from lra.errors import UserError, choose

Measure = Literal["legs", "legt", "fout"]


class Hippo(NamedTuple):
    """x' = A x + B u, with A + Σ_r P_r P_rᵀ normal. A (N, N), B (N,), P (R, N), all real float64."""

    A: Tensor
    B: Tensor
    P: Tensor


class NormalPlusLowRank(NamedTuple):
    """The kept half in the eigenbasis: eigenvalues (M,), P (R, M), B (M,), V (N, M); M = N/2, complex128.

    Im Λ ≤ 0, ascending: the highest frequency comes first.
    """

    eigenvalues: Tensor
    P: Tensor
    B: Tensor
    V: Tensor


def hippo(measure: Measure, state_size: int) -> Hippo:
    """The HiPPO system of a measure: LegS (scaled Legendre), LegT (translated), FouT (truncated Fourier).

    Sources: HiPPO (2008.07669) and "How to Train Your HiPPO" (2206.12037), in the published code's scaling.
    """
    choose("The HiPPO measure", measure, get_args(Measure))
    n = torch.arange(state_size, dtype=torch.float64)
    if measure == "legs":
        A = -torch.tril(torch.outer((2 * n + 1).sqrt(), (2 * n + 1).sqrt()), -1) - torch.diag(n + 1)
        return Hippo(A, (2 * n + 1).sqrt(), (n + 0.5).sqrt().unsqueeze(0))
    if measure == "legt":
        size = torch.outer((2 * n + 1).sqrt(), (2 * n + 1).sqrt()) / 2
        sign = (-1.0) ** (n.unsqueeze(1) - n)
        A = -size * torch.where(n.unsqueeze(1) >= n, 1.0, sign)
        root = (n + 0.5).sqrt()
        return Hippo(A, (2 * n + 1).sqrt() / 2, torch.stack([root * (n % 2), root * ((n + 1) % 2)]))
    B = math.sqrt(2) * ((n + 1) % 2)
    B[0] = 1.0
    return Hippo(_rotations(state_size) - torch.outer(B, B), B, B.unsqueeze(0))


def normal_plus_low_rank(measure: Measure, state_size: int) -> NormalPlusLowRank:
    """Diagonalize the normal part of a HiPPO matrix.

    Eigenvectors are free up to a phase. It is fixed by making the first non-zero component real and positive;
    the published code leaves it to LAPACK, which makes the same component real, of either sign. (The phase
    matters where B is clamped: `inits.hippo_input`.)

    Raises UserError for an odd state size, whose eigenvalues do not pair up.
    """
    check_even(state_size)
    A, B, P = hippo(measure, state_size)
    normal = A + P.T @ P
    center = normal.diagonal().mean()
    half = state_size // 2
    frequencies, vectors = torch.linalg.eigh(-1j * (normal - center * torch.eye(state_size)))
    frequencies, V = frequencies[:half], vectors[:, :half]
    if measure == "fout":  # a double zero, whose eigenvectors the solver mixes at will
        frequencies[-1], V[:, -1] = 0.0, 0.0
        V[0, -1], V[1, -1] = math.sqrt(0.5), 1j * math.sqrt(0.5)
    first = (V.abs() > 1e-9).to(torch.int8).argmax(0, keepdim=True)
    lead = V.gather(0, first)
    V = V * (lead.conj() / lead.abs())
    adjoint = V.mH
    return NormalPlusLowRank(torch.complex(center.expand(half), frequencies), P.to(V) @ V.conj(), adjoint @ B.to(V), V)


def check_even(state_size: int) -> None:
    """Refuse an odd state size with a UserError."""
    if state_size < 2 or state_size % 2:
        raise UserError(
            f"The state size is {state_size}; it must be even and at least 2, because the states come in "
            "conjugate pairs. Use the next even number."
        )


def _rotations(state_size: int) -> Tensor:
    """Skew matrix of the Fourier basis: 2×2 blocks that rotate at frequencies 0, π, 2π …"""
    S = torch.zeros(state_size, state_size, dtype=torch.float64)
    for k in range(state_size // 2):
        S[2 * k, 2 * k + 1], S[2 * k + 1, 2 * k] = -math.pi * k, math.pi * k
    return S
