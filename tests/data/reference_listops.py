"""ListOps as published, written the obvious way: nested lists, recursion, statistics.median."""

import random
import statistics

OPERATORS = ("[MIN", "[MAX", "[MED", "[SM")
APPLY = {
    "[MIN": min,
    "[MAX": max,
    "[MED": lambda values: int(statistics.median(values)),
    "[SM": lambda values: sum(values) % 10,
    "[FIRST": lambda values: values[0],  # in NYU's older files only
    "[LAST": lambda values: values[-1],
}


def tree(rng: random.Random, depth: int, max_depth: int, max_args: int) -> int | list:
    """A digit, or a list [operator, argument, …]: operators with probability 1/4 above the greatest depth."""
    if depth < max_depth and rng.random() <= 0.25:
        arguments = [tree(rng, depth + 1, max_depth, max_args) for _ in range(rng.randint(2, max_args))]
        return [rng.choice(OPERATORS), *arguments]
    return rng.randint(0, 9)


def length(node: int | list) -> int:
    """Operators, digits and closing brackets."""
    return 1 if isinstance(node, int) else 2 + sum(length(argument) for argument in node[1:])


def value(node: int | list) -> int:
    return node if isinstance(node, int) else APPLY[node[0]]([value(argument) for argument in node[1:]])


def symbols(node: int | list) -> list[str]:
    """In the order of the text, without parentheses."""
    if isinstance(node, int):
        return [str(node)]
    return [node[0], *(s for argument in node[1:] for s in symbols(argument)), "]"]


def text(node: int | list) -> str:
    """The text of the files: an operator and its arguments are paired one after the other, then with `]`."""
    if isinstance(node, int):
        return str(node)
    pairs = node[0]
    for argument in node[1:]:
        pairs = f"( {pairs} {text(argument)} )"
    return f"( {pairs} ] )"


def parse(source: str) -> int | list:
    """Nested lists from a text, whose parentheses say nothing that the brackets do not."""
    stack: list[list] = [[]]
    for symbol in source.replace("(", " ").replace(")", " ").split():
        if symbol == "]":
            done = stack.pop()
            stack[-1].append(done)
        elif symbol.startswith("["):
            stack.append([symbol])
        else:
            stack[-1].append(int(symbol))
    ((root,),) = stack
    return root


def operators(node: int | list) -> list[tuple[str, int]]:
    """Every operator with its number of arguments."""
    if isinstance(node, int):
        return []
    return [(node[0], len(node) - 1), *(o for argument in node[1:] for o in operators(argument))]
