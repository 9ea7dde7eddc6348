"""Errors meant for the person at the terminal, not for a stack trace."""

from __future__ import annotations

import difflib
import signal
from collections.abc import Iterable

TIMED_OUT = 124


class UserError(Exception):
    """Something the user can fix. The message says what is wrong, the value, what is allowed and what to do."""


class Interrupted(BaseException):
    """The process was asked to stop; `signum` says by which signal, None by its time limit."""

    def __init__(self, signum: int | None) -> None:
        super().__init__("time limit" if signum is None else signal.Signals(signum).name)
        self.signum = signum

    @property
    def exit_status(self) -> int:
        """As shells and timeout(1) have it."""
        return TIMED_OUT if self.signum is None else 128 + self.signum


def in_a_line(error: Exception) -> str:
    """The first line of what an error says, after its kind."""
    return f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"


def closest(value: str, allowed: Iterable[str]) -> list[str]:
    """The allowed values that look like `value`, the best first."""
    return difflib.get_close_matches(value, list(allowed), n=3, cutoff=0.5)


def near(value: str, allowed: Iterable[str]) -> str:
    """A hint ` Did you mean 'x' or 'y'?` for the allowed values closest to `value`; empty when none is close."""
    matches = closest(value, allowed)
    return f" Did you mean {' or '.join(map(repr, matches))}?" if matches else ""


def choose(what: str, value, allowed: Iterable):
    """Return `value` if it is one of `allowed`; raise UserError naming the allowed values otherwise."""
    allowed = list(allowed)
    if value in allowed:
        return value
    listing = ", ".join(str(a) for a in allowed)
    raise UserError(f"{what} is {value!r}; allowed: {listing}.{near(str(value), map(str, allowed))}")


def key_value(text: str, example: str) -> tuple[str, str]:
    """The two sides of `key=value`; raise UserError, with an example, for a text without `=`."""
    key, equals, value = text.partition("=")
    if not equals:
        raise UserError(f"{text!r}: options are given as key=value, such as {example}.")
    return key, value
