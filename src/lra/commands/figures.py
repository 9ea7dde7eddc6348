"""Draw figures: `lra figures` those of the theory (minutes on a CPU), or what the options ask for.

`--weights model.safetensors` (`lra export` writes them) draws the kernels that each layer has learned, `--study NAME`
a study's results beside the paper's and its learning curves.
"""

import argparse
from pathlib import Path

import matplotlib

import lra
from lra.errors import UserError, choose
from lra.figures import theory
from lra.mixers.convolution import Convolution
from lra.paths import workspace
from lra.records import store
from lra.studies.schema import load_study
from lra.tables import figures
from lra.tables.select import build


def main(arguments: list[str]) -> None:
    """Draw what is asked for and print the files."""
    parser = argparse.ArgumentParser(
        prog="lra figures", description="Compute and draw the figures as PNG and PDF."
    )
    parser.add_argument("--folder", type=Path, default=workspace() / "results" / "figures")
    parser.add_argument("--weights", type=Path, help="draw the learned kernels of this model")
    parser.add_argument("--length", type=int, default=1024, help="of the learned kernels (default 1024)")
    parser.add_argument("--study", help="draw the results and the learning curves of this study")
    parser.add_argument("--column", nargs="+", help="with --study: only these columns")
    options = parser.parse_args(arguments)
    matplotlib.use("agg")
    if options.weights:
        paths = learned(options.weights, options.folder, options.length)
    elif options.study:
        paths = study(options.study, options.column, options.folder)
    else:
        drawn = (theory.eigenvalues, theory.basis_kernels, theory.convergence)
        paths = [path for draw in drawn for path in draw(options.folder)]
    for path in paths:
        print(path)


def learned(weights: Path, folder: Path, length: int) -> list[Path]:
    """The kernels of every layer of a saved model. Raises UserError for a layer without one."""
    paths = []
    for i, block in enumerate(lra.load(weights).backbone.blocks):
        if not isinstance(block.mixer, Convolution):
            raise UserError(f"Layer {i + 1} of {weights} has no kernel to draw.")
        name = f"{weights.stem}-layer-{i + 1}"
        paths += theory.learned_kernels(folder, block.mixer.kernel, length, name)
    return paths


def study(name: str, columns: list[str] | None, folder: Path) -> list[Path]:
    """Results and learning curves of a study as SVG. Raises UserError for an unknown column and without runs."""
    table = build(load_study(name), store.load_all(workspace() / "results")[0])
    known = [column.key for column in table.study.columns]
    chosen = [choose("The column", column, known) for column in columns or known]
    table.study = table.study.model_copy(
        update={"columns": [column for column in table.study.columns if column.key in chosen]}
    )
    cells = [cell for cell in table.cells.values() if cell.planned.column.key in chosen]
    drawn = {"results": figures.dots(table), "curves": figures.learning_curves(cells)}
    paths = []
    for kind, svg in drawn.items():
        if svg:
            paths.append(folder / f"{'-'.join([name, *(columns or []), kind])}.svg")
            store.write_text(paths[-1], svg + "\n")
    if not paths:
        raise UserError(f"Study {name} has no finished run to draw in {', '.join(chosen)}.")
    return paths
