"""Composition of configurations: Hydra's, and what it does not do: another part in a paper's recipe.

A recipe writes the options of its own kernel, mixer and model. Another one put into it (`kernel=…`, `mixer=…`,
`model=…`) keeps the recipe's frame and `FRAME` of the part's options, and has its own for the rest.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, cast

from lra.errors import UserError, near
from lra.files import listed
from lra.nodes import CONVOLUTION, names_of, takes, target
from lra.paths import CONFIG_DIR, config_dirs

if TYPE_CHECKING:
    from omegaconf import DictConfig

# The parts of a recipe that can be swapped, and their options that mean the same in every class that has them.
FRAME = {
    "scheduler": (),
    "kernel": ("state_size", "dt_min", "dt_max"),
    "mixer": (),
    "model": (
        *("layers", "features", "channels", "norm", "norm_momentum", "prenorm", "dropout", "tie_dropout"),
        *("mixing", "bidirectional", "mask_padding", "conventions", "pooling"),
    ),
}
# What configs/recipe says of models that have these options; others do without.
FAMILY = ("mixing", "bidirectional", "mask_padding", "conventions")
UNQUOTED = re.compile(r"[A-Za-z_/][A-Za-z0-9_/.-]*")  # a text that Hydra reads as one without quotes,
WORDS = ("null", "true", "false", "inf", "nan")  # unless it is one of these


def compose(overrides: Sequence[str]) -> dict[str, Any]:
    """Compose `configs/train.yaml` with overrides, as the command line does, into plain containers.

    Raises UserError for a part that nothing uses.
    """
    return with_swaps(plain(overrides), overrides)[0]


def with_swaps(composed: Mapping[str, Any], overrides: Sequence[str]) -> tuple[dict[str, Any], list[str]]:
    """What Hydra composed from overrides, with the parts that they chose in place of the recipe's.

    Also a sentence for each such part, which says where its options come from. Raises UserError for a part that
    nothing uses.
    """
    tree, notes = copy.deepcopy(dict(composed)), []
    _check_names(overrides)
    typed = [text.lstrip("+~").partition("=")[0] for text in overrides]
    chosen = {text.partition("=")[0]: text.partition("=")[2] for text in overrides}
    chosen = {part: chosen[part] for part in FRAME if part in chosen}
    if chosen:
        own = tuple(f"{part}." for part in chosen)
        rest = [
            text for text, key in zip(overrides, typed, strict=True) if key not in chosen and not key.startswith(own)
        ]
        recipe, names = _hydra(rest)
        for part, name in chosen.items():
            if name != names[part]:
                tree[part], note = _swapped(part, name, recipe[part], tree[part], typed)
                notes.append(note)
    _drop_unused(tree, typed)
    return tree, notes


def _check_names(overrides: Sequence[str]) -> None:
    """Raise UserError for a recipe by another name than its own, under which its record would be lost."""
    for text in overrides:
        key, _, value = text.partition("=")
        name = value.strip("'\"")
        odd = name.startswith("[") or name.endswith(".yaml") or {"", ".", ".."} & set(name.split("/"))
        if key.lstrip("+") == "experiment" and odd:
            raise UserError(f"{text}: name one recipe as --help lists it.{near(name, experiments())}")


def _swapped(
    part: str, name: str, recipe: Mapping[str, Any], composed: Mapping[str, Any], typed: Sequence[str]
) -> tuple[dict[str, Any], str]:
    """The part `name` with its own options, the recipe's where `FRAME` says so, and those that were typed."""
    node = plain([f"{part}={name}"])[part]
    kept = {key: recipe[key] for key in FRAME[part] if key in recipe and key in node}
    node |= kept
    for key in typed:
        if key.startswith(f"{part}."):
            _copy(composed, node, key.split(".")[1:])
    shown = ", ".join(f"{key}={value}" for key, value in kept.items())
    options = f"of its options the recipe's are: {shown}" if kept else "its options are its own, none is the recipe's"
    return node, f"{part}={name} in place of the recipe's {part}; {options}"


def _copy(source: Mapping[str, Any], into: dict[str, Any], path: Sequence[str]) -> None:
    """Copy the value at a path of keys from one tree to the other."""
    first, *rest = path
    if rest and isinstance(into.get(first), dict):
        _copy(source[first], into[first], rest)
    elif first in source:
        into[first] = source[first]
    else:  # ~deleted
        into.pop(first, None)


def _drop_unused(tree: dict[str, Any], typed: Sequence[str]) -> None:
    """Empty the kernel and the mixer where the model has none. Raises UserError if one of them was asked for."""
    if gone := [part for part in FRAME if part not in tree]:
        raise UserError(f"~{gone[0]} leaves no {gone[0]}; a run has one of each: {', '.join(FRAME)}.")
    model = target(tree["model"]).__name__
    for key in FAMILY:
        if key not in names_of(tree["model"]) and f"model.{key}" not in typed:
            tree["model"].pop(key, None)
    if not takes(tree["model"], "mixer"):
        _refuse("mixer", typed, f"{model} has no mixer to choose. Add model=ssm")
        _refuse("kernel", typed, f"{model} has no kernel. Add model=ssm")
        tree["mixer"], tree["kernel"] = dict(CONVOLUTION), {}
    elif not takes(tree["mixer"], "kernel"):
        mixer = target(tree["mixer"]).__name__
        _refuse("kernel", typed, f"{mixer} has no kernel. Add mixer=convolution")
        tree["kernel"] = {}


def _refuse(part: str, typed: Sequence[str], why: str) -> None:
    if found := [key for key in typed if key == part or key.startswith(f"{part}.")]:
        raise UserError(
            f"{found[0]} changes nothing here: {why}, or take a recipe that has one, such as lra/listops-s4d."
        )


def override(key: str, value: Any) -> str:
    """`key=value` as Hydra's command line reads it: what it reads is the value again."""
    return f"{key}={_typed(value)}"


def _typed(value: Any) -> str:
    if isinstance(value, Mapping):
        return f"{{{','.join(f'{key}:{_typed(item)}' for key, item in value.items())}}}"
    if isinstance(value, list):
        return f"[{','.join(map(_typed, value))}]"
    if isinstance(value, str) and not (UNQUOTED.fullmatch(value) and value.lower() not in WORDS):
        return in_quotes(re.sub(r"(\\*)\$\{", r"\1\1\\${", value))  # as it is: nothing is put in for ${…}
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def in_quotes(text: str) -> str:
    """The text as Hydra reads it whatever signs are in it."""
    text = re.sub(r'(\\*)"', r'\1\1\\"', text)  # a backslash counts only before a quote
    return '"' + re.sub(r"(\\+)\Z", r"\1\1", text) + '"'


def plain(overrides: Sequence[str]) -> dict[str, Any]:
    """Hydra's composition, as it is."""
    return _hydra(overrides)[0]


def _hydra(overrides: Sequence[str]) -> tuple[dict[str, Any], dict[str, str]]:
    """Hydra's composition, and the names chosen for groups. Inside a run, with the run's search path."""
    return copy.deepcopy(_composed(tuple(with_searchpath(overrides)), _edited()))


def _edited() -> tuple[int, ...]:
    """When each file of configurations was edited: what a notebook composes after an edit is another thing."""
    return tuple(path.stat().st_mtime_ns for folder in config_dirs() for path in sorted(folder.rglob("*.yaml")))


@cache
def _composed(overrides: tuple[str, ...], edited: tuple[int, ...]) -> tuple[dict[str, Any], dict[str, str]]:
    from hydra import compose as hydra_compose
    from hydra import initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra
    from omegaconf import open_dict, read_write

    running = GlobalHydra.instance()  # a run is inside Hydra already
    outer, running.hydra = running.hydra, None
    try:
        with initialize_config_dir(str(CONFIG_DIR), version_base="1.3"):
            found = hydra_compose("train", list(overrides), return_hydra_config=True)
    finally:
        running.hydra = outer
    names = dict(found.hydra.runtime.choices)
    with read_write(found), open_dict(found):
        del found["hydra"]
    return as_dict(found, resolve=True), names


def as_dict(config: DictConfig, *, resolve: bool) -> dict[str, Any]:
    """A configuration of OmegaConf as plain data, with its interpolations resolved or as they are written."""
    from omegaconf import OmegaConf

    return cast("dict[str, Any]", OmegaConf.to_container(config, resolve=resolve))


def with_searchpath(overrides: Sequence[str]) -> list[str]:
    """The overrides, with Hydra's option for the configurations of others (`lra.paths.extensions`) unless it is given.

    The names of their folders may have any sign in them. Raises UserError for `${`, which Hydra would replace.
    """
    places = _searchpath()
    if not places or any(text.startswith("hydra.searchpath=") for text in overrides):
        return list(overrides)
    if odd := [place for place in places if "${" in place]:
        raise UserError(f"{odd[0]} has ${{ in its name, which stands for a value in configurations. Rename the folder.")
    return [*overrides, f"hydra.searchpath=[{','.join(map(in_quotes, places))}]"]


def _searchpath() -> list[str]:
    """Folders beside the first of `config_dirs` where configurations are looked for."""
    from hydra.core.hydra_config import HydraConfig

    if HydraConfig.initialized():
        sources = HydraConfig.get().runtime.config_sources
        return [
            f"{source.schema}://{source.path}"
            for source in sources
            if source.provider not in ("main", "hydra", "schema") and source.path
        ]
    return [f"file://{folder}" for folder in config_dirs()[1:]]


def choices(group: str) -> list[str]:
    """The names that can be given to a group of configurations, such as `kernel`."""
    return sorted(
        {
            str(path.relative_to(folder / group).with_suffix(""))
            for folder in config_dirs()
            for path in listed(folder / group, "**/*.yaml")
        }
    )


def experiments() -> list[str]:
    """Names of all recipes, as given to `experiment=`."""
    return choices("experiment")


def flat(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested mappings to dotted keys."""
    leaves: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, Mapping) and value:
            leaves |= flat(value, f"{prefix}{key}.")
        else:
            leaves[f"{prefix}{key}"] = value
    return leaves
