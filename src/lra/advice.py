"""Mistakes on the command line: what is wrong, and the form that works."""

from __future__ import annotations

import argparse
import re
import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from lra.errors import UserError, closest, near
from lra.paths import in_checkout

SEVERAL = re.compile(r"Ambiguous value for argument '(?P<whole>.*)'|Sweep parameters '(?P<sweep>.*)' requires")
UNKNOWN = re.compile(r"Could not override '([^']+)'")
GROUP = "Config group override must be a string or a list"
EXTRAS = {  # of pyproject.toml, by group and the first word of the name
    ("hydra/sweeper", "optuna"): "sweep",
    ("hydra/launcher", "ray"): "ray",
    ("hydra/launcher", "submitit"): "slurm",
}
CLOSING = ("Set the environment variable", "See https://hydra.cc")


def check_flags(arguments: Sequence[str]) -> None:
    """Raise UserError for an option that is given with dashes, as `--lr=0.01`, and for one behind Hydra's flags."""
    from hydra._internal.utils import get_args_parser

    with lazy_help():
        parser = get_args_parser()
        parser.allow_abbrev = False  # --experiment is not --experimental-rerun
        _, unknown = parser.parse_known_args(list(arguments))
    for argument in unknown:
        if not argument.startswith("-"):
            raise UserError(f"{argument} stands behind a flag. Give flags such as -m first, then all options.")
        key, equals, value = argument.lstrip("-").partition("=")
        after = arguments[arguments.index(argument) + 1 :]
        if not equals and after and "=" not in after[0] and not after[0].startswith("-"):
            value = after[0]
        known = _known(arguments)
        same = [k for k in known if key in (k, k.rpartition(".")[2])] or closest(key, known)
        form = " or ".join(f"{k}={value or '…'}" for k in same[:3]) or "key=value"
        raise UserError(f"{argument}: options have no dashes before them. Write {form}.")


@contextmanager
def lazy_help() -> Iterator[None]:
    """Let argparse take a help that is no string: Hydra 1.3.8 has one, and Python 3.14 checks (hydra issue 3121)."""
    check = getattr(argparse.ArgumentParser, "_check_help", None)
    if check is None:
        yield
        return

    def check_strings(parser: argparse.ArgumentParser, action: argparse.Action) -> None:
        if isinstance(action.help, str):
            check(parser, action)

    argparse.ArgumentParser._check_help = check_strings  # type: ignore[attr-defined]  # private
    try:
        yield
    finally:
        del argparse.ArgumentParser._check_help  # type: ignore[attr-defined]  # the inherited one


def advice(error: Exception, arguments: Sequence[str]) -> str:
    """What is wrong with an override, from Hydra's or OmegaConf's error."""
    text = str(error)
    if override := getattr(error, "override", None):
        return _unreadable(override, text)
    if found := SEVERAL.search(text):
        return _several(found["whole"] or found["sweep"])
    if found := UNKNOWN.search(text):
        return f"There is no option {found[1]!r}.{near(found[1], _known(arguments)) or ' See `lra train --help`.'}"
    if GROUP in text:
        return "A group, such as task, kernel or model, takes the name of one of its choices: kernel=s4d, not a value."
    return "\n".join(line for line in text.strip().splitlines() if line and not line.startswith(CLOSING))


def extra(option: str) -> str | None:
    """What to install for a launcher or sweeper such as hydra/sweeper/optuna; None if no extra of ours brings it."""
    group, _, name = option.rpartition("/")
    extra = EXTRAS.get((group, name.partition("_")[0]))
    if extra is None:
        return None
    what = f"-c constraints.txt -e '.[{extra}]'" if in_checkout() else f"'lra[{extra}]'"
    return f"{group}={name} needs a package that is not installed here. Install it: pip install {what}"


def quoted(override: str) -> str:
    """The override as a shell passes it on and Hydra reads it: `'task.path="/my data"'`."""
    from lra.composition import in_quotes

    key, _, value = override.partition("=")
    bare = value.strip("'\"")
    return shlex.quote(f"{key}={in_quotes(bare)}")


def _several(override: str) -> str:
    key, _, value = override.partition("=")
    return (
        f"{override} gives several values. With -m there is a run for each: -m {shlex.quote(override)}. "
        f"For one value with commas in it write {quoted(override)}, for a list {shlex.quote(f'{key}=[{value}]')}."
    )


def _unreadable(override: str, text: str) -> str:
    if "=" not in override and not override.startswith("~"):
        return f"{override!r} is no option. Options are given as key=value, such as experiment=lra/listops-s4d."
    form = quoted(override)
    if _readable(shlex.split(form)[0]):
        return (
            f"{override!r} cannot be read: spaces, brackets, commas, quotes, =, ~ and letters beyond ASCII need quotes "
            f"inside the shell's. Write {form}."
        )
    return f"{override!r} cannot be read: {text.splitlines()[0]}. Options are given as key=value."


def _readable(override: str) -> bool:
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    try:
        OverridesParser.create().parse_overrides([override])
    except HydraException:
        return False
    return True


def _known(arguments: Sequence[str]) -> list[str]:
    """The keys and groups that the chosen experiment has."""
    from lra.composition import experiments, flat, plain

    chosen = [a for a in arguments if a.startswith("experiment=") and a.partition("=")[2] in experiments()]
    composed = plain(chosen[-1:])
    return list(dict.fromkeys([*flat(composed), "experiment", *composed]))
