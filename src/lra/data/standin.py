"""Tiny synthetic data in the shapes of the tasks, for tests and demonstrations, only when asked for by name.

They can be learned in minutes and say nothing about the tasks; their variant is `standin` everywhere.
"""

from __future__ import annotations

import numpy as np

SIZES = {"train": 400, "test": 100}  # where a validation split is held out, it comes from train


def images() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Stripes, (N, 32, 32, 3) uint8: each of ten classes has its direction and width."""
    splits = {}
    place = np.mgrid[:32, :32] / 32
    for stream, (split, n) in enumerate(SIZES.items()):
        rng = np.random.default_rng([0, stream])
        y = rng.integers(0, 10, n)
        angle, frequency = np.pi * (y % 5) / 5, 2 + 3 * (y // 5)
        along = np.cos(angle)[:, None, None] * place[0] + np.sin(angle)[:, None, None] * place[1]
        phase = 2 * np.pi * (frequency[:, None, None] * along + rng.random((n, 1, 1)))
        grey = 128 + 80 * np.sin(phase) + rng.normal(0, 20, (n, 32, 32))
        x = grey[..., None] * np.array([1.0, 0.9, 0.8])
        splits[split] = np.clip(x, 0, 255).astype(np.uint8), y
    return splits


def reviews() -> dict[str, tuple[list[str], np.ndarray]]:
    """Texts of 50 to 250 words, among them a few that tell the class (1: positive)."""
    neutral = "the film was seen by us in a room and its story is of people who walk to town".split()
    telling = (["bad", "dull", "awful"], ["good", "moving", "superb"])
    splits = {}
    for stream, (split, n) in enumerate(SIZES.items()):
        rng = np.random.default_rng([1, stream])
        y = np.arange(n) % 2
        texts = []
        for label in y:
            words = rng.choice(neutral, rng.integers(50, 250))
            words[rng.integers(0, len(words), len(words) // 20 + 1)] = rng.choice(telling[label])
            texts.append(" ".join(words) + ".")
        splits[split] = texts, y
    return splits


def document_pairs() -> tuple[list[str], dict[str, tuple[np.ndarray, np.ndarray]]]:
    """Documents about one of eight topics; pairs of them, 1 if the topic is the same."""
    rng = np.random.default_rng(2)
    words = ["".join(rng.choice(list("abcdefghij"), 5)) for _ in range(80)]
    topic = np.arange(120) % 8
    documents = [" ".join(rng.choice(words[10 * t : 10 * t + 10], 200)) for t in topic]
    splits = {}
    for split, n in {"train": 400, "val": 100, "test": 100}.items():
        y = np.arange(n) % 2
        first = rng.integers(0, len(topic), n)
        second = [
            rng.choice(np.flatnonzero((topic == topic[i]) == bool(label))) for i, label in zip(first, y, strict=True)
        ]
        splits[split] = np.stack([first, second], axis=1), y
    return documents, splits


def clips(classes: int) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Noisy tones, (N, 16000) int16 at 16 kHz: each class has its pitch."""
    time = np.arange(16_000) / 16_000
    splits = {}
    for stream, (split, each) in enumerate({"train": 10, "val": 3, "test": 3}.items()):
        rng, n = np.random.default_rng([3, stream]), each * classes
        y = np.arange(n) % classes
        tone = np.sin(2 * np.pi * (200 + 80 * y[:, None] * rng.uniform(0.98, 1.02, (n, 1))) * time)
        x = 8000 * tone * np.exp(-((time - 0.5) ** 2) / 0.05) + rng.normal(0, 50, (n, len(time)))
        splits[split] = x.astype(np.int16), y
    return splits


def vital_signs(mean: float, spread: float) -> tuple[np.ndarray, np.ndarray]:
    """Two noisy waves, (N, 4000, 2) float32, whose frequency tells the target (N,) float32."""
    n = 200
    rng = np.random.default_rng(4)
    y = rng.normal(mean, spread, n)
    beats = (1 + (y - mean) / (6 * spread))[:, None] * np.arange(4000) / 125 + rng.random((n, 1))
    x = np.stack([0.5 + 0.3 * np.sin(2 * np.pi * beats), np.sin(2 * np.pi * beats) ** 15], axis=2)
    return (x + rng.normal(0, 0.02, x.shape)).astype(np.float32), y.astype(np.float32)
