"""What loggers are told of a run: its whole configuration, and names by which runs are found and grouped."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pytorch_lightning.loggers import CSVLogger, Logger, WandbLogger

from lra.composition import flat
from lra.config import Config
from lra.errors import UserError
from lra.nodes import options, target
from lra.records.schema import RunRecord


def check_logger(config: Config) -> None:
    """Raise UserError if the configured logger is no class of a logger."""
    if config.logger and not issubclass(kind := target(config.logger), Logger):
        raise UserError(f"logger._target_: {kind.__qualname__} is no logger of PyTorch Lightning.")


def make_loggers(config: Config, record: RunRecord, run_dir: Path) -> list[Logger]:
    """CSV always, in a folder for each start; the configured logger as well, in which a run stays one.

    Raises UserError if the configured logger cannot be made.
    """
    start = len([*(run_dir / "logs").glob("*")])
    made: list[Logger] = [CSVLogger(run_dir, name="logs", version=str(start))]
    if config.logger:
        try:
            made.append(_configured(config, record, run_dir))
        except Exception as error:  # whatever a foreign class raises
            raise UserError(f"The logger could not be started: {error}") from error
    return made


def _configured(config: Config, record: RunRecord, run_dir: Path) -> Logger:
    identity, kind = record.identity, target(config.logger)
    own: dict[str, Any] = {"save_dir": run_dir, "name": identity.experiment, "version": record.run_id}
    if issubclass(kind, WandbLogger):
        own |= {
            "name": " ".join([*identity.changed, f"seed={identity.seed}"]),
            "group": identity.experiment,
            "tags": [record.data.task, record.budget.kind, record.data.variant],
        }
    logger = kind(**(own | options(config.logger)))
    known = {"experiment": identity.experiment, "run_id": record.run_id, "code": record.code.label}
    logger.log_hyperparams({**flat(record.config), **known, "parameters": record.parameters.total})
    return logger
