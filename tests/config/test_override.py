"""What `override` writes, Hydra reads as the same value."""

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import OmegaConf

from lra.composition import compose, override

SIGNS = "\\\"'${}a=,[]() :#/~*?.-1e\n\t"
TEXTS = st.one_of(
    st.text(SIGNS), st.text(), st.sampled_from(["null", "TRUE", "false", "nan", "-inf", "1e-3", "0", "_1"])
)
LEAVES = st.one_of(TEXTS, st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False))
KEYS = st.sampled_from(["A", "B", "dt", "Lambda_real"])
VALUES = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3))


def read(text: str):
    """The value of an override, as it is in a configuration."""
    value = OverridesParser.create().parse_override(text).value()
    return OmegaConf.to_container(OmegaConf.create({"key": value}), resolve=True)["key"]


@given(VALUES)
def test_what_is_written_is_read(value):
    found = read(override("key", value))
    assert found == value
    assert repr(found) == repr(value)  # 1 is not True


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"A": 0.1, "dt": None}, "key={A:0.1,dt:null}"),
        (["legs", "fout"], "key=[legs,fout]"),
        ("/my/data-1.0", "key=/my/data-1.0"),
        ("/a b,c", 'key="/a b,c"'),
        ("0.1", 'key="0.1"'),
        (True, "key=true"),
    ],
)
def test_plain_values_are_written_plainly(value, text):
    assert override("key", value) == text


def test_a_run_has_the_value_that_was_written():
    change = override("kernel.lr", {"A": 0.1, "B": 0.2, "dt": 0.3})
    assert compose(["experiment=lra/listops-s4d", change])["kernel"]["lr"] == {"A": 0.1, "B": 0.2, "dt": 0.3}
    assert compose(["task=listops", override("task.path", "/a b,${c}")])["task"]["path"] == "/a b,${c}"
