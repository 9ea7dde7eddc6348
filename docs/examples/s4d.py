"""S4D in one file of plain PyTorch: the fast kernel, the layer and a classifier. To copy; Apache-2.0.

Gu et al., "On the Parameterization and Initialization of Diagonal State Space Models", arXiv 2206.11893, as its code
trains it. B batch, L length, H features, N state size, S sets of modes, C kernels (2 if bidirectional)."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def vandermonde(coefficient: Tensor, exponent: Tensor, length: int) -> Tensor:
    """Re Σ_m coefficient[c, h, m] exp(l exponent[h, m]) for l < length: (C, H, L), without an (H, N, L) matrix.

    With l = i + L₁ j and L₁ ≈ √L, exp(l a) = exp(i a) exp(j L₁ a): two tables of √L powers and a matrix product.
    """
    low = math.isqrt(length - 1) + 1
    i, j = (torch.arange(n, device=exponent.device) for n in (low, -(-length // low)))
    fine = torch.exp(exponent.unsqueeze(-1) * i).to(coefficient.dtype)  # (H, M, L1)
    coarse = torch.exp(exponent.unsqueeze(-1) * (low * j)).to(coefficient.dtype)  # (H, M, L2)
    z = torch.view_as_real(coefficient.unsqueeze(-1) * coarse)  # (C, H, M, L2, 2)
    fine = torch.view_as_real(fine.conj().resolve_conj())  # Re(z w) is the inner product of z and conj(w)
    return torch.einsum("chmjr,hmir->chji", z, fine).flatten(2)[..., :length]


def frequencies(init: str, N: int) -> Tensor:
    """−Im A (N/2,) at the start; Re A = −1/2."""
    n = torch.arange(N, dtype=torch.float64)
    if init == "legs":  # eigenvalues of the normal part of HiPPO-LegS
        root = (2 * n + 1).sqrt()
        lower = torch.tril(torch.outer(root, root), -1) / 2
        return torch.linalg.eigvalsh(1j * (lower.T - lower)).flip(0)[: N // 2]
    return {"lin": math.pi * n, "inv": N / math.pi * (N / (2 * n + 1) - 1)}[init][: N // 2]


class S4DKernel(nn.Module):
    """K[c, h, l] = 2 Re Σ_m C B̄ Ā^l, of N/2 modes and their conjugates; feature h uses set h mod S."""

    def __init__(self, H: int, C: int, N=64, init="legs", S=None, rule="zoh", dt=(0.001, 0.1)):
        super().__init__()
        shape, self.rule = (S or H, N // 2), rule  # zoh | bilinear
        self.log_dt = nn.Parameter(torch.empty(H).uniform_(math.log(dt[0]), math.log(dt[1])))
        self.A_real = nn.Parameter(torch.full(shape, 0.5).log())
        self.A_imag = nn.Parameter(frequencies(init, N).float().repeat(shape[0], 1))
        self.B = nn.Parameter(torch.view_as_real(torch.ones(shape, dtype=torch.complex64)))
        self.C = nn.Parameter(math.sqrt(0.5) * torch.randn(C, H, N // 2, 2))

    def forward(self, length: int) -> Tensor:
        A = torch.complex(-self.A_real.double().exp(), -self.A_imag.double())  # float64: l Im(Δ A) is large
        B, repeats = torch.view_as_complex(self.B.double()), len(self.log_dt) // len(A)
        A, B, dt = A.repeat(repeats, 1), B.repeat(repeats, 1), self.log_dt.double().exp().unsqueeze(1)
        zoh, half = self.rule == "zoh", dt * A / 2
        log_A = 2 * (half if zoh else torch.atanh(half))
        B = B * (torch.expm1(log_A) / A if zoh else dt / (1 - half))
        return vandermonde((2 * torch.view_as_complex(self.C) * B).to(torch.complex64), log_A, length)


class S4DLayer(nn.Module):
    """x + glu(W gelu(K * x + D x)), normalized before or after. x (B, H, L), mask (B, 1, L) of 0 and 1."""

    def __init__(self, H, *, bidirectional=True, norm=nn.BatchNorm1d, prenorm=True, dropout=0.0, **kernel):
        super().__init__()
        self.kernel = S4DKernel(H, 2 if bidirectional else 1, **kernel)
        self.D = nn.Parameter(torch.randn(1, H))
        self.linear = nn.Linear(H, 2 * H)
        self.dropout = nn.Dropout1d(dropout)  # of whole channels
        self.norm, self.prenorm = norm(H), prenorm

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        u, L = (self.norm(x) if self.prenorm else x) * mask, x.shape[-1]
        past, *future = self.kernel(L)  # on a circle: lags 0 … L − 1, then −L … −1
        circle = F.pad(past, (0, L)) + sum(F.pad(kernel.flip(-1), (L, 0)) for kernel in future)
        y = torch.fft.irfft(torch.fft.rfft(u, 2 * L) * torch.fft.rfft(circle), 2 * L)[..., :L] + self.D.mT * u
        y = self.linear(self.dropout(F.gelu(y)).mT).mT
        x = x + self.dropout(F.glu(y, dim=1))
        return x if self.prenorm else self.norm(x)


class ChannelNorm(nn.LayerNorm):  # the other choice of `norm`
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.mT).mT


class S4DClassifier(nn.Module):
    """x (B, L) tokens (tokens=True) or (B, L, inputs) features, lengths (B,) -> logits (B, outputs)."""

    def __init__(self, inputs, outputs, H, layers, *, tokens, norm=nn.BatchNorm1d, prenorm=True, **layer):
        super().__init__()
        self.encoder = (nn.Embedding if tokens else nn.Linear)(inputs, H)
        self.blocks = nn.ModuleList(S4DLayer(H, norm=norm, prenorm=prenorm, **layer) for _ in range(layers))
        self.norm = norm(H) if prenorm else nn.Identity()
        self.head = nn.Linear(H, outputs)

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        mask = (torch.arange(x.shape[1], device=x.device) < lengths.unsqueeze(1)).unsqueeze(1).float()
        h = self.encoder(x).mT
        for block in self.blocks:
            h = block(h, mask)
        return self.head((self.norm(h) * mask).sum(-1) / lengths.unsqueeze(1))


def parameter_groups(model: nn.Module, lr: float, weight_decay: float, slow: float = 0.001) -> list[dict]:
    """For AdamW: A and B have the rate `slow`; they and Δ are not decayed, everything else is."""
    own = {"A_real": slow, "A_imag": slow, "B": slow, "log_dt": lr}
    named = [(name.rpartition("kernel.")[2], parameter) for name, parameter in model.named_parameters()]
    rest = {"params": [p for name, p in named if name not in own], "lr": lr, "weight_decay": weight_decay}
    return [rest, *({"params": [p], "lr": own[n], "weight_decay": 0.0} for n, p in named if n in own)]


if __name__ == "__main__":  # learn to recall the first of 50 tokens
    model = S4DClassifier(8, 8, H=32, layers=2, tokens=True)
    optimizer = torch.optim.AdamW(parameter_groups(model, lr=0.01, weight_decay=0.01))
    for _ in range(200):
        x = torch.randint(8, (32, 50))
        loss = F.cross_entropy(model(x, torch.full((32,), 50)), x[:, 0])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    print(f"loss {loss.item():.3f}; of a guess {math.log(8):.3f}")
