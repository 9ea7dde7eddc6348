"""Trained weights in one safetensors file, with the recipe inside: written for others, read back for inference."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from pydantic import TypeAdapter
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from lra import history
from lra.data.spec import TaskSpec
from lra.errors import UserError
from lra.files import parse_json, write_bytes
from lra.models.build import make_model
from lra.models.classifier import Classifier
from lra.models.state import same_version
from lra.nodes import check_foreign

KEY = "lra"  # of the recipe in the file's metadata
NODES = ("model", "kernel", "mixer")  # of the recipe, which make a model
PREFIX = "model."


def export(state: dict[str, torch.Tensor], spec: TaskSpec, recipe: dict[str, Any], target: Path) -> None:
    """Write the weights among a checkpoint's `state` to `target`, with the recipe (plain data) as JSON.

    Raises UserError if the file cannot be written.
    """
    weights = {k.removeprefix(PREFIX): v.contiguous() for k, v in state.items() if k.startswith(PREFIX)}
    content = {**recipe, "spec": dataclasses.asdict(spec) | {"splits": dict(spec.splits)}}
    write_bytes(target, save(weights, {KEY: json.dumps(content)}))


def load(path: str | os.PathLike, device: str = "cpu", allow: Sequence[str] = ()) -> Classifier:
    """The model of a file written by `export`, in evaluation mode; its `recipe` says where it comes from.

    `model(x, lengths)` takes tokens (B, L) int64 or features (B, L, d) float32 and the lengths (B,), and gives
    (B, classes) logits or (B, 1) values. `allow` names the packages or modules besides this one that the file's
    classes may come from. Raises UserError if the file is not such a file.
    """
    foreign = f"{path} was not written by `lra export`, or is damaged"
    try:
        with safe_open(path, framework="pt", device=device) as file:
            recipe = history.completed(parse_json((file.metadata() or {})[KEY]))
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        spec = TypeAdapter(TaskSpec).validate_python(recipe["spec"])
        nodes = {name: recipe[name] for name in NODES}
    except FileNotFoundError as error:
        raise UserError(f"There is no file {path}.") from error
    except (SafetensorError, OSError, KeyError, ValueError, TypeError, AttributeError) as error:
        raise UserError(f"{foreign}: {type(error).__name__}: {error}") from error
    try:
        check_foreign(nodes, allow)
        model = make_model(spec, **nodes)
        with same_version(model, state, "This file", "Restore the code that wrote it, or export the run again."):
            model.load_state_dict(state)
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
    except Exception as error:  # whatever a constructor says of options that do not go together
        raise UserError(f"{foreign}: {type(error).__name__}: {error}") from error
    model.recipe = recipe
    return model.to(device).eval()


def untrained(model: Classifier) -> Classifier:
    """A model that `load` returned as it was before its first step: made again from its recipe and its run's seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(model.recipe["seed"])
        return make_model(model.spec, **{name: model.recipe[name] for name in NODES})
