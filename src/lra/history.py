"""Options that came after the first records, with what the code did before they existed.

A run's id is a hash of its configuration. An option that has its first value is left out of the hash, so that an
equal run keeps its id; and a record without the option is read as having that value.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lra.nodes import CONVOLUTION

FIRST_NODES = {"mixer": CONVOLUTION}
# For a node with a `_target_` or a name, by that; for others under "".
FIRST: dict[str, dict[str, dict[str, Any]]] = {
    "optimizer": {"": {"decay_norms_and_biases": False, "betas": [0.9, 0.999], "clip_norm": None}},
    "kernel": {
        "lra.kernels.s4.S4": {"init_version": "v4"},
        "lra.kernels.s4d.S4D": {"init_version": "v4"},
        "lra.kernels.dss.DSS": {"gradient": "exact"},
    },
    "scheduler": {"cosine": {"min_lr": 0.0}},
    "model": {"lra.models.backbone.SSMBackbone": {"mlp": None, "norm_momentum": 0.1, "conventions": "s4"}},
}


def shortened(config: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration without the options that have their first value."""
    kept = {name: node for name, node in config.items() if node != FIRST_NODES.get(name)}
    return _map(kept, lambda node, first: {k: v for k, v in node.items() if k not in first or v != first[k]})


def completed(config: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration as a record holds it, with the options that it lacks at their first value."""
    return _map({**FIRST_NODES, **config}, lambda node, first: first | node)


def _map(config: Mapping[str, Any], change) -> dict[str, Any]:
    return {
        name: change(node, FIRST[name].get(node.get("_target_", node.get("name", "")), {})) if name in FIRST else node
        for name, node in config.items()
    }
