"""The whole model: encoder → backbone → pooling → head."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lra.data.spec import TaskSpec
from lra.errors import UserError
from lra.models.backbone import Backbone
from lra.models.conventions import Conventions, lecun_
from lra.models.encoder import make_encoder
from lra.models.head import make_head, pool
from lra.options import checked
from lra.vocabulary import Pooling


class Classifier(nn.Module):
    """Sequences to logits (or to one number, for a regression). All sizes of the task come from its spec.

    A backbone says its `features` and, if they are not S4's, its `conventions` (`lra.models.conventions`).
    """

    recipe: dict[str, Any]  # what it was made of and trained on, if it was read from a file (`lra.weights`)

    @checked
    def __init__(self, spec: TaskSpec, backbone: Backbone, *, pooling: Pooling) -> None:
        super().__init__()
        self.spec, self.pooling = spec, pooling
        conventions: Conventions = getattr(backbone, "conventions", "s4")
        self.encoder = make_encoder(spec, backbone.features, conventions)
        self.backbone = backbone
        self.head = make_head(spec, backbone.features, conventions)
        self.padded = conventions == "s5" and spec.kind == "tokens"
        if conventions == "s5":
            lecun_(self)

    def forward(self, x: Tensor, lengths: Tensor, rate: float = 1.0) -> Tensor:
        """x (B, L) tokens or (B, L, d) features, lengths (B,) -> (B, outputs). Pairs: see `Batch`."""
        if self.padded:
            if x.shape[1] > self.spec.max_length:
                raise UserError(
                    f"The input has {x.shape[1]} positions; this model pads it to {self.spec.max_length}, its greatest."
                )
            x = F.pad(x, (0, self.spec.max_length - x.shape[1]))
        position = torch.arange(x.shape[1], device=x.device)
        mask = (position < lengths.unsqueeze(1)).unsqueeze(1)
        h = self.encoder(x)
        mask = mask.to(h.dtype)
        h = self.backbone(h, mask, rate)
        return self.head(pool(h, mask, lengths, self.pooling))

    def start(self, batch: int, rate: float = 1.0, length: int | None = None) -> Any:
        """What `step` carries from position to position; causal models of unpaired tasks only.

        `length` is that of the whole sequence; kernels that are normalized over it (DSS softmax) need it.
        """
        states = self.backbone.start(batch, rate, length)
        total = next(self.head.parameters()).new_zeros(batch, self.backbone.features)
        return states, total, 0

    def step(self, x: Tensor, carried: Any) -> tuple[Tensor, Any]:
        """One position of a stream, in evaluation mode: x (B,) tokens or (B, d) features.

        Returns the outputs (B, K) for the sequence so far and what to carry on.
        """
        states, total, count = carried
        h = self.encoder(x.unsqueeze(1)).squeeze(-1)
        h, states = self.backbone.step(h, states)
        total, count = total + h, count + 1
        pooled = total / count if self.pooling == "mean" else h
        return self.head(pooled), (states, total, count)
