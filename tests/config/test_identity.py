"""Committed records stay the records of their commands, whatever options have come since."""

import pytest

from lra import history
from lra.composition import compose
from lra.config import Config
from lra.paths import workspace
from lra.records import store

RECORDS, PROBLEMS = store.load_all(workspace() / "results")
SUPERSEDED = {"d40670edafe6"}  # its recipe has another learning rate since


def test_records_are_readable():
    assert RECORDS
    assert not PROBLEMS


@pytest.mark.parametrize("record", [r for r in RECORDS if r.run_id not in SUPERSEDED], ids=lambda record: record.run_id)
def test_a_committed_run_is_found_by_its_command(record):
    config = Config.parse(compose(record.identity.overrides))
    assert config.run_id() == record.run_id
    assert config.identity() == history.completed(record.config)
