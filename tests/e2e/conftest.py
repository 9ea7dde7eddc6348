"""Prepared ListOps for tests that train it."""

from pathlib import Path

import pytest

from lra.data.listops import ListOps


@pytest.fixture(scope="session")
def listops(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Prepared ListOps, once for all worker processes of the suite."""
    folder = tmp_path_factory.getbasetemp().parent / "prepared"
    ListOps().prepare(folder)
    return folder
