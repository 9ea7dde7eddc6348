"""What a step moves on a GPU is counted as CUDA's kernels read and write."""

import json
from dataclasses import replace

import pytest
import torch
from benchmarks.step import floor_setting, recipe_setting
from benchmarks.traffic import CARDS, META, Traffic, count, row

from lra.paths import CHECKOUT

MIB = 1 << 20


def counted(work, *shapes, dtype=torch.float32):
    inputs = [torch.empty(shape, dtype=dtype, device=META) for shape in shapes]
    with Traffic() as traffic:
        work(*inputs)
    return traffic


@pytest.mark.parametrize(
    ("work", "moved", "launches"),
    [
        (lambda x: x + 1, 2, 1),
        (lambda x: x.add_(1), 2, 1),
        (lambda x: x.zero_(), 1, 1),
        (lambda x: torch.empty_like(x).copy_(x), 2, 1),
        (lambda x: torch.mul(x, 2, out=torch.empty_like(x)), 2, 1),
        (lambda x: x.view(-1).unsqueeze(0)[..., ::2].mT, 0, 0),  # views move nothing
        (lambda x: torch.empty_like(x), 0, 0),
        (lambda x: x[:0].zero_(), 0, 0),
        (lambda x: x[:1].expand(512, 512) + x, 2 + 1 / 512, 1),  # what is expanded is read once
        (lambda x: torch.fft.rfft(x), 1 + 257 / 256, 1),
        (lambda x: torch.fft.rfft(x, norm="forward"), 1 + 3 * 257 / 256, 2),  # scaled in a pass of its own
        (lambda x: torch.fft.irfft(torch.view_as_complex(x.view(512, 256, 2)), n=510, norm="forward"), 4 - 1 / 256, 2),
        (lambda x: torch.fft.fft(torch.view_as_complex(x.view(512, 256, 2))), 2, 1),  # no copy of the input
    ],
)
def test_bytes_of_an_operation(work, moved, launches):
    traffic = counted(work, (512, 512))  # one mebibyte
    assert traffic.bytes == pytest.approx(moved * MIB)
    assert traffic.launches == launches


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_operations_of_a_product(dtype):
    traffic = counted(torch.matmul, (7, 10, 20), (7, 20, 30), dtype=dtype)
    operations = 2 * 7 * 10 * 20 * 30
    assert (traffic.products, traffic.double) == ((operations, 0) if dtype == torch.float32 else (0, operations))


@pytest.mark.parametrize("kernel", ["s4d", "s4"])
def test_bytes_of_a_step_grow_with_the_batch(kernel):
    setting = floor_setting(kernel, 1024)
    one, two = (count(replace(setting, batch=batch)) for batch in (8, 16))
    assert one.launches == two.launches
    assert 1.2 < two.bytes / one.bytes < 2  # the kernel does not depend on it
    assert (one.double > 0) == (kernel == "s4")


def test_a_layer_of_s4d_moves_no_more_than_it_did():
    """The aim is 80; 129 before the mixing product and the inverse transforms spared copies, 105 before the products
    of spectra in the gradient were one kernel, 95 before real transforms were made of complex ones."""
    found = row(recipe_setting("lra/listops-s4d", None), CARDS["a100"])
    assert 80 < found["signals_a_layer"] < 86
    assert found["memory_seconds"] == found["bytes"] / 2.04e12
    assert found["tf32_seconds"] < found["float32_seconds"]


@pytest.mark.parametrize(
    ("recipe", "aim"),
    [("lra/listops-s4d", 900), ("lra/text-s4d", 900), ("lra/listops-s4", 1800), ("lra/listops-dss", 900)],
)
def test_launches_of_a_step(recipe, aim):
    """The kernels of all layers are generated in one call; 1,093 to 3,084 launches before."""
    assert count(recipe_setting(recipe, None)).launches < aim


@pytest.mark.parametrize("recipe", ["lra/text-s4d", "lra/listops-s4", "lra/text-dss"])
def test_the_committed_counts_are_those_of_todays_code(recipe):
    committed = json.loads((CHECKOUT / "results/benchmarks/bytes-a100.json").read_text(encoding="utf-8"))["rows"]
    (expected,) = (r for r in committed if r["setting"] == recipe)
    found = row(recipe_setting(recipe, None), CARDS["a100"])
    assert [found[key] for key in ("launches", "bytes")] == [expected[key] for key in ("launches", "bytes")]
