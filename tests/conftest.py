"""Shared fixtures: one thread, no network, a toy configuration."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import torch
import vectors
from toy import SMALL, folders

from lra.composition import compose

hypothesis.settings.register_profile("repeatable", derandomize=True)  # the same examples in every run
hypothesis.settings.load_profile("repeatable")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--kills", type=int, default=4, help="how many runs are killed at random moments")
    for part in ("kernels", "mixers"):
        parser.addoption(
            f"--{part}",
            type=Path,
            action="append",
            default=[],
            metavar="FOLDER",
            help=f"test its {part} as well",
        )


def pytest_xdist_auto_num_workers() -> int:
    """One process more than there are cores, for many tests wait for a process that they start, or for SLURM."""
    return (os.cpu_count() or 1) + 1


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)  # the suite runs in more processes than there are cores


@pytest.fixture(autouse=True)
def _denormals() -> Iterator[None]:
    yield
    torch.set_flush_denormal(False)  # runs switch it on, and hypothesis wants the numbers of IEEE 754


@pytest.fixture(autouse=True)
def _offline(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: socket.socket, address: Any) -> None:
        if self.family == socket.AF_UNIX or str(address[0]) in ("127.0.0.1", "::1", "localhost"):
            return connect(self, address)
        raise AssertionError(f"a test tried to reach {address}")

    connect = socket.socket.connect
    monkeypatch.setattr(socket.socket, "connect", refuse)
    for name in ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE"):
        monkeypatch.setenv(name, "1")
    monkeypatch.setenv("WANDB_MODE", "disabled")


@pytest.fixture(params=["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def device(request: pytest.FixtureRequest) -> str:
    """Each device in turn."""
    if request.param == "cuda" and not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    return request.param


@pytest.fixture
def toy(tmp_path: Path) -> dict[str, Any]:
    """A composed configuration that trains a small S4D on the toy task in seconds."""
    composed = compose([*SMALL, *folders(tmp_path)])
    composed["task"] = {"_target_": "toy.Toy", "max_length": 12}
    return composed


@pytest.fixture(scope="session")
def golden():
    """Golden vectors by the name of their file."""
    return vectors.load
