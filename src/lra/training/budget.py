"""What a budget makes of a recipe: sizes, steps, the stretched schedule, and every cut in words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from lra.config import Config, MultiStep, Plateau, S5Cosine, Scheduler, Trainer
from lra.data.spec import TaskSpec
from lra.errors import UserError


@dataclass(frozen=True)
class Scaled:
    """A recipe as its budget scales it. `fraction` is training samples seen over those of the recipe."""

    epochs: int
    batch_size: int
    train_samples: int
    val_samples: int
    test_samples: int
    model: dict
    scheduler: Scheduler
    steps_per_epoch: int
    parts: int  # of a batch on one device; their gradients are added up
    fraction: float
    reasons: list[str]

    @property
    def steps(self) -> int:
        return self.epochs * self.steps_per_epoch


def scale(config: Config, spec: TaskSpec, counts: dict[str, int], short: int) -> Scaled:
    """Apply `config.budget` to the recipe.

    `counts` are the samples of each prepared split, `short` those of the training split that are not longer
    than the budget's `train_length`. Raises UserError for a batch that cannot be shared or cut as it is wanted.
    """
    cut, reasons = config.budget, []

    def lower(what: str, recipe: int, limit: int | None) -> int:
        if limit is None or limit >= recipe:
            return recipe
        reasons.append(f"{limit:,} of {recipe:,} {what}")
        return limit

    epochs = lower("epochs", config.trainer.epochs, cut.epochs)
    train = lower("training samples", counts["train"], min(short, cut.train_samples or short))
    lower("positions a training sample", spec.max_length, cut.train_length)
    val = lower("validation samples", counts["val"], cut.val_samples)
    test = lower("test samples", counts["test"], cut.test_samples)
    if config.trainer.batch_size > spec.splits["train"]:
        raise UserError(
            f"trainer.batch_size is {config.trainer.batch_size:,}; {spec.name} has {spec.splits['train']:,} training "
            "samples."
        )
    for split, samples in (("validation", val), ("test", test)):
        if samples < config.trainer.processes:
            raise UserError(
                f"The {split} split has {samples} samples, too few for {config.trainer.processes} processes to share "
                f"(trainer.devices={config.trainer.devices}, trainer.num_nodes={config.trainer.num_nodes})."
            )
    batch = min(lower("samples a batch", config.trainer.batch_size, cut.batch_size), train)
    model = dict(config.model)
    for key in ("layers", "features"):
        model[key] = lower(key, model[key], getattr(cut, key))

    steps = train // batch
    if isinstance(config.scheduler, (MultiStep, S5Cosine)):
        stretch = epochs / config.trainer.epochs  # they count in epochs
    else:
        recipe_steps = (spec.splits["train"] // config.trainer.batch_size) * config.trainer.epochs
        stretch = min(1.0, epochs * steps / recipe_steps) if reasons else 1.0
    return Scaled(
        epochs=epochs,
        batch_size=batch,
        train_samples=train,
        val_samples=val,
        test_samples=test,
        model=model,
        scheduler=_stretched(config.scheduler, stretch, steps),
        steps_per_epoch=steps,
        parts=_parts(config.trainer, batch),
        fraction=epochs * train / (config.trainer.epochs * spec.splits["train"]),
        reasons=reasons,
    )


def planned(config: Config, scaled: Scaled) -> dict[str, Any]:
    """The configuration as a record has it: with the model and the schedule that are trained."""
    return config.identity() | {"model": scaled.model, "scheduler": scaled.scheduler.model_dump()}


def _parts(trainer: Trainer, batch: int) -> int:
    """Into how many parts each device cuts its share of a batch."""
    if batch % trainer.processes:
        raise UserError(
            f"A batch of {batch} samples cannot be shared by {trainer.processes} processes "
            f"(trainer.devices={trainer.devices}, trainer.num_nodes={trainer.num_nodes}). Use a number of processes "
            "that divides the batch."
        )
    own = batch // trainer.processes
    at_once = min(trainer.micro_batch or own, own)
    if own % at_once:
        divisors = [str(n) for n in range(1, own) if own % n == 0]
        raise UserError(
            f"trainer.micro_batch={at_once} does not divide the {own} samples of a batch on a device. It can be "
            f"{', '.join(divisors)}."
        )
    return own // at_once


def _stretched(scheduler: Scheduler, stretch: float, steps_per_epoch: int) -> Scheduler:
    """The schedule in the steps of this run: a shorter run goes through the same shape.

    A plateau schedule waits for the validation metric and stays as it is.
    """
    if isinstance(scheduler, Plateau):
        return scheduler
    if isinstance(scheduler, MultiStep):
        steps = [max(1, round(m * stretch * steps_per_epoch)) for m in scheduler.milestones]
        return scheduler.model_copy(update={"milestones": steps})
    if isinstance(scheduler, S5Cosine):
        warmup, cosine = (round(e * stretch * steps_per_epoch) for e in (scheduler.warmup, scheduler.cosine))
        return scheduler.model_copy(update={"warmup": warmup, "cosine": max(1, cosine)})
    lengths = scheduler.model_dump(include={"warmup_steps", "total_steps"})
    return scheduler.model_copy(update={k: max(1, round(v * stretch)) for k, v in lengths.items() if v})
