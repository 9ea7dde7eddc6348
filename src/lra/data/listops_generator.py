"""The ListOps generator of Long Range Arena (Tay et al. 2020; `listops.py` of the LRA repository), compiled.

A tree grows from the root: at a depth below `max_depth` a node is an operator with probability `operator_p`,
with 2 to `max_args` arguments, otherwise a digit. Expressions are kept if `min_length` < length < `max_length`,
counting operators, digits and closing brackets, and if they have not been seen before.

The published generator has no seed; ours draws chunk i of the accepted expressions from (seed, i), so the
result does not depend on the number of threads.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numba
import numpy as np

VERSION = 1
MIN, MAX, MED, SM, CLOSE = 10, 11, 12, 13, 14  # a digit is its own token
SYMBOLS = ("0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "[MIN", "[MAX", "[MED", "[SM", "]")
CHUNK = 1000


@dataclass(frozen=True)
class ListOpsParameters:
    """LRA's parameters; lengths are exclusive bounds."""

    max_depth: int = 10
    max_args: int = 10
    min_length: int = 500
    max_length: int = 2000
    operator_p: float = 0.25


def generate(
    count: int,
    seed: int = 0,
    parameters: ListOpsParameters | None = None,
    threads: int = 2,
    progress: Callable[[int], None] = lambda done: None,
) -> tuple[list[np.ndarray], np.ndarray]:
    """`count` different expressions, token arrays (uint8), and their values (uint8).

    They are a function of the seed and the parameters. `progress` gets the number done.
    """
    p = parameters or ListOpsParameters()

    def chunk(index: int) -> tuple[np.ndarray, np.ndarray]:
        generator = np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, index])))
        return _chunk(generator, CHUNK, p.max_depth, p.max_args, p.min_length, p.max_length, p.operator_p)

    seen: set[bytes] = set()
    kept: list[np.ndarray] = []
    with ThreadPoolExecutor(threads) as pool:
        index = 0
        while len(kept) < count:
            needed = -(-(count - len(kept)) // CHUNK)
            for tokens, lengths in pool.map(chunk, range(index, index + needed)):
                for expression in np.split(tokens, np.cumsum(lengths)[:-1]):
                    digest = hashlib.blake2b(expression.tobytes(), digest_size=16).digest()
                    if digest not in seen and len(kept) < count:
                        seen.add(digest)
                        kept.append(expression)
                progress(len(kept))
            index += needed
    return kept, evaluate(kept)


def evaluate(expressions: list[np.ndarray]) -> np.ndarray:
    """The values (uint8) of well-formed expressions."""
    return _values(np.concatenate(expressions), np.cumsum([0, *map(len, expressions)]))


def to_official(tokens: np.ndarray) -> str:
    """The source text of the official TSV: an operator with k arguments opens k + 1 parentheses, the first of which
    its own bracket closes: `( ( ( [MAX 3 ) 4 ) ] )`."""
    parts: list[str] = []
    operators: list[int] = []  # places of those that are not closed yet
    for token in tokens.tolist():
        if token != CLOSE:
            if token >= MIN:
                operators.append(len(parts))
            parts.append(SYMBOLS[token])
            continue
        first = operators.pop()
        operator, *arguments = parts[first:]
        parts[first:] = [f"{'( ' * (len(arguments) + 1)}{operator} {' ) '.join(arguments)} ) ] )"]
    return parts[0]


@numba.njit(nogil=True, cache=True)
def _chunk(rng, count, max_depth, max_args, min_length, max_length, operator_p):
    """`count` accepted expressions, end to end, and their lengths."""
    tokens = np.empty(count * max_length, np.uint8)
    lengths = np.empty(count, np.int64)
    pending = np.empty(max_depth + 1, np.int64)  # arguments still to come, by depth
    used = 0
    for i in range(count):
        length = 0
        while not min_length < length < max_length:
            length = _tree(rng, tokens[used : used + max_length], pending, max_depth, max_args, operator_p)
        lengths[i] = length
        used += length
    return tokens[:used].copy(), lengths


@numba.njit(nogil=True, cache=True)
def _tree(rng, out, pending, max_depth, max_args, operator_p):
    """Write one random expression in prefix order; its length, or len(out) if it does not fit."""
    depth, length = 1, 0
    while True:
        if depth < max_depth and rng.random() <= operator_p:
            pending[depth] = rng.integers(2, max_args + 1)
            token = MIN + rng.integers(0, 4)
            depth += 1
        else:
            token = rng.integers(0, 10)
        if length == len(out):
            return len(out)
        out[length] = token
        length += 1
        while token < MIN or token == CLOSE:  # an argument is complete
            if depth == 1:
                return length
            pending[depth - 1] -= 1
            if pending[depth - 1] > 0:
                break
            if length == len(out):
                return len(out)
            depth -= 1
            token = CLOSE
            out[length] = CLOSE
            length += 1


@numba.njit(nogil=True, cache=True)
def _values(tokens, offsets):
    """Expression i is tokens[offsets[i]:offsets[i + 1]]. MED is the median rounded down."""
    values = np.empty(len(offsets) - 1, np.uint8)
    for i in range(len(values)):
        stack = np.empty(offsets[i + 1] - offsets[i], np.int64)
        top = 0
        for token in tokens[offsets[i] : offsets[i + 1]]:
            if token != CLOSE:
                stack[top] = token
                top += 1
                continue
            first = top
            while stack[first - 1] < MIN:
                first -= 1
            arguments = stack[first:top]
            operator = stack[first - 1]
            if operator == MIN:
                value = arguments.min()
            elif operator == MAX:
                value = arguments.max()
            elif operator == SM:
                value = arguments.sum() % 10
            else:
                ordered = np.sort(arguments)
                n = len(ordered)
                value = (ordered[(n - 1) // 2] + ordered[n // 2]) // 2
            top = first
            stack[top - 1] = value
        values[i] = stack[0]
    return values
