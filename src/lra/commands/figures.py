"""Draw figures of runs, studies, options and learned kernels: lra figures --run ID"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lra.cli import count
from lra.errors import UserError, choose
from lra.figures import kernels
from lra.figures.panels import save
from lra.kernels.base import Kernel
from lra.mixers.convolution import Convolution
from lra.models.classifier import Classifier
from lra.paths import workspace
from lra.records import store
from lra.records.schema import RunRecord
from lra.studies.schema import load_study
from lra.tables import figures, run_figures
from lra.tables.group import group
from lra.tables.select import build
from lra.vocabulary import TRIALS
from lra.weights import load, untrained

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(
        prog="lra figures",
        usage="lra figures (--weights FILE | --run RUN | --study STUDY | --group KEY … |\n"
        "                    --resources) [options]",
        description="Draw figures as PNG and PDF.",
    )
    what = p.add_mutually_exclusive_group(required=True)
    what.add_argument(
        "--weights", type=Path, metavar="FILE", help="kernels and eigenvalues that this model has learned"
    )
    what.add_argument("--run", help="learning curve of the run with this id")
    what.add_argument("--study", help="results, learning curves and ours against the paper's of this study")
    what.add_argument("--group", nargs="+", metavar="KEY", help="results of all records by config keys")
    what.add_argument("--resources", action="store_true", help="time and memory of all finished runs by recipe")
    p.add_argument("--length", type=count, default=1024, help="with --weights: of the kernels (default 1024)")
    p.add_argument("--column", nargs="+", help="with --study: only these columns")
    p.add_argument(
        "--experiment",
        default="*",
        metavar="PATTERN",
        help="with --group: only these recipes, e.g. 'scifar/*'",
    )
    p.add_argument(
        "--folder", type=Path, default=workspace() / "results" / "figures", help="where they go (results/figures)"
    )
    return p


def main(arguments: list[str]) -> None:
    """Draw what is asked for and print the files."""
    options = parser().parse_args(arguments)
    results_dir = workspace() / "results"
    drawn: dict[str, Figure | None]
    if options.weights:
        drawn = of_weights(options.weights, options.length)
    elif options.run:
        record = store.find(options.run, results_dir)
        drawn = {f"run-{record.run_id}": run_figures.run_curve(record)}
    elif options.study:
        drawn = of_study(options.study, options.column, lasting(results_dir))
    elif options.group:
        found = group(lasting(results_dir), options.group, options.experiment)
        drawn = {"-".join(["by", *options.group]).replace(".", "-"): figures.by_options(found)}
    else:
        drawn = {"time-and-memory": run_figures.resources(lasting(results_dir))}
    write(drawn, options.folder)


def lasting(results_dir: Path) -> list[RunRecord]:
    """The records that committed figures may show: no trials."""
    return [record for record in store.load_all(results_dir)[0] if record.budget.kind not in TRIALS]


def of_weights(weights: Path, length: int) -> dict[str, Figure | None]:
    """The kernels of every layer of a saved model, and its eigenvalues as they started and as they are now.

    Raises UserError for a layer without a kernel.
    """
    model = load(weights)
    own = kernels_of(model, weights)
    title = f"{model.recipe['experiment']}, seed {model.recipe['seed']}"
    drawn: dict[str, Figure | None] = {
        f"learned-kernels-{weights.stem}-layer-{i}": kernels.learned(kernel, length, f"{title}, layer {i}")
        for i, kernel in enumerate(own, start=1)
    }
    start, end = (
        [value for kernel in some if (value := kernels.continuous_eigenvalues(kernel)) is not None]
        for some in (kernels_of(untrained(model), weights), own)
    )
    if start:
        drawn[f"learned-eigenvalues-{weights.stem}"] = kernels.eigenvalues(list(zip(start, end, strict=True)), title)
    return drawn


def kernels_of(model: Classifier, weights: Path) -> list[Kernel]:
    """The kernel of every layer. Raises UserError for a layer without one."""
    found = []
    for i, block in enumerate(model.backbone.blocks, start=1):
        if not isinstance(block.mixer, Convolution):
            raise UserError(f"Layer {i} of {weights} has no kernel to draw.")
        found.append(block.mixer.kernel)
    return found


def of_study(name: str, columns: list[str] | None, records: Sequence[RunRecord]) -> dict[str, Figure | None]:
    """A study's figures by the names of their files. Raises UserError for an unknown column."""
    study = load_study(name)
    known = [column.key for column in study.columns]
    chosen = [choose("The column", column, known) for column in columns or known]
    table = build(study, records)
    table.study = study.model_copy(update={"columns": [column for column in study.columns if column.key in chosen]})
    stem = "-".join([name, *(columns or [])])
    return {
        f"{stem}-results": figures.dots(table),
        f"{stem}-curves": figures.learning_curves(table),
        f"{stem}-against-paper": figures.against_paper(table),
    }


def write(drawn: Mapping[str, Figure | None], folder: Path) -> None:
    """Save the figures that there are, and print their files. Raises UserError if there is none."""
    paths = [path for name, figure in drawn.items() if figure for path in save(figure, folder / name)]
    if not paths:
        raise UserError("There is no run to draw: the records have no such finished run, or no learning curve.")
    print(*paths, sep="\n")
