"""Golden training trajectories: our model with the published initial weights, and the names of both sides.

A published tensor and ours differ by signs (which member of a conjugate pair is kept), slices and shapes at most,
so that the same map holds for values and for gradients.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lra.config import Cosine, Optimizer, Plateau
from lra.data.spec import TaskSpec
from lra.kernels.dss import DSS
from lra.kernels.s4 import S4
from lra.kernels.s4_original import S4Original
from lra.kernels.s4d import S4D
from lra.models.build import make_model
from lra.models.classifier import Classifier

FOLDER = Path(__file__).parent / "golden" / "training"
FILES = sorted(path.stem for path in FOLDER.glob("*.npz"))
TOLERANCES = {"loss": 1e-8, "gradient": 1e-7, "end": 1e-6, "logits": 1e-6}
TOLERANCES_FOUT = {"loss": 1e-6, "gradient": 1e-6, "end": 1e-5, "logits": 1e-5}

PREFIX = {
    "v3.0.0": "layer.kernel.kernel.",
    "HEAD": "layer.layer.kernel.",
    "v1": "layer.kernel.krylov.",
    "dss": "layer.kernel.",
}


@dataclass
class Trajectory:
    """One file: its arrays and its description."""

    name: str
    arrays: dict[str, np.ndarray]
    meta: dict[str, Any]

    @classmethod
    def load(cls, path: Path) -> Trajectory:
        with np.load(path) as file:
            arrays = {key: file[key] for key in file}
        return cls(path.stem, arrays, json.loads(str(arrays.pop("meta"))))

    def tensor(self, key: str) -> Tensor:
        return torch.from_numpy(np.array(self.arrays[key]))

    @property
    def tolerances(self) -> dict[str, float]:
        return TOLERANCES_FOUT if "fout" in self.name else TOLERANCES

    def batch(self, step: int | None) -> tuple[Tensor, Tensor, Tensor]:
        """x, cut to its longest row, lengths and y of a training step, or (None) of the final evaluation."""
        x, lengths, y = (self.tensor(f"eval_{key}" if step is None else key) for key in ("x", "lengths", "y"))
        if step is not None:
            x, lengths, y = x[step], lengths[step], y[step]
        x = x[:, : int(lengths.max())]
        x = x.long() if self.meta["task"]["kind"] == "tokens" else x.double()
        return x, lengths.long(), y.long()

    def optimizer(self) -> Optimizer:
        """The optimizer's configuration, with the version's rule for norms and biases."""
        kept = self.meta["optimizer"]
        return Optimizer(
            lr=kept["lr"],
            weight_decay=kept["weight_decay"],
            decay_norms_and_biases=self.meta["regime"] != "HEAD",
        )

    def schedule(self) -> Cosine | Plateau:
        kept = self.meta["schedule"]
        if kept["name"] == "cosine":
            return Cosine(**{key: kept[key] for key in ("name", "warmup_steps", "total_steps")})
        return Plateau(name="plateau", factor=kept["factor"], patience=kept["patience"])

    def untrained(self) -> Classifier:
        """Our model as its constructor makes it."""
        task, size = self.meta["task"], dict(self.meta["model"])
        spec = TaskSpec(
            name=self.name,
            kind=task["kind"],
            inputs=task["inputs"],
            max_length=task["max_length"],
            outputs=task["classes"],
            splits={},
            paired=task["paired"],
        )
        model = {"_target_": "lra.models.backbone.SSMBackbone", "tie_dropout": True, **size}
        return make_model(spec, model, self.kernel())

    def model(self) -> Classifier:
        """Our model in float64, with the file's initial values."""
        made = self.untrained().double()
        named = dict(made.named_parameters()) | dict(made.named_buffers())
        with torch.no_grad():
            for ours, value in self.values("init."):
                named[ours].copy_(value.reshape(named[ours].shape))
        return made

    def kernel(self) -> dict[str, Any]:
        """The kernel's configuration."""
        kept = dict(self.meta["kernel"])
        length = self.meta["task"]["max_length"]
        if self.meta["regime"] == "v1":
            kept = {key: kept[key] for key in ("state_size", "init", "lr")}
            return {"_target_": _target(S4Original), **kept, "length": length}
        if self.meta["regime"] == "dss":
            return {
                "_target_": _target(DSS),
                **kept,
                "gradient": "exact" if "truegrad" in self.name else "published",
            }
        kept["init_version"] = "v4" if self.meta["regime"] == "HEAD" else "v3"
        if "discretization" in kept:
            later = {"B_init": "hippo"} if self.meta["regime"] == "HEAD" else {}
            return {"_target_": _target(S4D), **kept, **later}
        return {"_target_": _target(S4), **kept, "c_parameter": "truncated", "length": length}

    def values(self, stage: str) -> Iterator[tuple[str, Tensor]]:
        """(our name, value in our form) of everything stored at a stage: init., grad0., end. or fresh."""
        for ours, published, form in self._names():
            if stage + published in self.arrays:
                yield ours, form(self.tensor(stage + published))

    def published_name(self) -> dict[str, str]:
        """Our name of every parameter to the published one."""
        return {ours: published for ours, published, _ in self._names()}

    def _names(self) -> Iterator[tuple[str, str, Callable[[Tensor], Tensor]]]:
        regime, norms = self.meta["regime"], ("weight", "bias", "running_mean", "running_var")
        sequential = ".0" if regime in ("v3.0.0", "HEAD") else ""
        for part in ("weight", "bias"):
            yield f"encoder.{part}", f"encoder{sequential}.{part}", _same
            yield f"head.{part}", f"decoder{sequential}.output_transform.{part}", _same
            for index in (0, 2):
                yield f"head.{index}.{part}", f"decoder.0.retrieval.classifier.{index}.{part}", _same
        for part in norms:
            yield f"backbone.norm.{part}", f"model.norm.norm.{part}", _same
        for i in range(self.meta["model"]["layers"]):
            ours, published = f"backbone.blocks.{i}.", f"model.layers.{i}."
            inner = "layer.layer." if regime == "HEAD" else "layer."
            yield f"{ours}mixer.D", f"{published}{inner}D", _same
            for part in ("weight", "bias"):
                yield (
                    f"{ours}mixing.linear.{part}",
                    f"{published}layer.output_linear{sequential}.{part}",
                    _same,
                )
            for part in norms:
                yield f"{ours}norm.{part}", f"{published}norm.norm.{part}", _same
            for kernel, name, form in KERNEL_NAMES[regime]:
                yield f"{ours}mixer.kernel.{kernel}", f"{published}{PREFIX[regime]}{name}", form


def _same(value: Tensor) -> Tensor:
    return value


def _negative(value: Tensor) -> Tensor:
    return -value


def _conjugate(value: Tensor) -> Tensor:
    return value * value.new_tensor([1.0, -1.0])


def _target(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"


KERNEL_NAMES: dict[str, list[tuple[str, str, Callable[[Tensor], Tensor]]]] = {
    "v3.0.0": [
        ("log_dt", "log_dt", _same),
        ("A_real", "inv_A_real", _same),
        ("A_real", "inv_w_real", _same),
        ("A_imag", "A_imag", _negative),
        ("A_imag", "w_imag", _negative),
        *[(name, name, _same) for name in ("B", "P", "C")],
    ],
    "HEAD": [
        ("log_dt", "inv_dt", _same),
        *[(name, name, _same) for name in ("A_real", "A_imag", "B", "P", "C")],
    ],
    "v1": [  # the tensor B holds B and p, the tensor C holds the conjugate of C and q
        ("log_dt", "log_dt", _same),
        ("A_real", "w", lambda w: w[:, 0]),
        ("A_imag", "w", lambda w: -w[:, 1]),
        ("B", "B", lambda B: B[:, 0]),
        ("P", "B", lambda B: B[:, 1:].transpose(0, 1)),
        ("C", "C", lambda C: _conjugate(C[:, :1].transpose(0, 1))),
        ("Q", "C", lambda C: C[:, 1:].transpose(0, 1)),
    ],
    "dss": [
        ("log_dt", "log_dt", _same),
        ("Lambda_real", "Lambda", lambda Lambda: Lambda[:, 0]),
        ("Lambda_imag", "Lambda", lambda Lambda: Lambda[:, 1]),
        ("Lambda_real", "Lambda_log_neg_re", _same),
        ("Lambda_imag", "Lambda_im", _same),
        ("W", "W", _same),
    ],
}
