"""Character tokens of Text and Retrieval: Unicode characters, not bytes, as in the S4 and DSS code."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from lra.data.spec import TaskSpec
from lra.data.storage import Prepared, Writer
from lra.data.task import Progress, PublishedTask

SPECIALS = ("<pad>", "<unk>", "<eos>")
PAD, UNKNOWN, EOS = 0, 1, 2
CHUNK = 1000


class CharacterTask(PublishedTask):
    """A task whose vocabulary is what the training texts hold. `published` are its facts in the papers."""

    published: TaskSpec

    @property
    def spec(self) -> TaskSpec:
        return self.published

    def spec_of(self, prepared: Prepared) -> TaskSpec:
        return replace(self.spec, inputs=len(prepared.meta.facts["vocabulary"]))


def count_characters(texts: Sequence[str], max_length: int) -> np.ndarray:
    """How often each code point occurs in the texts, cut to max_length − 1 characters to leave room for <eos>."""
    counts = np.zeros(0x110000, np.int64)
    for start in range(0, len(texts), CHUNK):
        counts += np.bincount(_code_points(texts[start : start + CHUNK], max_length)[0], minlength=len(counts))
    return counts


def vocabulary(counts: np.ndarray, min_freq: int) -> list[str]:
    """The special symbols, then the characters that occur `min_freq` times or more, frequent ones first.

    The order is torchtext's: by falling frequency, equal ones by code point.
    """
    kept = np.flatnonzero(counts >= min_freq)
    return [*SPECIALS, *(chr(c) for c in kept[np.argsort(-counts[kept], kind="stable")])]


def write_tokens(
    writer: Writer, name: str, texts: Sequence[str], symbols: list[str], max_length: int, progress: Progress
) -> None:
    """Write `<name>_tokens` and `<name>_offsets`: every text cut to max_length − 1 characters, then <eos>."""
    index = np.full(0x110000, UNKNOWN, np.min_scalar_type(max(len(symbols) - 1, UNKNOWN)))
    for i, symbol in enumerate(symbols[len(SPECIALS) :], start=len(SPECIALS)):
        index[ord(symbol)] = i
    if index.dtype == np.uint16:
        index = index.astype(np.int32)  # torch knows no arithmetic on uint16
    lengths = np.array([min(len(text), max_length - 1) + 1 for text in texts], np.int64)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    tokens = writer.create(f"{name}_tokens", (int(offsets[-1]),), index.dtype)
    for start in range(0, len(texts), CHUNK):
        chunk = texts[start : start + CHUNK]
        points, ends = _code_points(chunk, max_length)
        tokens[offsets[start] : offsets[start + len(chunk)]] = np.insert(index[points], ends, EOS)
        progress(f"encoding {name}", start + len(chunk), len(texts))
    tokens.flush()
    writer.adopt(f"{name}_tokens")
    writer.save(f"{name}_offsets", offsets)


def _code_points(texts: Sequence[str], max_length: int) -> tuple[np.ndarray, np.ndarray]:
    """The code points of all texts end to end, each cut to max_length − 1, and where each text ends."""
    cut = [text[: max_length - 1] for text in texts]
    points = np.frombuffer("".join(cut).encode("utf-32-le", "surrogatepass"), np.uint32)
    return points, np.cumsum([len(text) for text in cut])
