"""The impulse response c Aˡ b of real linear systems, by doubling.

With l = i + L₁ j and L₁ ≈ √L, c Aˡ b = (c A^{L₁ j}) (Aⁱ b): two short tables and one matrix product. Each
table doubles by one product with a square of A: [V, A^m V], and log₂ L squares suffice for any length.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from lra.ops.precision import full_precision


def krylov(A: Tensor, b: Tensor, c: Tensor, length: int, truncation: int | None = None) -> Tensor:
    """K[c, h, l] = c[c, h] A[h]ˡ b[h], l = 0 … length − 1; A (H, N, N), b (H, N), c (C, H, N), K (C, H, L).

    A and b are float64; K has the precision of c. The powers are float64, because squaring magnifies
    rounding, and the gradient works in the precision of c. With a `truncation` T, c stands for c (I − A^T),
    the parameter of the published S4. First derivatives only. Time O(H N³ log L + H N² √L + C H N L).
    """
    return _Krylov.apply(A, b, c, length, truncation)


def krylov_naive(A: Tensor, b: Tensor, c: Tensor, length: int) -> Tensor:
    """The same response by stepping the state, one position at a time."""
    response = []
    for _ in range(length):
        response.append(torch.einsum("chn,hn->ch", c.to(b.dtype), b))
        b = torch.einsum("hmn,hn->hm", A, b)
    return torch.stack(response, dim=-1)


def truncate(c: Tensor, A: Tensor, length: int) -> Tensor:
    """c (I − A^T): what a generating function truncated at T sees of c."""
    return c - torch.einsum("chm,hmn->chn", c, torch.linalg.matrix_power(A, length))


def untruncate(c: Tensor, A: Tensor, length: int) -> Tensor:
    """c (I − A^T)⁻¹: the reverse of `truncate`."""
    resolvent = _inverse_of_one_minus([torch.linalg.matrix_power(A, length)])
    return torch.einsum("chm,hmn->chn", c, resolvent)


class _Krylov(torch.autograd.Function):
    """Reverse-mode derivatives of the doubling, written out to keep the saved powers and the work small.

    With S_k = A^(2^k), columns V_i = Aⁱ b and rows R_j = c A^{L₁ j}, the forward pass is

        S_{k+1} = S_k S_k,  V ← [V, S_k V] for k < log₂ L₁,  R ← [R; R_{:m} S_k] for the k after that,  K = R V.

    The backward pass, with dX for the gradient of the loss with respect to X, undoes it from its end:

        K = R V              dR = dK Vᵀ,  dV = Rᵀ dK
        R ← [R; R_{:m} S_k]  dR = [F; E], E the last m:   dS_k = R_{:m}ᵀ E,  dR ← F with F_{:m} + E S_kᵀ
        V ← [V, S_k V]       dV = [F, E], two halves:     dS_k = E Vᵀ,  dV ← F + S_kᵀ E
        S_{k+1} = S_k S_k    dS_k ← dS_k + S_kᵀ dS_{k+1} + dS_{k+1} S_kᵀ

    and leaves dA = dS_0, db = dV and dc = dR, the last through c (I − A^T)⁻¹ where there is a truncation.
    """

    @staticmethod
    def forward(ctx, A: Tensor, b: Tensor, c: Tensor, length: int, truncation: int | None) -> Tensor:
        low = ((length - 1).bit_length() + 1) // 2  # L1 = 2^low columns
        high_size = -(-length // (1 << low))
        steps = truncation or 0
        bits = [k for k in range(steps.bit_length()) if steps >> k & 1]
        count = max(low + (high_size - 1).bit_length(), max(bits, default=-1) + 1, 1)
        with full_precision(A.device):
            squares = [A]
            while len(squares) < count:
                squares.append(squares[-1] @ squares[-1])
            rows = c.to(A.dtype).transpose(0, 1).unsqueeze(1)  # (H, L2, C, N)
            resolvent = _inverse_of_one_minus([squares[k] for k in bits]) if bits else None
            if resolvent is not None:
                rows = (rows.squeeze(1) @ resolvent).unsqueeze(1)
            columns = b.unsqueeze(-1)  # (H, N, L1)
            for square in squares[:low]:
                columns = torch.cat([columns, square @ columns], dim=-1)
            for k, later in _row_doublings(low, high_size):
                product = rows[:, :later].flatten(1, 2) @ squares[k]
                rows = torch.cat([rows, product.unflatten(1, (later, -1))], dim=1)
            saved = [x.to(c.dtype) for x in (columns, rows, *squares)]
            kernel = saved[1].transpose(1, 2).flatten(1, 2) @ saved[0]
        ctx.save_for_backward(*saved, *([] if resolvent is None else [resolvent.to(c.dtype)]))
        ctx.length, ctx.low, ctx.bits, ctx.dtype = length, low, bits, A.dtype
        return kernel.view(len(A), len(c), -1)[..., :length].transpose(0, 1)

    @staticmethod
    @once_differentiable
    def backward(ctx, grad: Tensor):
        columns, rows, *squares = ctx.saved_tensors
        resolvent = squares.pop() if ctx.bits else None
        high_size, channels = rows.shape[1:3]
        grad = torch.nn.functional.pad(grad, (0, high_size * columns.shape[-1] - ctx.length))
        grad = grad.transpose(0, 1).reshape(len(rows), channels * high_size, -1)
        with full_precision(grad.device):
            grad_columns = rows.transpose(1, 2).flatten(1, 2).mT @ grad
            grad_rows = (grad @ columns.mT).unflatten(1, (channels, high_size)).transpose(1, 2)
            grad_squares = [grad.new_zeros(()).expand_as(squares[0])] * len(squares)
            for k, later in reversed(_row_doublings(ctx.low, high_size)):
                first, second = grad_rows[:, :-later], grad_rows[:, -later:].flatten(1, 2)
                grad_squares[k] = rows[:, :later].flatten(1, 2).mT @ second
                grad_rows = first.clone()
                grad_rows[:, :later] += (second @ squares[k].mT).unflatten(1, (later, channels))
            for k in reversed(range(ctx.low)):
                first, second = grad_columns.chunk(2, dim=-1)
                grad_squares[k] = second @ columns[..., : 1 << k].mT
                grad_columns = first + squares[k].mT @ second
            grad_c = grad_rows.squeeze(1)
            if resolvent is not None:
                grad_c = grad_c @ resolvent.mT
                _add_truncation(grad_squares, [squares[k] for k in ctx.bits], ctx.bits, rows[:, 0], grad_c)
            total = grad_squares[-1]
            for k in reversed(range(len(squares) - 1)):  # d(S²) = dS S + S dS
                half = torch.baddbmm(grad_squares[k], squares[k].mT, total)
                total = torch.baddbmm(half, total, squares[k].mT)
        return total.to(ctx.dtype), grad_columns.squeeze(-1).to(ctx.dtype), grad_c.transpose(0, 1), None, None


def _row_doublings(low: int, high_size: int) -> list[tuple[int, int]]:
    """(k, m): rows are extended by A^(2^k) times their first m, up to `high_size` rows."""
    doublings: list[tuple[int, int]] = []
    size = 1
    while size < high_size:
        doublings.append((low + len(doublings), min(size, high_size - size)))
        size += doublings[-1][1]
    return doublings


def _inverse_of_one_minus(factors: list[Tensor]) -> Tensor:
    """(I − Π factors)⁻¹."""
    power = factors[0]
    for factor in factors[1:]:
        power = power @ factor
    identity = torch.eye(power.shape[-1], dtype=power.dtype, device=power.device)
    return torch.linalg.inv_ex(identity - power).inverse  # inv would wait for a GPU to look at the result


def _add_truncation(
    grad_squares: list[Tensor], factors: list[Tensor], bits: list[int], row: Tensor, grad_c: Tensor
) -> None:
    """Add the derivative of c = c̃ (I − Π S_k)⁻¹ with respect to the factors S_k.

    With λ the gradient of c̃, that of the product is cᵀ λ, and of one factor (c Π before)ᵀ (λ Π afterᵀ).
    """
    left = [row]
    for factor in factors[:-1]:
        left.append(left[-1] @ factor)
    for k, factor, before in reversed(list(zip(bits, factors, left, strict=True))):
        grad_squares[k] = torch.baddbmm(grad_squares[k], before.mT, grad_c)
        grad_c = grad_c @ factor.mT
