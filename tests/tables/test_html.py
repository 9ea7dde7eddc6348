"""The report: self-contained, complete, and readable by a real browser where there is one."""

import json
import re
import shutil
import subprocess
from html.parser import HTMLParser

import pytest
from factory import make_record

from lra.tables.html import report

CURVE = [
    {"epoch": float(e), "step": 10.0 * e, "train_loss": 1 / e, "val_loss": 2 / e, "val_accuracy": 1 - 0.5 / e}
    for e in range(1, 6)
]


@pytest.fixture
def page(table, records):
    hostile = make_record(value=0.9, curve=CURVE, config={"note": "</pre><script>alert(1)</script>"}, seed=9)
    table.cells["legs", "listops"].complete[0].metrics.curve = CURVE
    return report([table], [*records, hostile], ["runs/broken.json: not valid JSON"])


def test_nothing_is_loaded_from_elsewhere(page):
    assert not re.findall(r"(?:src|href)=\"(?!#)[^\"]*\"", re.sub(r"xlink:href", "", page))
    assert "@import" not in page
    assert "<script>alert" not in page


def test_tags_are_balanced(page):
    stack = []
    void = {"meta", "br", "link", "img", "hr"}

    class Checker(HTMLParser):
        def handle_starttag(self, tag, attrs):
            if tag not in void:
                stack.append(tag)

        def handle_endtag(self, tag):
            assert stack.pop() == tag

    Checker().feed(page)
    assert stack == []


def test_every_record_has_a_section_and_every_link_a_target(page, records):
    ids = set(re.findall(r'<details id="([^"]+)"', page))
    assert {r.run_id for r in records} <= ids
    targets = set(re.findall(r'\sid="([^"]+)"', page))
    assert set(re.findall(r'href="#([^"]+)"', page)) <= targets


def test_figures_and_problems_are_there(page):
    # dots, ours against the paper's, the study's curves, two runs' curves, compute, time and memory, kernels
    assert page.count("<svg") == 8
    assert "runs/broken.json: not valid JSON" in page
    assert "36.0 ▽2%" in page


def test_the_report_is_deterministic(table, records):
    assert report([table], records, []) == report([table], records, [])


def test_an_empty_project_has_a_report(table):
    assert "No runs yet" in report([], [], [])


BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


@pytest.mark.slow
@pytest.mark.skipif(BROWSER is None, reason="no Chromium on this machine")
def test_sorting_in_a_real_browser(page, tmp_path):
    """Click ListOps twice: rows by falling value, rows without a value last."""
    script = """<script>
      const head = [...document.querySelectorAll("#fixture th")].find(h => h.textContent === "ListOps");
      const order = () => [...head.closest("table").tBodies[0].rows].map(r => r.cells[0].textContent.trim());
      head.click(); const up = order(); head.click();
      document.title = JSON.stringify([up, order()]);
    </script></body>"""
    file = tmp_path / "report.html"
    file.write_text(page.replace("</body>", script), encoding="utf-8")
    flags = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        f"--user-data-dir={tmp_path}/profile",
        "--dump-dom",
    ]
    result = subprocess.run([BROWSER, *flags, file.as_uri()], capture_output=True, text=True, timeout=120)
    up, down = json.loads(re.search(r"<title>(.*?)</title>", result.stdout)[1])
    assert up == ["Other", "Lin", "LegS", "Inv"]  # 50.0 (paper), 55.0, 60.4, no value
    assert down == ["LegS", "Lin", "Other", "Inv"]
