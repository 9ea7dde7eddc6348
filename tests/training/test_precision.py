"""Kernels and convolutions are as precise as float32, whatever is around them."""

import pytest
import torch
from toy import Toy

from lra.composition import compose
from lra.config import Config
from lra.models.build import make_model
from lra.ops.precision import full_precision
from lra.paths import CONFIG_DIR
from lra.training.processes import precision, set_precision
from lra.training.run import run

KERNELS = sorted(path.stem for path in (CONFIG_DIR / "kernel").glob("*.yaml"))


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


def test_tf32_is_off_in_runs_on_cpus(toy):
    torch.set_float32_matmul_precision("high")
    try:
        toy["trainer"]["epochs"] = 1
        toy["trainer"]["tf32"] = True  # for GPUs; here is none
        record = run(toy)
        assert record.compute.precision == "32-true"
        assert torch.get_float32_matmul_precision() == "highest"
    finally:
        torch.set_float32_matmul_precision("highest")


@pytest.mark.parametrize(("tf32", "products", "said"), [(True, "tf32", ", TF32 products"), (False, "ieee", "")])
def test_tf32_is_a_choice_on_gpus(monkeypatch, tf32, products, said):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    trainer = Config.parse(compose([f"trainer.tf32={tf32}"])).trainer
    try:
        set_precision(trainer)
        before = torch.get_float32_matmul_precision()
        assert torch.backends.cuda.matmul.fp32_precision == products
        with full_precision(torch.device("cpu")):
            assert torch.backends.cuda.matmul.fp32_precision == "ieee"
        assert torch.backends.cuda.matmul.fp32_precision == products
        assert torch.get_float32_matmul_precision() == before  # PyTorch's interfaces agree: it would raise
        assert precision(trainer) == f"32-true{said}"
    finally:
        torch.set_float32_matmul_precision("highest")
