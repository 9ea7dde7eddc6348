"""Trained weights in one safetensors file, with the recipe inside: written for others, read back for inference."""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from lra import history
from lra.data.spec import TaskSpec
from lra.errors import UserError
from lra.files import write_bytes
from lra.models.build import make_model
from lra.models.classifier import Classifier

KEY = "lra"  # of the recipe in the file's metadata
PREFIX = "model."


def export(state: dict[str, torch.Tensor], spec: TaskSpec, recipe: dict[str, Any], target: Path) -> None:
    """Write the weights among a checkpoint's `state` to `target`, with the recipe (plain data) as JSON.

    Raises UserError if the file cannot be written.
    """
    weights = {k.removeprefix(PREFIX): v.contiguous() for k, v in state.items() if k.startswith(PREFIX)}
    content = {**recipe, "spec": dataclasses.asdict(spec) | {"splits": dict(spec.splits)}}
    write_bytes(target, save(weights, {KEY: json.dumps(content)}))


def load(path: str | os.PathLike, device: str = "cpu") -> Classifier:
    """The model of a file written by `export`, in evaluation mode; its `recipe` says where it comes from.

    `model(x, lengths)` takes tokens (B, L) int64 or features (B, L, d) float32 and the lengths (B,), and gives
    (B, classes) logits or (B, 1) values. Raises UserError if the file is not such a file.
    """
    try:
        with safe_open(path, framework="pt", device=device) as file:
            recipe = history.completed(json.loads((file.metadata() or {})[KEY]))
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except FileNotFoundError as error:
        raise UserError(f"There is no file {path}.") from error
    except (SafetensorError, KeyError, ValueError) as error:
        raise UserError(f"{path} was not written by `lra export`, or is damaged: {error}") from error
    model = make_model(TaskSpec(**recipe["spec"]), recipe["model"], recipe["kernel"], recipe["mixer"])
    model.load_state_dict(state)
    model.recipe = recipe
    return model.to(device).eval()
