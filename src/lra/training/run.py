"""One run, from a composed configuration to a finished record."""

from __future__ import annotations

import logging
import os
import shutil
import warnings
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from filelock import FileLock, Timeout
from rich.console import Console

from lra import cpu
from lra.config import Config
from lra.errors import UserError
from lra.records import store
from lra.records.schema import RunRecord
from lra.tables.closing import closing
from lra.training.processes import Stop, check_launch, is_main, process_group
from lra.training.report import card, preparation, short


def run(
    composed: Mapping[str, Any], *, experiment: str | None = None, overrides: Sequence[str] = ()
) -> RunRecord | None:
    """Train, select on validation, test once, write the record, print the comparison; return the record.

    An identical command finds the finished record and shows it, or goes on from the last checkpoint. Raises
    UserError for what the user can mend; the record then says `failed` and why. Where several processes train
    together each of them calls this, and the first alone writes and speaks.
    """
    config = Config.parse(composed)
    check_launch(config.trainer)
    console = Console(quiet=not is_main())
    name = experiment or f"custom/{composed['task']['_target_'].rpartition('.')[2].lower()}"
    run_id = config.run_id()
    run_dir = config.output_dir / name / run_id
    record_path = config.results_dir / "runs" / name / f"{run_id}.json"
    afresh = config.plan or config.force or not record_path.exists()
    previous = None if afresh else store.load(record_path)
    if previous is not None and previous.status == "complete":
        console.print(
            f"This run is finished ({short(record_path)}); force=true runs it again.", soft_wrap=True
        )
        console.print(closing(previous, config.results_dir))
        return previous

    # These import Lightning, which takes longer than a wrong option or a finished run should wait for its answer.
    from lra.training.assemble import assemble
    from lra.training.fit import Training, write
    from lra.training.opening import opening
    from lra.training.plan import estimate

    _settle()
    if config.plan:
        with preparation(console) as progress, TemporaryDirectory() as nowhere:
            assembled = assemble(config, progress)
            record = opening(config, assembled, name, experiment, overrides, Path(nowhere), None)
        console.print(card(record, "none"))
        estimate(config, assembled, console)
        return None
    stop = Stop()
    with _exclusive(run_dir), process_group(), stop.caught():
        if config.force and is_main():
            for part in ("checkpoints", "logs"):
                shutil.rmtree(run_dir / part, ignore_errors=True)
        with preparation(console) as progress:
            assembled = assemble(config, progress)
        record = opening(config, assembled, name, experiment, overrides, run_dir, previous)
        write(record, config.results_dir)
        console.print(card(record, short(run_dir)))
        record = Training(config, assembled, record, run_dir, console, stop).run()
    console.print(closing(record, config.results_dir))
    console.print(f"record: {short(record_path)}", soft_wrap=True, highlight=False)
    return record


def _exclusive(run_dir: Path) -> Any:
    """A lock on the run's folder, held by the main process. Raises UserError if another run holds it."""
    if not is_main():
        return nullcontext()
    run_dir.mkdir(parents=True, exist_ok=True)
    try:
        return FileLock(run_dir / "lock").acquire(timeout=0)
    except Timeout:
        raise UserError(f"This run is going on in another process (lock {run_dir / 'lock'}).") from None


def _settle() -> None:
    """Full float32 products, a tuned CPU, and quiet libraries: what Lightning says is on our card."""
    torch.set_float32_matmul_precision("highest")
    cpu.tune()
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    os.environ.setdefault("WANDB_SILENT", "true")
    warnings.filterwarnings("ignore", ".*does not have many workers.*")
    warnings.filterwarnings("ignore", ".*isinstance.treespec, LeafSpec.* is deprecated.*")
