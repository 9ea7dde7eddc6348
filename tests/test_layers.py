"""Imports point one way: every part of the package uses only those before it."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import lra

PACKAGE = Path(lra.__file__).parent
# From the bottom up; parts on one line do not know each other.
ORDER = [
    "vocabulary errors bounds cpu environment",
    "files paths terminal options",
    "nodes",
    "plausible history composition",
    "ops pathfinder",
    "kernels",
    "mixers",
    "records advice",
    "data",
    "models",
    "config weights",
    "recorded",
    "studies figures",
    "tables",
    "training",
    "cli",
    "sweep",
    "commands",
]
LAYER = {part: number for number, line in enumerate(ORDER) for part in line.split()}


def imports(file: Path) -> Iterator[str]:
    """The parts of the package that a file uses, wherever in it the import stands."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module == "lra":
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("lra."):
            yield node.module.split(".")[1]
        elif isinstance(node, ast.Import):
            yield from (a.name.split(".")[1] for a in node.names if a.name.startswith("lra."))


def part_of(file: Path) -> str:
    return file.relative_to(PACKAGE).parts[0].removesuffix(".py")


FILES = [file for file in sorted(PACKAGE.rglob("*.py")) if part_of(file) not in ("__init__", "__main__")]


def test_every_part_has_its_place():
    assert {part_of(file) for file in FILES} == LAYER.keys()


def test_imports_point_one_way():
    upward = [
        f"{file.relative_to(PACKAGE)} imports lra.{other}"
        for file in FILES
        for other in imports(file)
        if other != part_of(file) and other in LAYER and LAYER[other] >= LAYER[part_of(file)]
    ]
    assert upward == []


def test_weights_are_loaded_without_the_training_code():
    """`lra.load` needs neither Lightning nor torchmetrics, and nothing of how models are trained."""
    script = (
        "import sys, lra\n"
        "try: lra.load('nowhere.safetensors')\n"
        "except Exception as error: print(type(error).__name__)\n"
        "foreign = ('pytorch_lightning', 'lightning', 'torchmetrics', 'lra.training', 'lra.tables', 'hydra')\n"
        "print(*[name for name in foreign if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["UserError"]
