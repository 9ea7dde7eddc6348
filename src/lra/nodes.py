"""Configuration nodes that name a class: `_target_` and the options of its constructor.

There is no registry: any importable class will do, and its signature says which options it takes.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from pydantic import TypeAdapter

from lra.errors import UserError, near
from lra.options import option_types
from lra.options import problems as option_problems
from lra.vocabulary import Pooling

# What a node of each name must be where it comes from a file that someone else may have written.
PROTOCOLS = {
    "task": "lra.data.task.Task",
    "kernel": "lra.kernels.base.Kernel",
    "mixer": "lra.mixers.base.SequenceMixer",
    "model": "lra.models.backbone.Backbone",
}
SIZES = ("layers", "features")  # of every model, which budgets cut
OPTIONAL = ("kernel", "mixer")  # models without one have {}
CONVOLUTION = {"_target_": "lra.mixers.convolution.Convolution"}  # the mixer of every kernel


def target(node: Mapping[str, Any]) -> type:
    """The class that a node's `_target_` names. Raises UserError if there is none."""
    from hydra.utils import get_class

    name = node.get("_target_")
    if not isinstance(name, str):
        raise UserError(
            f"A task, kernel, mixer or model needs the name of a class as _target_, but this has none: {dict(node)}."
        )
    try:
        return get_class(name)
    except Exception as error:  # whatever the import of a module raises
        raise UserError(f"_target_: {name} cannot be imported: {error}") from error


def options(node: Mapping[str, Any]) -> dict[str, Any]:
    """A node's options, without Hydra's own keys."""
    return {key: value for key, value in node.items() if not key.startswith("_")}


def factory(node: Mapping[str, Any]) -> partial:
    """The class of a node with its options bound; call it with what remains."""
    return partial(target(node), **options(node))


def kernel_factory(node: Mapping[str, Any], max_length: int) -> partial:
    """The class of a kernel with its options bound; a `length` that the options leave open is `max_length`."""
    open_length = {"length": max_length} if "length" in node and node["length"] is None else {}
    return partial(factory(node), **open_length)


def names_of(node: Mapping[str, Any]) -> list[str]:
    """The options that the class of a node takes."""
    return list(option_types(target(node))[0])


def check_nodes(nodes: Mapping[str, Mapping[str, Any]]) -> None:
    """Raise UserError for options that the classes of nodes do not take, or not of this type or size."""
    given = [(name, node) for name, node in nodes.items() if node or name not in OPTIONAL]
    if problems := [p for name, node in given for p in _target_problems(name, node)]:
        raise UserError(not_valid(problems))


def check_foreign(nodes: Mapping[str, Any], allow: Sequence[str]) -> None:
    """Raise UserError unless nodes that came with a file name parts of this package, with options that they take.

    A file must not choose the code that is run: nothing is imported but `lra` and the packages or modules of
    `allow`, only classes of our protocols are accepted, and their options are checked before one is built.
    """
    for name, node in nodes.items():
        if not isinstance(node, dict) or not node:
            if name == "kernel" and node == {}:
                continue
            raise UserError(f"The {name} is {node!r}; expected a _target_ with its options.")
        named = node.get("_target_")
        if not isinstance(named, str) or any("_target_" in tree for tree in _mappings(options(node))):
            raise UserError(f"The {name} must name one class: {node}.")
        if not any(named.startswith(f"{package}.") for package in ("lra", *allow)):
            raise UserError(
                f"The {name} {named} is not part of this package, and no file decides what code is run. If you trust "
                f"its module, allow it by name: {named.partition('.')[0]!r}."
            )
        protocol = target({"_target_": PROTOCOLS[name]})
        if not issubclass(target(node), protocol):
            raise UserError(f"{named} is no {name}: it is not derived from {PROTOCOLS[name]}.")
    check_nodes(nodes)


def _mappings(tree: Any) -> Iterator[Mapping[str, Any]]:
    """All mappings inside plain data."""
    if isinstance(tree, Mapping):
        yield tree
    for item in tree.values() if isinstance(tree, Mapping) else tree if isinstance(tree, (list, tuple)) else ():
        yield from _mappings(item)


def _target_problems(name: str, node: Mapping[str, Any]) -> Iterator[str]:
    from torch import nn

    kind = target(node)
    base = target({"_target_": PROTOCOLS["task"]}) if name == "task" else nn.Module
    if not issubclass(kind, base):
        yield f"{name}._target_: {node['_target_']} is no {base.__name__}"
        return
    types, required = option_types(target(node))
    if name == "model":  # pooling belongs to the head
        types, required = types | {"pooling": TypeAdapter(Pooling)}, [*required, "pooling"]
        missing = [key for key in SIZES if key not in types]
        yield from (f"model._target_: {node['_target_']} does not take {key}, which all models take" for key in missing)
    allowed = list(types)
    yield from (f"{name}.{key}: is missing" for key in required if key not in node)
    for key, value in options(node).items():
        if key in allowed:
            yield from option_problems(types[key], f"{name}.{key}", value)
        else:
            yield f"{name}.{key}: no such option; {name} takes {', '.join(allowed)}.{near(key, allowed)}"


def takes(node: Mapping[str, Any], name: str) -> bool:
    """Whether the class of a node wants `name` from the model, such as `kernel` or `mixer`."""
    return name in inspect.signature(target(node)).parameters


def not_valid(problems: Iterable[str]) -> str:
    """The message for a configuration with these problems."""
    return "The configuration is not valid:\n" + "\n".join(f"  {line}" for line in problems)
