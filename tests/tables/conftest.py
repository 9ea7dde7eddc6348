from pathlib import Path

import pytest
from factory import make_record

from lra import paths
from lra.studies.schema import load_study
from lra.tables.select import build

GOLDEN = Path(__file__).parents[1] / "golden" / "tables"


@pytest.fixture
def golden(monkeypatch):
    """The folder of expected outputs, whose study and reported numbers are the only ones."""
    monkeypatch.setattr(paths, "STUDIES_DIR", GOLDEN / "experiments")
    monkeypatch.setattr(paths, "REPORTED_DIR", GOLDEN / "reported")
    return GOLDEN


@pytest.fixture
def records():
    """One record or more for every status a cell can have."""
    lin, inv = {"kernel.init": "lin"}, {"kernel.init": "inv"}
    failed = {"value": None, "status": "failed", "reason": "diverged: the loss is not finite"}
    return [
        *(make_record(value=v, seed=s) for s, v in enumerate([0.602, 0.611, 0.598])),
        make_record(value=0.36, kind="demo", fraction=0.021, reasons=["2 of 8 layers", "5 of 40 epochs"]),
        make_record(value=0.61, variant="standin"),
        make_record("lra/pathx-s4d", 0.9213, chance=0.5, n_test=20000),
        make_record(value=0.55, changes=lin),
        make_record(changes=lin, seed=1, done=0.4, **failed),
        make_record("lra/pathx-s4d", 0.501, chance=0.5, n_test=20000, changes=lin),
        make_record(value=None, status="interrupted", done=0.37, best_val=0.514, changes=inv),
        make_record("lra/image-s4d", 0.88),
    ]


@pytest.fixture
def table(golden, records):
    return build(load_study("fixture"), records)
