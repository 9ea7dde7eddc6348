"""Options: their types stand in a constructor's signature, and this is the one place where they are checked.

Configurations are checked before anything is built (`lra.nodes`), constructors that are called from Python by
`checked`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache, wraps
from typing import Any, ParamSpec, TypeVar, get_type_hints

from pydantic import TypeAdapter, ValidationError

from lra.errors import UserError, near

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


def checked(function: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
    """Check the options of a constructor or function, its keyword-only parameters, against their types.

    It then raises UserError for a value that is not allowed.
    """
    name = function.__qualname__.removesuffix(".__init__")

    @wraps(function)
    def check(*arguments: Parameters.args, **given: Parameters.kwargs) -> Result:
        types = own_types(function)
        if found := [p for key in types.keys() & given for p in problems(types[key], key, given[key])]:
            raise UserError("\n".join(f"{name}.{problem}" for problem in sorted(found)))
        return function(*arguments, **given)

    return check


@cache
def own_types(function: Callable) -> dict[str, TypeAdapter]:
    """The options of one function, those of its bases not included, with what they may be."""
    hints = get_type_hints(function, include_extras=True)
    parameters = inspect.signature(function).parameters.values()
    return {p.name: TypeAdapter(hints.get(p.name, Any)) for p in parameters if p.kind is p.KEYWORD_ONLY}


@cache
def option_types(kind: type) -> tuple[dict[str, TypeAdapter], list[str]]:
    """The options of a class, `**options` passed on to its bases included, with what they may be.

    And those without a default.
    """
    types: dict[str, TypeAdapter] = {}
    required: list[str] = []
    for base in kind.__mro__:
        constructor = vars(base).get("__init__")
        if constructor is None:
            continue
        parameters = inspect.signature(constructor).parameters
        for name, adapter in own_types(constructor).items():
            if name not in types:
                types[name] = adapter
                required += [name] if parameters[name].default is inspect.Parameter.empty else []
        if not any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
            break
    return types, required


def problems(adapter: TypeAdapter, key: str, value: Any) -> Iterator[str]:
    """What is wrong with the value of an option, which is named by its dotted key; nothing if it is allowed."""
    try:
        adapter.validate_python(value, strict=True)
    except ValidationError as error:
        found = [(_inside(value, problem["loc"]), problem) for problem in error.errors()]
        path, problem = max(found, key=lambda one: len(one[0]))  # of a union the deepest says most
        yield sentence(".".join([key, *path]), problem)


def sentence(key: str, problem: Mapping[str, Any]) -> str:
    """What pydantic found wrong with the value of a dotted key."""
    value = problem["input"]
    if problem["type"] != "literal_error":
        given = "" if isinstance(value, Mapping) else f" (given: {value!r})"
        return f"{key}: {problem['msg'].removeprefix('Value error, ')}{given}"
    allowed = problem["ctx"]["expected"].replace(" or ", ", ").replace("'", "")
    return f"{key} is {value!r}; allowed: {allowed}.{near(str(value), allowed.split(', '))}"


def _inside(value: Any, location: Iterable[int | str]) -> list[str]:
    """The parts of pydantic's location that are keys and indices of `value`: a union adds names of types."""
    path = []
    for part in location:
        items = dict(enumerate(value)) if isinstance(value, (list, tuple)) else value
        if isinstance(items, Mapping) and part in items:
            value = items[part]
            path.append(str(part))
    return path
