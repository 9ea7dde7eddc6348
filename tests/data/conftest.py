"""Fixtures of the data tests: real data if their folder is named, no name resolution, a small npz of images."""

import os
import socket
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def real() -> Path:
    """The folder of real data."""
    folder = os.environ.get("LRA_REAL_DATA")
    if not folder:
        pytest.skip("LRA_REAL_DATA does not name a folder with real data")
    return Path(folder)


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Names cannot be resolved, as without a network."""

    def fail(*args: object, **kwargs: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
