"""bfloat16 beside float32, and compiled beside interpreted."""

import copy
import shutil

import pytest
import torch
from toy import Toy

from lra.config import compose
from lra.models.build import make_model
from lra.paths import CONFIG_DIR
from lra.training.run import run

KERNELS = sorted(path.stem for path in (CONFIG_DIR / "kernel").glob("*.yaml"))


def in_folder(composed, name):
    moved = copy.deepcopy(composed)
    return moved | {key: f"{composed[key]}-{name}" for key in ("output_dir", "results_dir")}


@pytest.mark.parametrize("kernel", KERNELS)
def test_kernels_are_float32_under_autocast(kernel):
    composed = compose([f"kernel={kernel}", "model.layers=1", "model.features=4", "kernel.state_size=8"])
    model = make_model(Toy().spec, composed["model"], composed["kernel"])
    module = model.backbone.blocks[0].mixer.kernel
    exact = module(100)
    exact.square().sum().backward()
    grads = [p.grad.clone() for p in module.parameters() if p.grad is not None]
    module.zero_grad()
    with torch.autocast("cpu", torch.bfloat16):
        mixed = module(100)
    mixed.square().sum().backward()
    assert mixed.dtype == torch.float32
    assert torch.equal(mixed, exact)
    assert all(map(torch.equal, grads, [p.grad for p in module.parameters() if p.grad is not None]))


def test_bfloat16_stays_close_to_float32(toy):
    toy["model"] |= {"features": 16, "norm": "batch"}
    exact = run(in_folder(toy, "exact"))
    toy["trainer"]["precision"] = "bf16-mixed"
    mixed = run(in_folder(toy, "mixed"))
    assert mixed.compute.precision == "bf16-mixed"
    for ours, theirs in zip(mixed.metrics.curve, exact.metrics.curve, strict=True):
        assert ours["train_loss"] == pytest.approx(theirs["train_loss"], rel=0.02)
        assert ours["val_loss"] == pytest.approx(theirs["val_loss"], rel=0.02)


def test_tf32_is_off_in_runs(toy):
    torch.set_float32_matmul_precision("high")
    try:
        toy["trainer"]["epochs"] = 1
        run(toy)
        assert torch.get_float32_matmul_precision() == "highest"
        assert not torch.backends.cuda.matmul.allow_tf32
    finally:
        torch.set_float32_matmul_precision("highest")


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler on CPUs")
def test_compiled_equals_interpreted(toy):
    toy["trainer"]["epochs"] = 1
    exact = run(in_folder(toy, "exact"))
    toy["trainer"]["compile"] = True
    compiled = run(in_folder(toy, "compiled"))
    assert compiled.compute.compiled
    assert compiled.run_id == exact.run_id
    for ours, theirs in zip(compiled.metrics.curve, exact.metrics.curve, strict=True):
        assert ours == pytest.approx(theirs, rel=1e-4)
