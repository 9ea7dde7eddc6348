"""Compiled random numbers, a stream for each (seed, index): SplitMix64 (Steele, Lea & Flood 2014)."""

from __future__ import annotations

import numpy as np
from numba import njit

_GAMMA = np.uint64(0x9E3779B97F4A7C15)
_MIX1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX2 = np.uint64(0x94D049BB133111EB)


@njit(cache=True, nogil=True)
def _mix(z):
    """The finaliser of SplitMix64 (Steele, Lea & Flood 2014)."""
    z = (z ^ (z >> np.uint64(30))) * _MIX1
    z = (z ^ (z >> np.uint64(27))) * _MIX2
    return z ^ (z >> np.uint64(31))


@njit(cache=True, nogil=True)
def start(state, seed, index):
    """Put `state` (1,) uint64 at the start of the stream of image `index`."""
    state[0] = _mix(_mix(seed + _GAMMA) ^ _mix(index * _GAMMA + _MIX1))


@njit(cache=True, nogil=True)
def uniform(state):
    """A float64 in [0, 1)."""
    state[0] += _GAMMA
    return (_mix(state[0]) >> np.uint64(11)) * (1.0 / 9007199254740992.0)


@njit(cache=True, nogil=True)
def below(state, n):
    """An integer in [0, n)."""
    return int(uniform(state) * n)


@njit(cache=True, nogil=True)
def choose_margins(seed, first, choice, n_margins):
    """Fill `choice` (count,) with the margin index of each image: the first number of its stream."""
    state = np.empty(1, np.uint64)
    for i in range(choice.shape[0]):
        start(state, seed, np.uint64(first + i))
        choice[i] = below(state, n_margins)
