"""Checks of prepared data: bytes, counts, labels, overlap of the splits; and samples to look at."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from lra.data.datasets import BatchDataset, TokenPairs
from lra.data.spec import TaskSpec
from lra.data.storage import Prepared
from lra.data.task import Task
from lra.errors import UserError
from lra.vocabulary import SPLITS

COMPLETE = ("official", "regenerated", "modified")  # variants with the published number of samples
DISJOINT = ("regenerated",)  # official data have their own repeated samples; ours must not
CHUNK = 256
Verdict = Literal["ok", "wrong", "note"]


@dataclass(frozen=True)
class Finding:
    """What one check found. `note` is neither good nor bad: a property of the published data."""

    check: str
    verdict: Verdict
    detail: str


def findings(task: Task, prepared: Prepared) -> Iterator[Finding]:
    """All checks of one prepared set."""
    spec, meta = task.spec_of(prepared), prepared.meta
    try:
        prepared.verify()
        yield Finding("sha256", "ok", f"{len(meta.arrays)} arrays, {meta.bytes / 1e6:,.1f} MB")
    except UserError as error:
        yield Finding("sha256", "wrong", str(error))
        return
    splits: dict[str, BatchDataset] = {split: task.dataset(prepared, split) for split in SPLITS}
    yield _counts(spec, prepared, splits)
    for split, data in splits.items():
        yield _targets(spec, split, data.y)
    yield _overlap(spec, prepared, splits)


def draw(task: Task, prepared: Prepared, path: Path) -> None:
    """Draw test samples: images as images, other features as curves, tokens as text."""
    from matplotlib.figure import Figure

    spec, data = task.spec_of(prepared), task.dataset(prepared, "test")
    rows, columns = (4, 8) if _is_image(spec) else (4, 2)
    batch = data[np.linspace(0, len(data) - 1, min(rows * columns, len(data))).astype(int)]
    figure = Figure(figsize=(2 * columns if _is_image(spec) else 10, 2 * rows), layout="constrained")
    for i, axes in enumerate(figure.subplots(rows, columns).flat[: len(batch.y)]):
        axes.set_axis_off()
        axes.set_title(f"{batch.y[i].item():.4g}", fontsize=8)
        x = batch.x[i].numpy()
        if spec.kind == "tokens":
            words = _text(x, int(batch.lengths[i]), prepared)
            axes.text(0, 1, words, va="top", fontsize=6, family="monospace")
        elif _is_image(spec):
            side = int(spec.max_length**0.5)
            x = (x - x.min()) / (x.max() - x.min())
            axes.imshow(x.reshape(side, side, spec.inputs).squeeze(), cmap="gray")
        else:
            axes.plot(x if spec.inputs < 4 else x.sum(1), linewidth=0.5)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=100)


def _counts(spec: TaskSpec, prepared: Prepared, splits: dict[str, BatchDataset]) -> Finding:
    found = {split: len(data) for split, data in splits.items()}
    detail = ", ".join(f"{split} {n:,}" for split, n in found.items())
    if found != prepared.meta.counts:
        return Finding("counts", "wrong", f"{detail}; meta.json says {prepared.meta.counts}")
    if prepared.meta.variant not in COMPLETE:
        return Finding("counts", "note", f"{detail} ({prepared.meta.variant})")
    if found != dict(spec.splits):
        return Finding("counts", "wrong", f"{detail}; published: {dict(spec.splits)}")
    return Finding("counts", "ok", detail)


def _targets(spec: TaskSpec, split: str, y: np.ndarray) -> Finding:
    if spec.metric == "rmse":
        verdict: Verdict = "ok" if np.isfinite(y).all() else "wrong"
        return Finding(f"{split} targets", verdict, f"mean {y.mean():.3f}, deviation {y.std():.3f}")
    classes = np.bincount(y, minlength=spec.outputs)
    verdict = "ok" if len(classes) == spec.outputs else "wrong"
    share = classes / classes.sum()
    return Finding(f"{split} labels", verdict, f"{spec.outputs} classes, {share.min():.1%} to {share.max():.1%} each")


def _overlap(spec: TaskSpec, prepared: Prepared, splits: dict[str, BatchDataset]) -> Finding:
    """Samples that two splits share, by their content; pairs by their two documents."""
    sets = {}
    for split, data in splits.items():
        if split == "val" and spec.protocol == "test_as_validation":
            continue
        sets[split] = set(_digests(data))
    shared = [
        f"{len(sets[a] & sets[b]):,} in {a} and {b}"
        for a, b in (("train", "val"), ("train", "test"), ("val", "test"))
        if a in sets and b in sets and sets[a] & sets[b]
    ]
    detail = ", ".join(shared) or "no sample in two splits"
    if not shared:
        return Finding("disjoint", "ok", detail)
    return Finding("disjoint", "wrong" if prepared.meta.variant in DISJOINT else "note", detail)


def _digests(data: BatchDataset) -> Iterator[bytes]:
    if isinstance(data, TokenPairs):
        yield from (pair.tobytes() for pair in data.pairs)
        return
    for start in range(0, len(data), CHUNK):
        batch = data[np.arange(start, min(start + CHUNK, len(data)))]
        for x, length in zip(batch.x.numpy(), batch.lengths.tolist(), strict=True):
            yield hashlib.blake2b(x[:length].tobytes(), digest_size=16).digest()


def _is_image(spec: TaskSpec) -> bool:
    return spec.kind == "features" and spec.inputs in (1, 3) and int(spec.max_length**0.5) ** 2 == spec.max_length


def _text(tokens: np.ndarray, length: int, prepared: Prepared) -> str:
    shown, vocabulary = tokens[: min(length, 400)], prepared.meta.facts.get("vocabulary")
    if vocabulary is None:
        text = " ".join(map(str, shown))[:400]
    else:
        symbols = [vocabulary[token] for token in shown]
        text = (" " if "[MIN" in vocabulary else "").join(symbols)[:400].replace("\n", " ")
    text = text.encode("ascii", "replace").decode().replace("$", r"\$")
    return "\n".join(text[i : i + 80] for i in range(0, len(text), 80))
