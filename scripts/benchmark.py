"""Measure speed and memory against the naive twins; write results/benchmarks/<what>-<device>.json and a table.

    python scripts/benchmark.py kernels              # Vandermonde, matrix powers, long convolution
    python scripts/benchmark.py step                 # whole training steps: the CPU floor's shapes and the recipes'
    python scripts/benchmark.py data                 # batches a second of what is prepared
    python scripts/benchmark.py bytes --card h100    # what a step moves, multiplies and launches on a GPU, counted

Ratios hold between figures of one run on one machine, which should be quiet. Naive twins have PyTorch's own settings.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rich.progress import track

from lra.cli import count, run
from lra.errors import UserError
from lra.paths import workspace
from lra.terminal import Console

CPU_TOKENS = 16384  # positions in a batch of a recipe's step on a CPU
RECIPES = [f"lra/{task}-s4d" for task in ("listops", "text", "retrieval", "image", "pathfinder", "pathx")]
OTHERS = (
    "lra/listops-s4",
    "lra/image-s4",
    "lra/text-s4-original",
    "lra/listops-dss",
    "lra/text-dss",
    "sc/sc35-s4d",
)


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(description="Measure speed and memory against the naive twins.")
    p.add_argument("what", choices=["kernels", "step", "data", "bytes"])
    p.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    p.add_argument("--card", choices=["a100", "h100", "rtx4090"], default="a100", help="bytes: for the least times")
    p.add_argument("--lengths", type=count, nargs="+", default=[1024, 4096, 16384])
    p.add_argument("--features", type=count, default=256, help="H of the kernels (default 256)")
    p.add_argument("--state-size", type=count, default=64, help="N of the kernels (default 64)")
    p.add_argument("--repeats", type=count, default=5, help="the least of so many is kept (default 5)")
    p.add_argument("--floor-only", action="store_true", help="step: leave the recipes out")
    p.add_argument("--output", type=Path, default=workspace() / "results" / "benchmarks")
    return p


def main(arguments: list[str]) -> int:
    options = parser().parse_args(arguments)
    if sys.platform != "linux":
        raise UserError("Memory is measured through /proc, which only Linux has.")
    if options.what == "data" and options.device != "cpu":
        raise UserError("Batches are made on the CPU: `benchmark.py data` takes no other --device.")
    from lra import cpu

    cpu.tune()
    from lra.files import write_text
    from lra.tables.benchmarks import breakdown, document
    from lra.tables.render import terminal_document

    where = options.card if options.what == "bytes" else options.device
    path = options.output / f"{options.what}-{where}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    content: dict[str, Any] = {"machine": machine(where), "rows": []}
    measured = {"kernels": kernels, "step": steps, "data": data, "bytes": traffic}[options.what]
    for row in measured(options):
        content["rows"].append(row)  # written one by one: a machine may be taken back
        write_text(path, json.dumps(content, indent=1) + "\n")
    shown = [document(path.stem, content), *([breakdown(content)] if options.what == "step" else [])]
    Console().print(*map(terminal_document, shown), sep="\n")
    print(f"{path} written")
    return 0


def kernels(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    import torch
    from benchmarks.kernels import CASES, compare

    cases = [(make, length) for make in CASES for length in options.lengths]
    sizes = options.features, options.state_size, options.repeats, torch.device(options.device)
    yield from (compare(make, length, *sizes) for make, length in track(cases, "kernels"))


def steps(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    import torch
    from benchmarks.step import compare, floor_setting, recipe_setting

    device = torch.device(options.device)
    settings = [floor_setting(kernel, length) for kernel in ("s4d", "s4") for length in options.lengths]
    if not options.floor_only:
        settings += [recipe_setting(name, CPU_TOKENS if options.device == "cpu" else None) for name in RECIPES]
    yield from (compare(setting, options.repeats, device) for setting in track(settings, "steps"))


def traffic(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    from benchmarks.step import recipe_setting
    from benchmarks.traffic import CARDS, row

    for name in track([*RECIPES, *OTHERS], "bytes"):
        yield row(recipe_setting(name, None), CARDS[options.card])


def data(options: argparse.Namespace) -> list[dict[str, Any]]:
    from benchmarks.data import rows

    return rows(workspace() / "data")


def machine(device: str) -> dict[str, Any]:
    """What the figures were measured on, or counted for: `cpu`, `cuda` or the key of a card."""
    import platform

    import torch

    from lra import __version__, cpu
    from lra.records import capture
    from lra.records.revision import revision

    return {
        "device": _device_name(device),
        "cpu": cpu.model_name(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "git_rev": revision().git_rev or f"lra {__version__}",
        "date": capture.now(),
    }


def _device_name(device: str) -> str:
    import torch

    if device == "cpu":
        return "cpu"
    if device == "cuda":
        return torch.cuda.get_device_name()
    from benchmarks.traffic import CARDS

    return CARDS[device].title


if __name__ == "__main__":
    run(main, sys.argv[1:])
