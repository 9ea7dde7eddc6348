"""Names, paths and records hold any sign; tables, cards and errors show them as text."""

import csv
import io

import pytest
from factory import make_record
from rich.panel import Panel
from rich.text import Text

from lra import paths
from lra.records import store
from lra.studies.schema import Study
from lra.tables.comparison import comparison
from lra.tables.html import report
from lra.tables.render import csv_text, latex, markdown, terminal
from lra.tables.select import build
from lra.terminal import Console, visible

HOSTILE = "[b]a[/b] <script>x</script> | `c` *d* $e$ \\input{f} \x1b[31m"


@pytest.fixture
def table(golden):
    content = {
        "name": "hostile",
        "title": HOSTILE,
        "description": HOSTILE,
        "source": HOSTILE,
        "reported": None,
        "protocol": HOSTILE,
        "seeds": [0],
        "columns": [{"key": "listops", "title": HOSTILE}],
        "rows": [
            {"key": "=1+1", "title": HOSTILE, "family": "s4d", "experiment": "lra/{column}-s4d"},
        ],
    }
    return build(Study.model_validate(content), [make_record()])


def test_markdown(table):
    text = markdown(table)
    assert "<script>" not in text.replace("\\<script\\>", "")
    assert "\\[b\\]a\\[/b\\]" in text
    assert "\x1b" not in text
    assert "\\\\input{f}" in text


def test_latex(table):
    text = latex(table)
    assert "\\input{" not in text
    assert "\\\\\n[" not in text  # a row's end takes an argument in brackets
    assert "\x1b" not in text


def test_csv_has_no_formula(table):
    (row,) = [r for r in csv.DictReader(io.StringIO(csv_text(table))) if r["kind"] == "cell"]
    assert row["row"] == "'=1+1"
    assert float(row["mean"]) == 60


def test_html(table):
    assert "<script>x" not in report([table], table.records, [HOSTILE])


def shown(*renderables) -> str:
    console = Console(file=io.StringIO(), width=120, force_terminal=True, color_system=None)
    console.print(*renderables)
    return console.file.getvalue()


def test_terminal(table):
    for text in (shown(terminal(table)), shown(HOSTILE), shown(Panel("x", title=Text(HOSTILE)))):
        assert "[b]a[/b]" in text
        assert "\x1b[31m" not in text
    assert visible("a\x1b[31m\r\udcff\u202eb\n") == "a\\x1b[31m\\r\\udcff\\u202eb\n"


def test_a_bad_study_and_bad_reported_numbers_fail_no_run(tmp_path, golden, monkeypatch):
    studies, reported = tmp_path / "experiments", tmp_path / "reported"
    studies.mkdir()
    reported.mkdir()
    fixture = next((golden / "experiments").glob("*.yaml"))
    (studies / "good.yaml").write_text(fixture.read_text())
    for name, content in {
        "list": b"[1, 2]",
        "bytes": b"\xff\xfe",
        "braces": b"rows: {{",
        "empty": b"",
    }.items():
        (studies / f"{name}.yaml").write_bytes(content)
    (studies / "folder.yaml").mkdir()
    for file in (golden / "reported").glob("*.yaml"):
        (reported / file.name).write_bytes(b"\xff: [")
    record = make_record()
    store.write(record, tmp_path)
    monkeypatch.setattr(paths, "STUDIES_DIR", studies)
    monkeypatch.setattr(paths, "REPORTED_DIR", reported)
    text = shown(comparison(record, tmp_path))
    assert "60.0" in text
    for name in ("list", "bytes", "braces", "empty", "folder"):
        assert f"{name}.yaml: not a valid study" in text.replace("\n", "")
