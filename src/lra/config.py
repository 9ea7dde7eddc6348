"""The typed form of a composed configuration, and everything that is derived from it.

Hydra composes YAML; the models below check it: every field is known, typed and within bounds. Nodes with a
`_target_` (task, kernel, mixer, model) are checked against the signature of the class they name (`lra.nodes`), so
that a new kernel or mixer needs no edit here.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from lra import history
from lra.bounds import Count, Duration, Seed, Steps
from lra.composition import compose, flat
from lra.errors import UserError, closest, near
from lra.nodes import check_nodes, not_valid
from lra.options import sentence
from lra.paths import workspace
from lra.plausible import implausible, located
from lra.records.schema import Source
from lra.vocabulary import BudgetKind

NODES = ("task", "kernel", "mixer", "model")

# Keys that do not change what is computed: not part of a run's identity.
NEUTRAL = ("logger", "data_dir", "output_dir", "results_dir", "force", "plan", "source", "expected")
NEUTRAL_TRAINER = (
    "accelerator",
    "devices",
    "num_nodes",
    "tf32",
    "cuda_graphs",
    "micro_batch",
    "data_on_device",
    "checkpoint_minutes",
    "time_limit",
)


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


Beta = Annotated[float, Field(ge=0, lt=1)]


class Optimizer(Strict):
    """AdamW. `lr` and `weight_decay` hold for every parameter without a rule of its own."""

    lr: float = Field(gt=0)
    weight_decay: float = Field(ge=0)
    decay_norms_and_biases: bool  # of the backbone; see lra.training.optim
    betas: tuple[Beta, Beta] = Field(default=(0.9, 0.999), strict=False)  # YAML has lists
    clip_norm: float | None = Field(default=None, gt=0)  # of the gradient of all parameters together


class Cosine(Strict):
    """Linear warm-up, then half a cosine down to `min_lr` at `total_steps`; both counted in optimizer steps."""

    name: Literal["cosine"]
    warmup_steps: Steps
    total_steps: Steps = Field(gt=0)
    min_lr: float = Field(default=0.0, ge=0)


class Linear(Strict):
    """Linear warm-up, then linearly down to zero at `total_steps`, and zero from then on."""

    name: Literal["linear"]
    warmup_steps: Steps
    total_steps: Steps = Field(gt=0)


class Constant(Strict):
    """Linear warm-up, then constant."""

    name: Literal["constant"]
    warmup_steps: Steps


class Plateau(Strict):
    """Constant rate, multiplied by `factor` when the validation metric has not improved for `patience` epochs."""

    name: Literal["plateau"]
    factor: float = Field(gt=0, lt=1)
    patience: Steps


class MultiStep(Strict):
    """Constant rate, multiplied by `factor` at each milestone; milestones are epochs, once scaled, steps."""

    name: Literal["multistep"]
    factor: float = Field(gt=0, lt=1)
    milestones: list[Steps] = Field(min_length=1)


class InverseSqrt(Strict):
    """Linear warm-up to lr / √warmup_steps, then lr / √step (the Transformers of Long Range Arena)."""

    name: Literal["inverse_sqrt"]
    warmup_steps: Steps = Field(gt=0)


class S5Cosine(Strict):
    """The schedule of the S5 code, with what its authors did not intend and their results depend on.

    Linear warm-up, then half a cosine to zero. The steps of the cosine are counted from the start of the warm-up, so
    that it is over `warmup` early and the rest trains at a rate of zero; and each rate comes a step late, the first
    step having the whole rate. `warmup` and `cosine` are epochs, once scaled, steps.
    """

    name: Literal["s5"]
    warmup: Steps
    cosine: Steps = Field(gt=0)


Scheduler = Cosine | Linear | Constant | Plateau | MultiStep | InverseSqrt | S5Cosine


class Trainer(Strict):
    epochs: int = Field(gt=0, le=10**6)
    batch_size: Count
    accelerator: Literal["auto", "cpu", "gpu"]
    devices: int = Field(gt=0, le=1000)  # processes a node; they share the batch
    num_nodes: int = Field(gt=0, le=10_000)
    sync_batchnorm: bool
    precision: Literal["32-true", "64-true"]
    tf32: bool
    cuda_graphs: bool
    micro_batch: Count | None
    data_on_device: bool
    checkpoint_minutes: float = Field(ge=0, le=10**6)
    time_limit: Duration | None  # seconds, once parsed

    @property
    def processes(self) -> int:
        """Processes that train together."""
        return self.devices * self.num_nodes


class Budget(Strict):
    """The only way to shorten a run. Every field but `kind` is a cut: null leaves the recipe as it is."""

    kind: BudgetKind
    epochs: Steps | None = Field(gt=0)
    train_samples: Steps | None = Field(gt=0)
    train_length: Steps | None = Field(gt=0)  # only training samples of at most so many positions
    val_samples: Steps | None = Field(gt=0)
    test_samples: Steps | None = Field(gt=0)
    batch_size: Steps | None = Field(gt=0)
    layers: Steps | None = Field(gt=0)
    features: Steps | None = Field(gt=0)

    @model_validator(mode="after")
    def _cuts_fit_kind(self) -> Budget:
        cuts = self.model_dump(exclude={"kind"}, exclude_none=True)
        if self.kind == "paper" and cuts:
            raise ValueError(
                f"budget=paper is the recipe without cuts, but {', '.join(cuts)} is set; use budget=reduced"
            )
        if self.kind == "reduced" and not cuts:
            fields = ", ".join(f"budget.{name}" for name in type(self).model_fields if name != "kind")
            raise ValueError(f"budget=reduced needs at least one cut, such as budget.epochs=5; fields: {fields}")
        return self


class Expected(Strict):
    """A published point of the learning curve: the validation metric (in percent) at the end of an epoch."""

    epoch: int = Field(gt=0)
    val: float


class Config(Strict):
    """One run."""

    seed: Seed
    task: dict[str, Any]
    kernel: dict[str, Any]  # empty for models and mixers without one
    mixer: dict[str, Any]
    model: dict[str, Any]
    optimizer: Optimizer
    scheduler: Scheduler = Field(discriminator="name")
    trainer: Trainer
    budget: Budget
    source: Source | None
    expected: list[Expected]
    logger: dict[str, Any]
    data_dir: Path = Field(strict=False)
    output_dir: Path = Field(strict=False)
    results_dir: Path = Field(strict=False)
    force: bool  # run again although a finished record exists
    plan: bool  # measure and estimate, do not run

    @classmethod
    def parse(cls, composed: Mapping[str, Any]) -> Config:
        """Check a composed configuration (plain containers). Raises UserError listing everything wrong."""
        if problems := list(implausible(composed)):
            raise UserError(not_valid(problems))
        try:
            config = cls.model_validate(composed)
        except ValidationError as error:
            raise UserError(not_valid(_problems(error, composed))) from None
        check_nodes({name: getattr(config, name) for name in NODES})
        located("task.path", str(config.task.get("path") or ""))
        folders = ("data_dir", "output_dir", "results_dir")
        return config.model_copy(update={key: workspace() / located(key, getattr(config, key)) for key in folders})

    def identity(self) -> dict[str, Any]:
        """What decides the result: the configuration without paths, loggers and devices."""
        kept = self.model_dump(mode="json", exclude=set(NEUTRAL))
        kept["trainer"] = {k: v for k, v in kept["trainer"].items() if k not in NEUTRAL_TRAINER}
        return kept

    def run_id(self) -> str:
        """First 12 hex digits of the sha256 of the canonical identity."""
        text = json.dumps(history.shortened(self.identity()), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:12]


def changes(config: Config, experiment: str | None) -> dict[str, Any]:
    """Dotted keys whose values differ from the recipe's own.

    Not changes: the seed, the budget, and where the data is read from (the record's `data` says what it was).
    """
    base = Config.parse(compose([f"experiment={experiment}"] if experiment else []))
    ours, recipe = flat(config.identity()), flat(base.identity())
    parts = [part for part in (*NODES, "scheduler") if getattr(config, part)]
    other = tuple(f"{part}." for part in parts if _kind(ours, part) != _kind(recipe, part))
    return {
        key: ours.get(key)
        for key in sorted(ours.keys() | recipe.keys())
        if ours.get(key) != recipe.get(key)
        and key != "seed"
        and not is_data_place(key)
        and not key.startswith("budget.")
        and (key in ours or not key.startswith(other))  # options of a class that is not there are no changes
    }


def is_data_place(key: str) -> bool:
    """Whether a dotted key says where data are read from; what they are stands in a record's `data`."""
    return key in ("task.path", "task.source")


def _kind(options: Mapping[str, Any], part: str) -> Any:
    """Which class or schedule a part of a configuration is."""
    return options.get(f"{part}._target_", options.get(f"{part}.name"))


def _key(loc: Sequence[str | int]) -> str:
    """The option that pydantic means, which puts the name of the schedule between `scheduler` and its options."""
    parts = [str(part) for part in loc]
    return ".".join(parts[:1] + parts[2:] if parts[0] == "scheduler" and len(parts) > 2 else parts)


def _problems(error: ValidationError, composed: Mapping[str, Any]) -> Iterator[str]:
    problems = [(problem, _key(problem["loc"])) for problem in error.errors()]
    refused = {key for problem, key in problems if problem["type"] == "extra_forbidden"}
    known = [key for key in flat(composed) if key not in refused]
    for problem, key in problems:
        if key in refused:
            yield f"{key}: no such option.{near(key, closest(key, known)[:1])}"
        elif problem["type"] == "union_tag_not_found":
            yield f"{key}: is missing; choose one, such as {key}=cosine"
        else:
            yield sentence(key, problem)
