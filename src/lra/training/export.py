"""From a finished run to a file of weights."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from lra import weights
from lra.data.task import silent
from lra.training.assemble import make_task
from lra.training.evaluate import find


def export_run(run: str, overrides: Sequence[str] = (), target: Path | None = None, allow: Sequence[str] = ()) -> Path:
    """Write the best weights of a finished run, with its recipe and score, and return the file.

    The data are prepared if they are not, for the vocabulary. Raises UserError as `find` and `export` do.
    """
    finished = find(run, overrides, allow)
    record = finished.record
    task = make_task(finished.config)
    spec = task.spec_of(task.prepare(finished.config.data_dir, silent))
    experiment = record.identity.experiment
    target = target or Path(f"{experiment.replace('/', '-')}-{record.run_id}.safetensors")
    recipe = record.config | {
        "experiment": experiment,
        "run_id": record.run_id,
        "source": record.source.model_dump() if record.source else None,
        "data": record.data.model_dump(),
        "test": record.metrics.test.model_dump() if record.metrics.test else None,
    }
    state = torch.load(finished.checkpoint, map_location="cpu", weights_only=True)["state_dict"]
    weights.export(state, spec, recipe, target)
    return target
