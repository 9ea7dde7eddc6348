"""From a checked configuration to the objects of a run: task, loaders, module, trainer."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.loggers import Logger

from lra.config import Config
from lra.data.datasets import BatchDataset, BatchSampler, Loader, Subset, subset
from lra.data.spec import TaskSpec
from lra.data.storage import Meta, Store
from lra.data.task import Progress, Task
from lra.errors import UserError
from lra.models.build import make_model
from lra.nodes import factory
from lra.training.budget import Scaled, scale
from lra.training.checkpoint import WholeFiles
from lra.training.loggers import check_logger
from lra.training.memory import RandomData, is_out_of_memory
from lra.training.module import SequenceModule
from lra.training.processes import training_device
from lra.vocabulary import SPLITS, Variant

SUBSET_SEED = 0  # a budget's samples are the same for every seed


@dataclass(frozen=True)
class Assembled:
    """What a run trains and on what."""

    spec: TaskSpec
    variant: Variant
    fingerprint: str
    random_data: bool  # random data of the right shape, for planning before the data are prepared
    scaled: Scaled
    splits: dict[str, BatchDataset]
    module: SequenceModule

    def loader(self, split: str, seed: int = 0) -> Loader:
        """Batches of a split, in parts; the training split is shuffled and drops its last partial batch.

        Others come from the longest sequence to the shortest, with little padding, where that changes no output.
        """
        training = split == "train"
        data = self.splits[split]
        if not training and self.module.model.backbone.ignores_padding:
            data = Subset(data, np.argsort(-data.lengths, kind="stable"))
        sampler = BatchSampler(len(data), self.scaled.batch_size, shuffle=training, drop_last=training, seed=seed)
        sampler.parts = self.scaled.parts
        return Loader(data, sampler)

    @property
    def chance(self) -> float | None:
        """Test accuracy of always answering the majority class; None for a regression."""
        if self.spec.metric != "accuracy":
            return None
        y = self.splits["test"].y
        return float(np.bincount(y).max() / len(y))


def make_task(config: Config) -> Task:
    """The task that the configuration names."""
    return factory(config.task)()


def check(config: Config) -> Task:
    """The task. Raises UserError for what can be refused before any data are prepared, such as an impossible model."""
    check_logger(config)
    task = make_task(config)
    try:
        make_model(task.spec, config.model, config.kernel, config.mixer)
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        raise UserError(f"The model does not fit into memory: {error}. Make it smaller.") from None
    return task


def assemble(config: Config, progress: Progress) -> Assembled:
    """Prepare the data, build the model, seed everything. Planning takes the data as they are and prepares none."""
    task = check(config)
    pl.seed_everything(config.seed, verbose=False)
    store = task.store(config.data_dir)
    random_data = config.plan and store.open() is None
    if random_data:
        source: Meta | Store = store
        spec = task.spec
        splits: dict[str, BatchDataset] = {s: RandomData(task.spec, n) for s, n in task.spec.splits.items()}
    else:
        prepared = task.prepare(config.data_dir, progress)
        source, spec = prepared.meta, task.spec_of(prepared)
        splits = {split: task.dataset(prepared, split) for split in SPLITS}
    longest = config.budget.train_length
    counts = {split: len(data) for split, data in splits.items()}
    short = counts["train"] if longest is None else int((splits["train"].lengths <= longest).sum())
    if short == 0:
        shortest = splits["train"].lengths.min()
        raise UserError(f"budget.train_length is {longest}, but no training sample is shorter than {shortest}.")
    scaled = scale(config, spec, counts, short)
    check_processes(config, scaled)
    splits = {
        "train": subset(splits["train"], scaled.train_samples, SUBSET_SEED, longest),
        "val": subset(splits["val"], scaled.val_samples, SUBSET_SEED),
        "test": subset(splits["test"], scaled.test_samples, SUBSET_SEED),
    }
    if config.trainer.data_on_device and not random_data:
        splits = {split: data.to(training_device(config.trainer)) for split, data in splits.items()}
    model = make_model(spec, scaled.model, config.kernel, config.mixer)
    module = SequenceModule(model, config.optimizer, scaled.scheduler)
    return Assembled(spec, source.variant, source.fingerprint, random_data, scaled, splits, module)


def make_trainer(
    config: Config, scaled: Scaled, run_dir: Path, callbacks: list[Callback], logger: list[Logger]
) -> pl.Trainer:
    """The Lightning trainer of a run."""
    return pl.Trainer(
        accelerator=training_device(config.trainer).type,
        devices=config.trainer.devices,
        num_nodes=config.trainer.num_nodes,
        sync_batchnorm=config.trainer.sync_batchnorm and config.trainer.processes > 1,
        precision=config.trainer.precision,
        gradient_clip_val=config.optimizer.clip_norm,
        max_epochs=scaled.epochs,
        accumulate_grad_batches=scaled.parts,
        callbacks=callbacks,
        logger=logger,
        plugins=[WholeFiles(config.run_id())],
        default_root_dir=run_dir,
        log_every_n_steps=min(50, scaled.steps_per_epoch),
        num_sanity_val_steps=0,
        enable_model_summary=False,
        enable_progress_bar=False,
        use_distributed_sampler=False,
    )


def check_processes(config: Config, scaled: Scaled) -> None:
    """Raise UserError if the processes cannot share the BatchNorm statistics of a batch."""
    trainer = config.trainer
    on_cpu = training_device(trainer).type == "cpu"
    if trainer.processes > 1 and on_cpu and trainer.sync_batchnorm and scaled.model.get("norm") == "batch":
        raise UserError(
            "PyTorch cannot share BatchNorm statistics between processes on CPUs. trainer.sync_batchnorm=false lets "
            "each process use those of its part of the batch, which is another model than the recipe's."
        )
