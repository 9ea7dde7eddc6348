"""The backbone: a stack of residual blocks around sequence mixers. Signals are (B, H, L)."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any, cast

from torch import Tensor, nn

from lra.bounds import DropoutRate, Layers, Momentum, Width
from lra.mixers.base import MixerFactory, SequenceMixer, outputs_of
from lra.mixers.bidirectional import make_mixer
from lra.mixers.pointwise import Pointwise
from lra.models.block import NORMS, Norm, ResidualBlock
from lra.models.conventions import Conventions
from lra.models.mixing import Dropout, Mixing, make_mixing
from lra.options import checked


class Backbone(nn.Module):
    """`layers` residual blocks of H features; a last normalization follows pre-norm ones, but not in S5's code."""

    @checked
    def __init__(
        self,
        mixer: MixerFactory,
        *,
        layers: Layers,
        features: Width,
        norm: Norm,
        prenorm: bool,
        dropout: DropoutRate,
        tie_dropout: bool,
        mixing: Mixing,
        bidirectional: bool,
        mask_padding: bool,
        channels: Width = 1,
        mlp: Width | None = None,
        norm_momentum: Momentum = 0.1,
        conventions: Conventions = "s4",
    ) -> None:
        """`mask_padding` shows the mixers where padding is, as the cosine recipe does. `mlp` adds the second half of
        a Transformer's layer after each block, an MLP of that width. `norm_momentum` is that of BatchNorm's running
        statistics, `conventions` says by whose code the rest is made (`lra.models.conventions`)."""
        super().__init__()
        make_norm = NORMS[norm]
        if norm == "batch":
            make_norm = partial(make_norm, momentum=norm_momentum)
        self.features, self.mask_padding, self.conventions = features, mask_padding, conventions
        self.bidirectional = bidirectional
        kinds: list[tuple[MixerFactory, Mixing]] = [
            (partial(make_mixer, mixer, channels=channels, bidirectional=bidirectional), mixing)
        ]
        if mlp is not None:
            kinds.append((partial(Pointwise, outputs=mlp), "linear"))
        self.blocks = nn.ModuleList()
        for make, kind in kinds * layers:
            made = make(features=features)
            after = make_mixing(kind, outputs_of(made), features, Dropout(dropout, tied=tie_dropout))
            self.blocks.append(ResidualBlock(made, after, make_norm(features), prenorm=prenorm))
        self.norm = make_norm(features) if prenorm and conventions == "s4" else nn.Identity()

    def forward(self, x: Tensor, mask: Tensor, rate: float = 1.0) -> Tensor:
        """x (B, H, L) -> (B, H, L); mask (B, 1, L) is 1 on valid positions."""
        for block, prepared in zip(self.blocks, self._prepared(x.shape[-1], rate), strict=True):
            x = block(x, mask if self.mask_padding else None, rate, **prepared)
        return self.norm(x)

    def _prepared(self, length: int, rate: float) -> list[dict[str, Any]]:
        """What the mixer of each block is given besides signals, made for all mixers of a class at once.

        A mixer that is any module, not one of our protocol, is given nothing.
        """
        mixers = [block.mixer for block in self._blocks()]
        given: list[dict[str, Any]] = [{} for _ in mixers]
        for kind in {type(mixer) for mixer in mixers if isinstance(mixer, SequenceMixer)}:
            places = [i for i, mixer in enumerate(mixers) if type(mixer) is kind]
            for i, extra in zip(places, kind.prepare([mixers[i] for i in places], length, rate), strict=True):
                given[i] = extra
        return given

    @property
    def ignores_padding(self) -> bool:
        """Whether valid outputs stay the same in evaluation mode however much padding follows."""
        shown = self.mask_padding or not self.bidirectional
        return shown and all(getattr(block.mixer, "ignores_padding", False) for block in self._blocks())

    def start(self, batch: int, rate: float = 1.0, length: int | None = None) -> list[Any]:
        """The states of all blocks, for `step`. Raises UserError if one of them has no recurrent mode."""
        return [block.start(batch, rate, length) for block in self._blocks()]

    def step(self, x: Tensor, states: list[Any]) -> tuple[Tensor, list[Any]]:
        """One position: x (B, H) and the states of all blocks to the output (B, H) and the next states."""
        following = []
        for block, state in zip(self._blocks(), states, strict=True):
            x, state = block.step(x, state)
            following.append(state)
        return self.norm(x.unsqueeze(-1)).squeeze(-1), following

    def _blocks(self) -> Iterable[ResidualBlock]:
        """The blocks by their type: a ModuleList knows modules only."""
        return cast("Iterable[ResidualBlock]", self.blocks)


SSMBackbone = Backbone  # what the configurations and records call it, from when state spaces were all it took
