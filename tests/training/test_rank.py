"""Which process is the first is known before Lightning is imported, and Lightning agrees."""

import pytest
from lightning_fabric.utilities.rank_zero import _get_rank
from lightning_utilities.core.rank_zero import rank_zero_only

from lra.training.processes import RANK_VARIABLES, is_main


@pytest.mark.parametrize(
    "ranks",
    [
        {},
        {"LOCAL_RANK": "0", "SLURM_PROCID": "3"},
        {"RANK": "2", "LOCAL_RANK": "0"},
        {"SLURM_PROCID": "1"},
        {"JSM_NAMESPACE_RANK": "1"},
    ],
)
def test_lightning_finds_the_same_rank(monkeypatch, ranks):
    for name in RANK_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    for name, value in ranks.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(rank_zero_only, "rank", 0)  # given back after the test
    del rank_zero_only.rank
    assert is_main() == (rank_zero_only.rank == 0) == ((_get_rank() or 0) == 0)
    assert rank_zero_only.rank == (_get_rank() or 0)
