"""The ListOps generator against the published algorithm in plain Python, and its evaluator against nested lists."""

import random
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from data.reference_listops import OPERATORS, length, operators, parse, symbols, text, tree, value
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from lra.data.listops_generator import SYMBOLS, ListOpsParameters, evaluate, generate, to_official

SMALL = ListOpsParameters(max_depth=6, max_args=5, min_length=20, max_length=120)
INDEX = {symbol: i for i, symbol in enumerate(SYMBOLS)}
LEAST_P = 1e-3  # seeds are fixed: a test passes always or never


def reference_sample(parameters: ListOpsParameters, count: int, seed: int) -> list[int | list]:
    """Different expressions of the published algorithm, of accepted length."""
    rng, found = random.Random(seed), {}
    while len(found) < count:
        node = tree(rng, 1, parameters.max_depth, parameters.max_args)
        if parameters.min_length < length(node) < parameters.max_length:
            found.setdefault(text(node), node)
    return list(found.values())


def tokens(node: int | list) -> np.ndarray:
    return np.array([INDEX[symbol] for symbol in symbols(node)], np.uint8)


def names(expression: np.ndarray) -> list[str]:
    return [SYMBOLS[token] for token in expression]


@pytest.fixture(scope="module", params=["small", "published"])
def samples(request: pytest.FixtureRequest) -> tuple[ListOpsParameters, list, list]:
    """Parameters, the reference's expressions and ours."""
    parameters, count = (SMALL, 3000) if request.param == "small" else (ListOpsParameters(), 400)
    made, _ = generate(count, 5, parameters, threads=1)
    ours = [parse(" ".join(names(expression))) for expression in made]
    return parameters, reference_sample(parameters, count, 6), ours


def test_lengths_have_the_published_distribution(samples: tuple) -> None:
    parameters, reference, ours = samples
    lengths = [length(node) for node in ours]
    assert parameters.min_length < min(lengths)
    assert max(lengths) < parameters.max_length
    assert stats.ks_2samp(lengths, [length(node) for node in reference]).pvalue > LEAST_P


def test_classes_have_the_published_distribution(samples: tuple) -> None:
    _, reference, ours = samples
    table = [np.bincount([value(node) for node in nodes], minlength=10) for nodes in (reference, ours)]
    assert stats.chi2_contingency(table).pvalue > LEAST_P


def test_operators_and_argument_counts_have_the_published_distribution(samples: tuple) -> None:
    _, reference, ours = samples
    counts = [Counter(o for node in nodes for o in operators(node)) for nodes in (reference, ours)]
    kinds = sorted(set(counts[0]) | set(counts[1]))
    assert {operator for operator, _ in kinds} == set(OPERATORS)
    # Operators of one expression are not independent of each other; a tenth of them nearly are.
    table = [[count[kind] / 10 for kind in kinds] for count in counts]
    assert stats.chi2_contingency(table).pvalue > LEAST_P


def test_root_operators_are_equally_likely() -> None:
    made, _ = generate(4000, 3, SMALL, threads=1)
    roots = Counter(SYMBOLS[expression[0]] for expression in made)
    assert set(roots) == set(OPERATORS)
    assert stats.chisquare([roots[operator] for operator in OPERATORS]).pvalue > LEAST_P


def test_expressions_are_different_and_values_right(samples: tuple) -> None:
    parameters, _, ours = samples
    made, values = generate(len(ours), 5, parameters, threads=1)
    assert len({expression.tobytes() for expression in made}) == len(made)
    assert values.tolist() == [value(node) for node in ours]


def test_result_does_not_depend_on_threads_or_neighbors() -> None:
    one = generate(2500, 9, SMALL, threads=1)
    with ThreadPoolExecutor(2) as pool:  # two generators at once, each with two threads
        others = list(pool.map(lambda _: generate(2500, 9, SMALL, threads=2), range(2)))
    for expressions, values in others:
        assert all(map(np.array_equal, one[0], expressions))
        assert np.array_equal(one[1], values)
    assert not all(map(np.array_equal, one[0], generate(2500, 10, SMALL, threads=1)[0]))


@st.composite
def trees(draw: st.DrawFn) -> int | list:
    leaves = st.integers(0, 9)
    return draw(
        st.recursive(
            leaves,
            lambda inner: st.tuples(st.sampled_from(OPERATORS), st.lists(inner, min_size=1, max_size=6)).map(
                lambda pair: [pair[0], *pair[1]]
            ),
            max_leaves=40,
        )
    )


@settings(max_examples=200, deadline=None)
@given(st.lists(trees(), min_size=1, max_size=5))
def test_evaluator_agrees_with_nested_lists(nodes: list) -> None:
    assert evaluate([tokens(node) for node in nodes]).tolist() == [value(node) for node in nodes]


@settings(max_examples=100, deadline=None)
@given(trees())
def test_official_text_agrees_with_nested_lists(node: int | list) -> None:
    assert to_official(tokens(node)) == text(node)
    assert parse(text(node)) == node


def test_real_labels() -> None:
    """Expressions of NYU's published test set (nyu-mll/spinn, test_d20s; MIT-style license)."""
    lines = (Path(__file__).parent / "listops_nyu.tsv").read_text().splitlines()
    labels, sources = zip(*(line.split("\t") for line in lines), strict=True)
    assert len(lines) == 48
    nodes = [parse(source) for source in sources]
    assert [text(node) for node in nodes] == list(sources)
    assert evaluate([tokens(node) for node in nodes]).tolist() == [int(label) for label in labels]
    assert [value(node) for node in nodes] == [int(label) for label in labels]


def test_all_real_labels(real: Path) -> None:
    """All 50 500 expressions of NYU; the compiled evaluator knows no FIRST and LAST, the nested lists do."""
    import gzip

    with gzip.open(real / "listops_nyu.tsv.gz", "rt") as file:
        rows = [line.rstrip("\n").split("\t") for line in file][1:]
    nodes = [parse(source) for _, _, source in rows]
    labels = np.array([int(label) for _, label, _ in rows])
    assert len(rows) == 50_500
    assert np.array_equal([value(node) for node in nodes], labels)
    ours = [i for i, (_, _, source) in enumerate(rows) if "[FIRST" not in source and "[LAST" not in source]
    assert len(ours) > 10_000
    assert np.array_equal(evaluate([tokens(nodes[i]) for i in ours]), labels[ours])
