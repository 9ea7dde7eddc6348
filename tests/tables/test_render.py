"""The formats, against committed outputs, and what must hold of each whatever the records."""

import csv
import io

import pytest
from rich.console import Console

from lra.figures import panels
from lra.studies.schema import load_study
from lra.tables import layout, render
from lra.tables.explain import explain
from lra.tables.files import FORMATS
from lra.tables.select import build


def as_terminal(renderable, width=80):
    console = Console(file=io.StringIO(), width=width, color_system=None)
    console.print(renderable)
    return console.file.getvalue()


@pytest.mark.parametrize("suffix", FORMATS)
def test_files_as_committed(table, golden, suffix):
    assert FORMATS[suffix](table) == (golden / f"fixture.{suffix}").read_text(encoding="utf-8")


def test_terminal_as_committed(table, golden):
    lines = [line.rstrip() for line in as_terminal(render.terminal(table)).splitlines()]
    assert "\n".join(lines) + "\n" == (golden / "fixture.txt").read_text(encoding="utf-8")


def test_terminal_fits_80_columns(table):
    assert max(map(len, as_terminal(render.terminal(table)).splitlines())) <= 80


def test_explain_as_committed(table, golden):
    cells = ("legs:listops", "lin:listops", "lin:pathx", "inv:pathx", "other:listops")
    text = "\n\n".join(explain(table, cell) for cell in cells) + "\n"
    assert text == (golden / "explain.txt").read_text(encoding="utf-8")


def test_average_is_a_dash_with_a_missing_cell(table):
    rows = {tuple(r[:2]): r[-1] for r in cells_of(render.markdown(table))}
    assert rows["LegS", "paper"] == "76.21"
    assert rows["Inv", "ours"] == "—"


def test_reduced_runs_have_their_own_table_and_no_difference(table):
    main, _, excluded = render.markdown(table).partition("**Excluded")
    assert "▽" not in main
    assert "*36.0 ▽2%*" in excluded
    assert "*61.0 ◇standin*" in excluded
    assert "match" not in excluded.split("- ")[0]


def test_markdown_rows_have_equal_widths(table):
    for block in render.markdown(table).split("\n\n"):
        widths = {line.count(" | ") for line in block.splitlines() if line.startswith("|")}
        assert len(widths) <= 1


def test_latex_has_no_character_that_needs_a_package(table):
    assert render.latex(table).isascii()


def test_csv_has_a_row_a_cell_a_record_apart_and_an_average(table):
    rows = list(csv.DictReader(io.StringIO(render.csv_text(table))))
    kinds = [r["kind"] for r in rows]
    assert {k: kinds.count(k) for k in kinds} == {"cell": 8, "excluded": 2, "average": 4}
    legs = rows[0]
    assert (legs["row"], legs["column"], legs["n"]) == ("legs", "listops", "3")
    assert float(legs["mean"]) == pytest.approx(60.3667, abs=1e-4)
    assert (legs["reported"], legs["reported_std"], legs["evidence"]) == ("60.47", "0.34", "second_hand")


def cells_of(markdown):
    lines = [line for line in markdown.splitlines() if line.startswith("|")]
    rows = [[c.strip() for c in line.strip("|").split("|")] for line in lines]
    titles = ""
    for row in rows:
        titles = row[0] or titles
        row[0] = titles
    return rows


def test_the_header_counts_what_stands_in_the_cells(table, golden):
    """Eight runs of an hour stand there, six of them finished; two more are excluded, one with other data."""
    lines = dict(layout.header(table))
    assert lines["Complete"] == "4 of 6 cells; 6 runs in them"
    assert lines["Hardware"] == "2 cores of a CPU; 8 h"
    assert lines["Data"] == "listops official, pathx official"
    excluded = build(table.study, [r for c in table.cells.values() for r in c.excluded])
    assert "Hardware" not in dict(layout.header(excluded))
    (cell,) = (c for c in table.cells.values() if len(c.complete) == 3)
    one = build(table.study, cell.complete[:1])
    assert dict(layout.header(one))["Complete"] == "1 of 6 cells; 1 run in them"


def test_sizes_as_the_paper_prints_them():
    table = build(load_study("s4d-sc35"), [])
    assert "| S4D-LegS (306K) | paper |" in render.markdown(table)


def test_no_column_for_papers_where_none_reports():
    table = build(load_study("cpu-init-ablation"), [])
    titles = ["Model", *(column.title for column in table.study.columns)]
    assert f"| {' | '.join(titles)} |\n" in render.markdown(table)
    (heading,) = (line for line in as_terminal(render.terminal(table)).splitlines() if "Model " in line)
    assert heading.split() == ["Model", "Task", "Ours"]


def test_rows_beyond_the_colors_still_look_different():
    looks = [panels.look(i) for i in range(3 * len(panels.COLORS))]
    assert all(looks.count(look) == 1 for look in looks)
