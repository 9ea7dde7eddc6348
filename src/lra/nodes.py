"""Configuration nodes that name a class: `_target_` and the options of its constructor.

There is no registry: any importable class will do, and its signature says which options it takes.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache, partial
from typing import Any, get_type_hints

from pydantic import TypeAdapter, ValidationError

from lra.errors import UserError, near

# What a node of each name must be where it comes from a file that someone else may have written.
PROTOCOLS = {
    "task": "lra.data.task.Task",
    "kernel": "lra.kernels.base.Kernel",
    "mixer": "lra.mixers.base.SequenceMixer",
    "model": "lra.models.backbone.Backbone",
}
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
    return list(_option_types(target(node))[0])


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
    for item in (
        tree.values() if isinstance(tree, Mapping) else tree if isinstance(tree, (list, tuple)) else ()
    ):
        yield from _mappings(item)


def _target_problems(name: str, node: Mapping[str, Any]) -> Iterator[str]:
    from torch import nn

    kind, base = target(node), target({"_target_": PROTOCOLS["task"]}) if name == "task" else nn.Module
    if not issubclass(kind, base):
        yield f"{name}._target_: {node['_target_']} is no {base.__name__}"
        return
    types, required = _option_types(target(node))
    if name == "model":  # pooling belongs to the head
        types, required = types | {"pooling": TypeAdapter(str)}, [*required, "pooling"]
    allowed = list(types)
    yield from (f"{name}.{key}: is missing" for key in required if key not in node)
    for key, value in options(node).items():
        if key not in allowed:
            yield f"{name}.{key}: no such option; {name} takes {', '.join(allowed)}.{near(key, allowed)}"
        else:
            try:
                types[key].validate_python(value, strict=True)
            except ValidationError as error:
                found = [(_inside(value, problem["loc"]), problem) for problem in error.errors()]
                path, problem = max(found, key=lambda one: len(one[0]))  # of a union the deepest says most
                yield f"{'.'.join([name, key, *path])}: {problem['msg']} (given: {problem['input']!r})"


def _inside(value: Any, location: Iterable[int | str]) -> list[str]:
    """The parts of pydantic's location that are keys and indices of `value`: a union adds names of types."""
    path = []
    for part in location:
        items = dict(enumerate(value)) if isinstance(value, list) else value
        if isinstance(items, dict) and part in items:
            value = items[part]
            path.append(str(part))
    return path


def takes(node: Mapping[str, Any], name: str) -> bool:
    """Whether the class of a node wants `name` from the model, such as `kernel` or `mixer`."""
    return name in inspect.signature(target(node)).parameters


@cache
def _option_types(kind: type) -> tuple[dict[str, TypeAdapter], list[str]]:
    """The keyword-only options of a class, `**options` passed on to its bases included, with what they may be.

    And those without a default.
    """
    types: dict[str, TypeAdapter] = {}
    required: list[str] = []
    for base in kind.__mro__:
        constructor = vars(base).get("__init__")
        if constructor is None:
            continue
        hints = get_type_hints(constructor, include_extras=True)
        parameters = inspect.signature(constructor).parameters.values()
        for p in parameters:
            if p.kind is p.KEYWORD_ONLY and p.name not in types:
                types[p.name] = TypeAdapter(hints.get(p.name, Any))
                required += [p.name] if p.default is p.empty else []
        if not any(p.kind is p.VAR_KEYWORD for p in parameters):
            break
    return types, required


def not_valid(problems: Iterable[str]) -> str:
    """The message for a configuration with these problems."""
    return "The configuration is not valid:\n" + "\n".join(f"  {line}" for line in problems)
