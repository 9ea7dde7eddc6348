"""A tiny task for tests of the training code: the class is the first of a sequence of four letters."""

from pathlib import Path

import numpy as np
import torch

from lra.data.datasets import FeatureSequences, TokenSequences
from lra.data.spec import Batch, TaskSpec
from lra.data.storage import Prepared, Store, Writer
from lra.data.task import Progress, Task

SMALL = [  # overrides that make a model for it, trained in seconds
    "model.layers=1",
    "model.features=8",
    "model.norm=layer",
    "kernel.state_size=4",
    "optimizer.weight_decay=0.01",
    "scheduler.warmup_steps=2",
    "scheduler.total_steps=24",
    "trainer.epochs=4",
    "trainer.batch_size=16",
    "trainer.accelerator=cpu",
]
CONF = Path(__file__).parent / "conf"  # has the group task=toy
SPLITS = {"train": 96, "val": 32, "test": 48}


def folders(parent: Path) -> list[str]:
    """Overrides that put everything below `parent`."""
    return [f"data_dir={parent}/data", f"output_dir={parent}/outputs", f"results_dir={parent}/results"]


def batch_for(spec: TaskSpec) -> Batch:
    """Two random samples of a task, of at most 64 positions, without padding."""
    rng = np.random.default_rng(0)
    rows, length = (4 if spec.paired else 2), min(64, spec.max_length)
    if spec.kind == "tokens":
        x = torch.from_numpy(rng.integers(0, spec.inputs, (rows, length)))
    else:
        x = torch.from_numpy(rng.normal(size=(rows, length, spec.inputs)).astype(np.float32))
    y = torch.zeros(2) if spec.metric == "rmse" else torch.tensor([0, spec.outputs - 1])
    return Batch(x, torch.full((rows,), length), y)


class Toy(Task):
    """Sequences of 5 to `max_length` letters; the answer is the first letter."""

    def __init__(self, *, max_length: int = 12) -> None:
        self.max_length = max_length

    @property
    def spec(self) -> TaskSpec:
        return TaskSpec("toy", "tokens", 5, self.max_length, 4, SPLITS)

    def store(self, data_dir: Path) -> Store:
        return Store(data_dir, "toy", 1, "standin", {"max_length": self.max_length})

    def build(self, writer: Writer, progress: Progress) -> None:
        rng = np.random.default_rng(0)
        for split, size in SPLITS.items():
            lengths = rng.integers(5, self.max_length + 1, size)
            tokens = rng.integers(1, 5, lengths.sum()).astype(np.uint8)
            offsets = np.concatenate([[0], np.cumsum(lengths)])
            writer.save(f"{split}_tokens", tokens)
            writer.save(f"{split}_offsets", offsets)
            writer.save(f"{split}_y", tokens[offsets[:-1]] - 1)
            writer.counts[split] = size
            progress("toy", size, size)

    def dataset(self, prepared: Prepared, split: str) -> TokenSequences:
        return TokenSequences(*(prepared.array(f"{split}_{p}") for p in ("tokens", "offsets", "y")))


class Waves(Task):
    """Sine waves of `LENGTH` samples; the answer is which of four frequencies it is."""

    LENGTH = 32

    @property
    def spec(self) -> TaskSpec:
        return TaskSpec("waves", "features", 1, self.LENGTH, 4, SPLITS)

    def store(self, data_dir: Path) -> Store:
        return Store(data_dir, "waves", 1, "standin", {})

    def build(self, writer: Writer, progress: Progress) -> None:
        rng = np.random.default_rng(0)
        for split, size in SPLITS.items():
            y = rng.integers(0, 4, size)
            phase = rng.uniform(0, 2 * np.pi, (size, 1))
            wave = np.sin((y[:, None] + 1) * np.linspace(0, np.pi, self.LENGTH) + phase)
            writer.save(f"{split}_x", wave.astype(np.float32))
            writer.save(f"{split}_y", y)
            writer.counts[split] = size

    def dataset(self, prepared: Prepared, split: str) -> FeatureSequences:
        return FeatureSequences(prepared.array(f"{split}_x"), prepared.array(f"{split}_y"))
