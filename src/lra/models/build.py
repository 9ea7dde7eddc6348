"""From configuration nodes to a model."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from lra.data.spec import TaskSpec
from lra.errors import UserError
from lra.models.classifier import Classifier
from lra.nodes import CONVOLUTION, factory, kernel_factory, options, takes, target

MOST_PARAMETERS = 10**9  # some thousand times the largest model of the papers


def make_model(
    spec: TaskSpec,
    model: Mapping[str, Any],
    kernel: Mapping[str, Any],
    mixer: Mapping[str, Any] = CONVOLUTION,
) -> Classifier:
    """The classifier of a task, from the nodes of a configuration.

    Raises UserError for impossible combinations of options, and for a kernel or mixer that nothing uses.
    """
    _check_size(model, kernel)
    parts = {}
    if takes(model, "mixer"):
        parts["mixer"] = factory(mixer)
        if takes(mixer, "kernel"):
            made = kernel_factory(kernel, spec.max_length) if kernel else None
            parts["mixer"] = partial(parts["mixer"], kernel=made)
            kernel = {}
    elif mixer != CONVOLUTION:
        raise UserError(f"{target(model).__name__} takes no mixer, but this is one: {dict(mixer)}.")
    if kernel:
        raise UserError(f"Nothing here uses a kernel, but this is one: {dict(kernel)}.")
    sizes = {key: value for key, value in options(model).items() if key != "pooling"}
    return Classifier(spec, target(model)(**parts, **sizes), pooling=model["pooling"])


def _check_size(model: Mapping[str, Any], kernel: Mapping[str, Any]) -> None:
    """Raise UserError for a model that no machine should begin to build."""
    layers, features, state = model["layers"], model["features"], kernel.get("state_size", 1)
    if (size := layers * features * (features + state)) > MOST_PARAMETERS:
        raise UserError(
            f"model.layers={layers}, model.features={features} and kernel.state_size={state} make a model of some "
            f"{size:.0e} parameters; at most {MOST_PARAMETERS:.0e} are allowed."
        )
