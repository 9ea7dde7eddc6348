"""The edge of the command line: errors become sentences. Imports nothing heavy, so that it answers at once."""

from __future__ import annotations

import os
import signal
import sys
from argparse import ArgumentTypeError
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NoReturn

from lra import environment
from lra.advice import GROUP, advice, extra
from lra.errors import Interrupted, UserError, near


def run(command: Callable[[list[str]], int | None], arguments: list[str]) -> NoReturn:
    """Carry out a command and end with its exit status."""
    environment.configure()
    with explain_errors():
        sys.exit(command(arguments))


def count(text: str) -> int:
    """A number of things on the command line, for argparse."""
    if not text.isdecimal() or int(text) == 0:
        raise ArgumentTypeError(f"{text!r} is no whole number of at least 1")
    return int(text)


def tracebacks() -> bool:
    """Whether the user wants errors as Python shows them."""
    return os.environ.get("LRA_TRACEBACKS") == "1"


@contextmanager
def explain_errors() -> Iterator[None]:
    """Print errors of the user's making as a message and exit with 2; a signal with 128 and its number.

    HYDRA_FULL_ERROR=1 shows tracebacks.
    """
    if tracebacks():
        yield
        return
    try:
        yield
    except (KeyboardInterrupt, Interrupted) as stopped:
        _complain("Interrupted.")
        sys.exit(getattr(stopped, "exit_status", 128 + signal.SIGINT))
    except Exception as error:
        if (message := explanation(error)) is None:
            raise
        _complain(f"error: {message}")
        sys.exit(2)


def _complain(message: str) -> None:
    from lra.terminal import complain

    complain(message)


def explanation(error: Exception) -> str | None:
    """What to tell the user, or None if the error is not of their making."""
    from hydra.errors import HydraException, MissingConfigException
    from omegaconf.errors import OmegaConfBaseException

    if isinstance(error, UserError):
        return str(error)
    if isinstance(error, MissingConfigException):
        return _missing(error)
    foreign = isinstance(error, (HydraException, OmegaConfBaseException))
    if foreign or (isinstance(error, ValueError) and GROUP in str(error)):
        return advice(error, sys.argv[1:])
    if isinstance(error, (TypeError, AttributeError)) and _raised_by_hydra(error):
        return (
            f"Hydra cannot read these options: {error}. A group takes the name of one of its files, such as "
            f"kernel=s4; given: {' '.join(sys.argv[1:])}"
        )
    if isinstance(error, OSError) and error.strerror and not isinstance(error, BrokenPipeError):
        where = f"{error.filename}: " if error.filename else ""
        return f"{where}{error.strerror}. Free some space or fix the folder, or choose another one."
    return None


def _raised_by_hydra(error: Exception) -> bool:
    """Whether an error that Hydra did not foresee comes from its composition, not from code of ours."""
    frame = error.__traceback__
    while frame is not None and frame.tb_next is not None:
        frame = frame.tb_next
    return frame is not None and frame.tb_frame.f_globals.get("__name__", "").startswith("hydra.")


def _missing(error: Exception) -> str:
    """A config that does not exist, e.g. `experiment/lra/listops-s4x`."""
    from lra.composition import choices, experiments

    wanted = str(getattr(error, "missing_cfg_file", "") or "")
    if needed := extra(wanted):
        return needed
    group, _, name = wanted.partition("/")
    if group == "experiment":
        available = experiments()
    else:
        group, _, name = wanted.rpartition("/")
        available = sorted({*choices(group), *(getattr(error, "options", None) or [])})
    if not available:
        return str(error)
    if hint := near(name, available):
        return f"There is no {group} {name!r}.{hint} All: lra train --help"
    return f"There is no {group} {name!r}.\nAvailable: {', '.join(available)}"
