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
DIGITS, MIN, MAX, MED, SM, CLOSE = 0, 10, 11, 12, 13, 14  # a digit is its own token
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


@dataclass(frozen=True)
class Expressions:
    """Expression i is tokens[offsets[i]:offsets[i + 1]] (uint8), with the value values[i] (uint8)."""

    tokens: np.ndarray
    offsets: np.ndarray
    values: np.ndarray

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, i: int) -> np.ndarray:
        return self.tokens[self.offsets[i] : self.offsets[i + 1]]


def generate(
    count: int,
    seed: int = 0,
    parameters: ListOpsParameters | None = None,
    threads: int = 2,
    progress: Callable[[int], None] = lambda done: None,
) -> Expressions:
    """`count` different expressions, a function of the seed and the parameters. `progress` gets the number done."""
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
    return collect(kept)


def collect(expressions: list[np.ndarray]) -> Expressions:
    """Evaluate expressions (uint8 token arrays) and store them end to end."""
    offsets = np.zeros(len(expressions) + 1, np.int64)
    np.cumsum([len(e) for e in expressions], out=offsets[1:])
    tokens = np.concatenate(expressions) if expressions else np.zeros(0, np.uint8)
    return Expressions(tokens, offsets, evaluate(tokens, offsets))


def to_official(tokens: np.ndarray) -> str:
    """The source text of the official TSV: binarised with parentheses, `( ( ( [MAX 3 ) 4 ) ] )`."""
    return _official(np.ascontiguousarray(tokens)).tobytes().decode("ascii")


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
def evaluate(tokens, offsets):
    """Values (uint8) of well-formed expressions stored end to end. MED is the median rounded down."""
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


@numba.njit(cache=True)
def _official(tokens):
    """ASCII of the official source text. An operator with k arguments opens k + 1 parentheses."""
    arguments = np.zeros(len(tokens), np.int64)
    operators = np.empty(len(tokens), np.int64)
    top = 0
    for i, token in enumerate(tokens):
        if token == CLOSE:
            top -= 1
        if top > 0 and (token < MIN or token == CLOSE):
            arguments[operators[top - 1]] += 1
        if MIN <= token < CLOSE:
            operators[top] = i
            top += 1
    names = ("[MIN", "[MAX", "[MED", "[SM")
    out = np.empty(len(tokens) * 10 + 2, np.uint8)
    n = 0
    for i, token in enumerate(tokens):
        if MIN <= token < CLOSE:
            for _ in range(arguments[i] + 1):
                out[n], out[n + 1] = ord("("), ord(" ")
                n += 2
            for letter in names[token - MIN]:
                out[n] = ord(letter)
                n += 1
            out[n] = ord(" ")
            n += 1
            continue
        out[n] = ord("]") if token == CLOSE else ord("0") + token
        out[n + 1] = ord(" ")
        n += 2
        if token == CLOSE:  # this closes the expression's own parenthesis …
            out[n], out[n + 1] = ord(")"), ord(" ")
            n += 2
        if i + 1 < len(tokens):  # … and this that of the argument it is
            out[n], out[n + 1] = ord(")"), ord(" ")
            n += 2
    return out[: n - 1]
