"""A day with a GPU, without one: what is run in which order, what is skipped, what is kept."""

import json
import subprocess

import gpu
import pytest
import torch

from lra.errors import UserError
from lra.training import selfcheck


@pytest.fixture
def ran(tmp_path, monkeypatch):
    """Commands in order; those that contain `fails` do."""
    commands = []

    def run(command, **options):
        commands.append(" ".join(command[2:]))
        said = "it says so"
        return subprocess.CompletedProcess(command, int("image-dss" in commands[-1]), said)

    monkeypatch.setattr(gpu.subprocess, "run", run)
    monkeypatch.setattr(gpu, "workspace", lambda: tmp_path)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "NVIDIA Toy 80GB (PCIe)")
    monkeypatch.setattr(selfcheck, "self_check", lambda device, note: note("odd") or {"convolution": 3e-7})
    return commands


def test_everything_once_and_the_study_last(ran, tmp_path):
    assert gpu.main([]) == 0
    folder = tmp_path / "results/gpu/nvidia-toy-80gb-pcie"
    assert json.loads((folder / "self-check.json").read_text())["errors"] == {"convolution": 3e-7}
    assert ran[0].startswith("pytest -q -m gpu")
    assert ran[1:3] == ["kernels --device cuda", "step --device cuda"]
    plans = [command for command in ran if command.endswith("plan=true")]
    assert len(plans) == 9
    assert ran[-1] == "lra study run first-cells"
    assert (folder / "plan-s4d-legs-text.txt").read_text() == "it says so"
    assert not (folder / "plan-dss-softmax-image.txt").exists()
    assert (folder / "plan-dss-softmax-image.failed").exists()

    ran.clear()
    assert gpu.main([]) == 0  # what failed is tried again
    assert ran == [*(plan for plan in plans if "image-dss" in plan), "lra study run first-cells"]


def test_a_time_limit_and_options_go_on_to_the_runs(ran, monkeypatch):
    clock = iter(range(0, 10_000, 50))
    monkeypatch.setattr(gpu.time, "monotonic", lambda: float(next(clock)))
    assert gpu.main(["time_limit=3m"]) == 124
    assert len(ran) == 3  # after which 180 s are over
    ran.clear()
    assert gpu.main(["time_limit=1h", "tf32=true"]) == 0
    assert ran[-1].startswith("lra study run first-cells trainer.tf32=true time_limit=")
    assert ran[-2].endswith("trainer.tf32=true plan=true")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["time_limit=soon"], "time_limit=soon: a duration is"),
        (["timelimit=2h"], "Did you mean 'time_limit'"),
    ],
)
def test_mistakes(ran, arguments, message):
    with pytest.raises(UserError, match=message):
        gpu.main(arguments)


def test_without_a_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UserError, match="needs a CUDA device"):
        gpu.main([])
