"""The record of a run: one JSON file that says what was run, on what, and what came out.

A record is written when the run starts (`status: running`) and rewritten when it ends, so a crash leaves
evidence. It holds no host name, user name or address.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from lra.vocabulary import BudgetKind, Metric, Protocol, SplitName, Variant

SCHEMA_VERSION: Literal[1] = 1

Status = Literal["running", "complete", "interrupted", "failed"]


def _finite(tree: Any) -> Any:
    """The value, if no number inside it is NaN or infinite."""
    if isinstance(tree, float) and not math.isfinite(tree):
        raise ValueError(f"{tree} is not a finite number")
    if isinstance(tree, (Mapping, list, tuple)):
        for item in tree.values() if isinstance(tree, Mapping) else tree:
            _finite(item)
    return tree


Tree = Annotated[dict[str, Any], AfterValidator(_finite)]  # plain data of any depth


class Model(BaseModel):
    # What is no finite number is no result, and no JSON either.
    model_config = ConfigDict(extra="forbid", validate_assignment=True, allow_inf_nan=False)


class Identity(Model):
    """Which run this is. `experiment` and `changes` decide which table cell it may fill."""

    experiment: str  # the recipe, e.g. "lra/listops-s4d"
    changes: Tree  # dotted config keys that differ from the recipe, e.g. {"kernel.init": "inv"}
    seed: int
    overrides: list[str]  # as typed

    @property
    def changed(self) -> list[str]:
        """The changes as `key=value`; what a part that was taken away had is not listed besides `part={}`."""
        away = tuple(f"{key}." for key, value in self.changes.items() if value == {})
        return [f"{key}={value}" for key, value in self.changes.items() if not key.startswith(away)]


class Source(Model):
    """Where the recipe comes from, as its `source:` block says."""

    paper: str
    arxiv: str
    code: str = ""  # the code version that the recipe follows; records before this field do not say
    table: str
    deviations: list[str] = []

    @property
    def guessed(self) -> bool:
        """Whether a setting is published nowhere: its deviation begins with these words."""
        return any(deviation.startswith("not published") for deviation in self.deviations)


class Split(Model):
    expected: int = Field(ge=1)  # samples in the published split
    used: int = Field(ge=1)


class Data(Model):
    task: str
    variant: Variant
    fingerprint: str
    protocol: Protocol
    splits: dict[SplitName, Split]


class Budget(Model):
    """What was planned and done. `fraction` is training samples seen over the recipe's; 1.0 is the paper's."""

    kind: BudgetKind
    planned_epochs: int
    planned_steps: int
    done_epochs: float
    done_steps: int
    fraction: float = Field(ge=0)
    reasons: list[str]  # every cut, in words; empty for the paper's budget


class Score(Model):
    value: float  # accuracy in [0, 1] or RMSE
    n: int = Field(ge=1)  # samples it was measured on
    # Of test sampling: sqrt(p (1 − p) / n) for an accuracy, from the squared errors for an RMSE. Records of RMSE
    # before this was measured have none.
    standard_error: float | None

    @classmethod
    def of(cls, metric: str, logged: Mapping[str, float]) -> Self:
        """From what a test logs: `test/<metric>`, `test/n` and, for an RMSE, `test/standard_error`."""
        value, n = logged[f"test/{metric}"], round(logged["test/n"])
        if metric == "accuracy":
            return cls(value=value, n=n, standard_error=math.sqrt(value * (1 - value) / n))
        return cls(value=value, n=n, standard_error=logged["test/standard_error"])


class Best(Model):
    value: float
    epoch: int
    step: int


class Metrics(Model):
    name: Metric
    higher_is_better: bool
    chance: float | None  # accuracy of the best constant answer on the test split
    best_val: Best | None = None
    test: Score | None = None  # at the best validation checkpoint, evaluated once
    curve: list[dict[str, float]] = []  # one row an epoch: epoch, step, train_loss, val_loss, val metric, lr

    @model_validator(mode="after")
    def _possible(self) -> Self:
        most = 1.0 if self.name == "accuracy" else math.inf
        for result in (self.best_val, self.test):
            if result is not None and not 0 <= result.value <= most:
                raise ValueError(f"a value of {result.value} is no {self.name}")
        return self


class Selection(Model):
    rule: str  # e.g. "max val/accuracy"
    checkpoint_sha256: str | None = None
    n_test_evaluations: int = Field(default=0, ge=0, le=1)


class Parameters(Model):
    total: int
    trainable: int
    groups: dict[str, int]  # optimizer group -> number of values


class Compute(Model):
    device: str
    n_devices: int
    cpu: str
    n_threads: int
    precision: str
    wall_s: float = 0.0
    train_s: float = 0.0
    steps_per_s: float | None = None  # median after warm-up
    samples_per_s: float | None = None
    data_wait: float | None = None  # share of training time spent waiting for data
    peak_memory_bytes: int | None = None
    reserved_memory_bytes: int | None = None  # of a GPU: what others cannot use
    accumulate: int = 1  # parts that a batch is cut into to fit into memory
    compiled: bool = False  # by torch.compile, which earlier versions offered
    restarts: int = 0
    self_check: dict[str, float] = {}  # on a GPU: each operation's error against its twin, before the first step

    @property
    def hardware(self) -> str:
        """What the run had to itself: 2 cores of a processor, or one GPU."""
        if self.device == "cpu":
            return f"{self.n_threads} {'core' if self.n_threads == 1 else 'cores'} of {self.cpu}"
        return f"{self.n_devices} × {self.device}"


class Code(Model):
    version: str
    git_rev: str | None
    git_unknown: str | None = None  # why there is no revision
    package_sha256: str | None = None  # of modules and recipes, where there is no revision
    dirty: bool
    patch_sha256: str | None = None
    sources: dict[str, str] = {}  # hashes of the model's code, see `records.sources`; records before it have none
    python: str
    platform: str
    packages: dict[str, str]
    command: str

    @model_validator(mode="after")
    def _dirty_needs_patch(self) -> Self:
        if self.dirty and not self.patch_sha256:
            raise ValueError("a record from modified code must name the sha256 of the saved patch")
        return self

    @property
    def label(self) -> str:
        """Short name: the revision, else the package's version and hash."""
        if self.git_rev:
            return self.git_rev[:10] + (" (modified)" if self.dirty else "")
        return f"lra {self.version}, sha256 {self.package_sha256[:10]}" if self.package_sha256 else "unknown"


class Start(Model):
    """An earlier start of a run, on other hardware, with other code or in another precision than the next."""

    hardware: str
    code: str  # its label
    precision: str = ""  # records before this field do not say
    steps: int  # done in all when it ended


class RunRecord(Model):
    schema_version: Literal[1] = SCHEMA_VERSION
    run_id: str = Field(pattern=r"^[0-9a-f]{12}$")
    status: Status
    status_reason: str = ""
    created_utc: str
    finished_utc: str | None = None
    identity: Identity
    source: Source | None
    config: Tree
    data: Data
    budget: Budget
    metrics: Metrics
    selection: Selection
    parameters: Parameters
    compute: Compute
    code: Code
    earlier: list[Start] = []  # in order; compute and code are those of the last start
    health: list[str] = []  # what was said of the run while it ran: on track, at chance, loss rising …

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.budget.done_steps > self.budget.planned_steps:
            raise ValueError("budget.done_steps is greater than budget.planned_steps")
        if self.status == "complete":
            if self.finished_utc is None or self.metrics.test is None or self.metrics.best_val is None:
                raise ValueError("a complete record needs finished_utc, metrics.best_val and metrics.test")
            if self.selection.n_test_evaluations != 1:
                raise ValueError("a complete record has evaluated the test split exactly once")
        if self.budget.kind == "paper" and self.budget.reasons:
            raise ValueError("the paper's budget has no cuts, but reasons are given")
        return self

    @property
    def hardware(self) -> list[str]:
        """All that it ran on, in order."""
        return list(dict.fromkeys([*(start.hardware for start in self.earlier), self.compute.hardware]))

    @property
    def code_labels(self) -> list[str]:
        """All revisions that it ran with, in order."""
        return list(dict.fromkeys([*(start.code for start in self.earlier), self.code.label]))

    def starts(self) -> list[Start]:
        """The starts until now, the last one included; those with one hardware and code are one."""
        last = Start(
            hardware=self.compute.hardware,
            code=self.code.label,
            precision=self.compute.precision,
            steps=self.budget.done_steps,
        )
        if last.steps == (self.earlier[-1].steps if self.earlier else 0):  # it died before its first checkpoint
            return self.earlier
        same = self.earlier and self.earlier[-1].model_copy(update={"steps": last.steps}) == last
        return [*(self.earlier[:-1] if same else self.earlier), last]


class EvaluationRecord(Model):
    """A finished run, tested again: `results/evaluations/<experiment>/<run_id>-<evaluation_id>.json`."""

    schema_version: Literal[1] = SCHEMA_VERSION
    evaluation_id: str = Field(pattern=r"^[0-9a-f]{12}$")
    run_id: str = Field(pattern=r"^[0-9a-f]{12}$")
    experiment: str
    created_utc: str
    changes: dict[str, str]  # e.g. {"task.rate": "2"}; empty: as the run itself was tested
    variant: Variant
    fingerprint: str
    metric: Metric
    test: Score
    checkpoint_sha256: str
    device: str
    precision: str
    code: Code
