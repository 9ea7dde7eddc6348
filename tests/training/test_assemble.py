"""What is put together for a run: the order of the batches that a model is evaluated on."""

import pytest
from toy import SPLITS

from lra.config import Config
from lra.data.task import silent
from lra.models.backbone import Backbone
from lra.training.assemble import assemble
from lra.training.run import run


def val_lengths(toy) -> list[int]:
    return [n for batch in assemble(Config.parse(toy), silent).loader("val") for n in batch.lengths.tolist()]


@pytest.mark.parametrize(
    ("changes", "ordered"),
    [
        ({}, True),
        ({"model": {"mask_padding": False}}, False),  # the direction that reads backwards begins in the padding
        ({"model": {"mask_padding": False, "bidirectional": False}}, True),
        ({"kernel": {"discretization": "dss"}}, False),  # its kernel depends on the length of the batch
    ],
)
def test_sequences_are_evaluated_by_length_where_padding_plays_no_part(toy, changes, ordered):
    for name, values in changes.items():
        toy[name] |= values
    lengths = val_lengths(toy)
    assert len(set(lengths)) > 1
    assert len(lengths) == SPLITS["val"]
    assert (lengths == sorted(lengths, reverse=True)) == ordered


def test_the_order_changes_no_result(toy, monkeypatch):
    ordered = run(toy)
    monkeypatch.setattr(Backbone, "ignores_padding", False)
    as_stored = run(toy | {key: f"{toy[key]}-other" for key in ("output_dir", "results_dir")})
    assert ordered.metrics.test == as_stored.metrics.test
    for ours, theirs in zip(ordered.metrics.curve, as_stored.metrics.curve, strict=True):
        assert ours == pytest.approx(theirs, rel=1e-5)
