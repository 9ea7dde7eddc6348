"""What `lra train --help` says, and how a shell completes recipes."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable

from lra.composition import choices, experiments

GROUPS = ("budget", "kernel", "mixer", "model", "recipe", "scheduler", "optimizer", "task", "logger")  # in this order
OPTION = "experiment="


def usage(command: str) -> str:
    """The commands that people want, every recipe in the form in which it is given, and the choices of each group."""
    lines = [
        "Train one recipe of the Long Range Arena harness.",
        "",
        f"  {command} experiment=lra/listops-s4d                  a paper's recipe",
        f"  {command} experiment=lra/listops-s4d budget=demo      minutes on a CPU",
        f"  {command} experiment=lra/listops-s4d kernel.init=lin  with another init",
        f"  {command} experiment=lra/listops-s4d plan=true        what it will take",
        f"  {command} -m experiment=lra/listops-s4d kernel.init=inv,lin seed=0,1",
        "",
        "Recipes:",
        "",
        *(f"  experiment={names}" for names in _braced(experiments())),
        "",
        "Choices:",
        "",
        *(_wrapped(f"  {group}=", names) for group in GROUPS if (names := choices(group))),
        "",
        "Any field can be overridden, such as kernel.dt_max=0.01. All fields:",
        f"  {command} --cfg job",
        "Tab completion in bash:",
        f'  eval "$({command} -sc install=bash)"',
    ]
    return "\n".join(lines)


def completions(line: str) -> list[str] | None:
    """The recipes that complete the last word of a command line; None for words that Hydra completes.

    Hydra's completion ends at the first folder of a group and knows no `experiment=lra/listops-s4d`.
    """
    word = line.rpartition(" ")[2]
    if word.startswith(OPTION):
        return [option for name in experiments() if (option := OPTION + name).startswith(word)]
    return [OPTION] if word and OPTION.startswith(word) else None


def _braced(names: Iterable[str]) -> list[str]:
    """`lra/image-{dss,s4}` for lra/image-dss and lra/image-s4; `lra/image-{a,b}`, `lra/image-{c}` where it is long."""
    groups: dict[str, list[str]] = {}
    for name in names:
        suite, _, recipe = name.rpartition("/")
        task, dash, model = recipe.partition("-")
        start = f"{suite}/{task}-" if dash else f"{suite}/"
        groups.setdefault(start.lstrip("/"), []).append(model if dash else recipe)
    lines = []
    for start, ends in sorted(groups.items()):
        if len(ends) == 1:
            lines.append(start + ends[0])
            continue
        part: list[str] = []
        for end in ends:
            if len("  experiment=" + start + ",".join([*part, end])) > 76:
                lines.append(f"{start}{{{','.join(part)}}}")
                part = []
            part.append(end)
        lines.append(f"{start}{{{','.join(part)}}}")
    return lines


def _wrapped(start: str, names: list[str]) -> str:
    """`  group=a, b, c`, with further lines below the first name."""
    return textwrap.fill(
        ", ".join(names), 80, initial_indent=start, subsequent_indent=" " * len(start), break_on_hyphens=False
    )
