"""Prepared ListOps for tests that train it."""

import os
from pathlib import Path

import pytest

from lra.data.listops import ListOps


@pytest.fixture(scope="session")
def listops(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Prepared ListOps, once for all worker processes of the suite."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "prepared"
    ListOps().prepare(folder)
    return folder
