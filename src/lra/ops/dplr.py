"""Kernels of diagonal plus low rank state space models, discretized by the bilinear rule.

The system has M = N/2 complex states x, each standing for itself and its conjugate:

    x' = Λ x − Σ_r P_r · 2 Re(Q_r* x) + B u,    y = 2 Re(C x),

that is A = diag(Λ) − P Q* on the whole spectrum, where all but the first S4 have Q = P. Its N stacked parts
(Re x, Im x) form a real system, whose kernel comes from powers of the matrix: exact for every length, without
Cauchy products or an FFT.

Shapes: Λ (H, M), P and Q (R, H, M), B (H, M), C (C, H, M) complex, dt (H, 1) real.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from lra.ops.krylov import krylov, truncate, untruncate


class Resolvent(NamedTuple):
    """(I − Δ/2 A)⁻¹ by Woodbury's identity: diagonal (H, M), P and Q (R, H, M), gain (H, R, R).

    The bilinear rule is made of it: Ā = 2 (I − Δ/2 A)⁻¹ − I and B̄ = (I − Δ/2 A)⁻¹ Δ B.
    """

    diagonal: Tensor
    P: Tensor
    Q: Tensor
    gain: Tensor

    def __call__(self, v: Tensor) -> Tensor:
        """Apply to complex states v (..., H, M) in O(M R)."""
        v = self.diagonal * v
        overlap = torch.einsum("rhm,...hm->...hr", self.Q.conj(), v).real
        weight = torch.einsum("hrs,...hs->...hr", self.gain, overlap).to(v.dtype)
        return v - self.diagonal * torch.einsum("rhm,...hr->...hm", self.P, weight)


def resolvent(eigenvalues: Tensor, P: Tensor, Q: Tensor, dt: Tensor) -> Resolvent:
    """(I − Δ/2 A)⁻¹ of the system Λ, P, Q."""
    diagonal = 1 / (1 - dt / 2 * eigenvalues)
    overlap = torch.einsum("rhm,hm,shm->hrs", Q.conj(), diagonal, P).real
    identity = torch.eye(len(P), dtype=dt.dtype, device=dt.device)
    step = dt.unsqueeze(-1)
    if len(P) == 1:  # spares a GPU the many launches of a factorization
        gain = step / (1 + step * overlap)
    else:  # solve_ex does not look at the result, for which a GPU would have to be waited for
        gain = torch.linalg.solve_ex(identity + step * overlap, step * identity).result
    return Resolvent(diagonal, P, Q, gain)


def bilinear(
    eigenvalues: Tensor, P: Tensor, Q: Tensor, B: Tensor, C: Tensor, dt: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """The system of the stacked parts: Ā (H, N, N) and B̄ (H, N) in float64, C (C, H, N) as it comes."""
    eigenvalues, P, Q, B = (x.to(torch.complex128) for x in (eigenvalues, P, Q, B))
    dt = dt.double()
    inverse = resolvent(eigenvalues, P, Q, dt)
    modes = eigenvalues.shape[-1]
    left = _stack(inverse.diagonal * P).permute(1, 2, 0)  # (H, N, R)
    right = _stack(inverse.diagonal.conj() * Q).permute(1, 0, 2)  # (H, R, N)
    A = -2 * (left @ inverse.gain) @ right
    real, imag = 2 * inverse.diagonal.real, 2 * inverse.diagonal.imag
    A.diagonal(dim1=1, dim2=2).add_(torch.cat([real, real], dim=-1) - 1)
    A.diagonal(modes, dim1=1, dim2=2).sub_(imag)
    A.diagonal(-modes, dim1=1, dim2=2).add_(imag)
    return A, _stack(inverse(dt * B)), 2 * _stack(C.conj())


def dplr_kernel(
    eigenvalues: Tensor,
    P: Tensor,
    Q: Tensor,
    B: Tensor,
    C: Tensor,
    dt: Tensor,
    length: int,
    truncation: int | None = None,
) -> Tensor:
    """K[c, h, l] = C Ā^l B̄, the kernel (C, H, L), real, of the precision of C.

    With a `truncation` T, C stands for C (I − Ā^T), the parameter of the published S4.
    """
    A, B, C = bilinear(eigenvalues, P, Q, B, C, dt)
    return krylov(A, B, C, length, truncation)


def truncated_output(eigenvalues: Tensor, P: Tensor, Q: Tensor, C: Tensor, dt: Tensor, length: int) -> Tensor:
    """C (I − Ā^T) as complex (C, H, M): what the published S4 trains in place of C."""
    A, _, rows = bilinear(eigenvalues, P, Q, P[0], C.to(torch.complex128), dt)
    return _output(truncate(rows, A, length)).to(C.dtype)


def untruncated_output(eigenvalues: Tensor, P: Tensor, Q: Tensor, C: Tensor, dt: Tensor, length: int) -> Tensor:
    """The reverse of `truncated_output`: C from C (I − Ā^T)."""
    A, _, rows = bilinear(eigenvalues, P, Q, P[0], C.to(torch.complex128), dt)
    return _output(untruncate(rows, A, length)).to(C.dtype)


def dplr_kernel_naive(
    eigenvalues: Tensor, P: Tensor, Q: Tensor, B: Tensor, C: Tensor, dt: Tensor, length: int
) -> Tensor:
    """The same kernel by stepping the dense complex system of all N eigenvalues, float64."""
    both = [torch.cat([x, x.conj()], dim=-1).to(torch.complex128) for x in (eigenvalues, P, Q, B, C)]
    eigenvalues, P, Q, B, C = both
    A = torch.diag_embed(eigenvalues) - torch.einsum("rhm,rhn->hmn", P, Q.conj())
    identity = torch.eye(A.shape[-1], dtype=A.dtype, device=A.device)
    half = dt.double().unsqueeze(-1) / 2
    A_bar = torch.linalg.solve(identity - half * A, identity + half * A)
    state = torch.linalg.solve(identity - half * A, (dt * B).unsqueeze(-1)).squeeze(-1)
    outputs = []
    for _ in range(length):
        outputs.append(torch.einsum("chn,hn->ch", C, state).real)
        state = torch.einsum("hmn,hn->hm", A_bar, state)
    return torch.stack(outputs, dim=-1)


def _output(rows: Tensor) -> Tensor:
    """Real rows (C, H, N), as `bilinear` makes them, back to complex C (C, H, M)."""
    real, imag = rows.chunk(2, dim=-1)
    return torch.complex(real, -imag) / 2


def _stack(value: Tensor) -> Tensor:
    """Complex (..., M) to real (..., 2M): the real parts, then the imaginary parts."""
    return torch.cat([value.real, value.imag], dim=-1)
