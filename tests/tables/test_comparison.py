import io

import pytest
from factory import make_record
from rich.console import Console

from lra.paths import workspace
from lra.records import store
from lra.tables.comparison import comparison


@pytest.fixture
def shown(tmp_path, golden):
    """What is printed at the end of a run, the other records being there already."""

    def show(record, others=()):
        for r in [*others, record]:
            store.write(r, tmp_path)
        console = Console(file=io.StringIO(), width=100, color_system=None)
        console.print(comparison(record, tmp_path))
        return console.file.getvalue()

    return show


def test_a_full_run(shown):
    text = shown(make_record(value=0.602, chance=0.179))
    for words in (
        "60.2",
        "standard error 1.1, 2,000 test samples",
        "17.9",
        "60.47 ±0.34",
        "−0.3 points",
        "match",
    ):
        assert words in text
    assert "60.2 (n=1)" in text  # its row
    assert "reduced" not in text
    assert "make_tables.py fixture" in text
    assert len(text.splitlines()) < 20
    assert text.index("60.2 (n=1)") < text.index("majority class")  # the card comes last


def test_a_demo_run_gets_no_verdict(shown):
    demo = make_record(value=0.36, kind="demo", fraction=0.02, reasons=["5 of 40 epochs"])
    text = shown(demo, [make_record(value=0.6, seed=s) for s in range(2)])
    assert "36.0 ▽2%" in text
    assert "−24.5 points" in text
    assert "not comparable with the paper (reduced run)" in text
    assert "demo budget, 5/40 epochs" in text
    assert "60.0 ±0.0 (n=2)" in text  # the demo is not in the mean
    assert "plan=true" in text


def test_a_run_at_chance(shown):
    at_chance = make_record("lra/pathx-s4d", 0.501, chance=0.5, n_test=20000, changes={"kernel.init": "lin"})
    text = shown(at_chance)
    assert "no more than 2 standard errors above" in text
    assert "match" in text


def test_too_good_to_be_believed(shown):
    assert "look for a leak" in shown(make_record(value=0.99))


def test_a_failed_run_has_no_number(shown):
    text = shown(make_record(value=None, status="failed", reason="diverged: the loss is not finite", done=0.4))
    assert "✗ diverged@4k" in text
    assert "verdict" not in text


@pytest.mark.parametrize(
    ("experiment", "changes", "overrides", "command"),
    [
        (
            "lra/listops-s4",
            {"kernel.init": ["legs", "fout"]},
            [],
            "experiment=lra/listops-s4 'kernel.init=[legs,fout]'",
        ),
        (
            "lra/listops-s4d",
            {"mixer._target_": "lra.mixers.attention.Attention", "kernel": {}},
            ["experiment=lra/listops-s4d", "mixer=attention", "task.path=data/raw", "budget=smoke"],
            "experiment=lra/listops-s4d mixer=attention task.path=data/raw",
        ),
        ("custom/listops", {}, ["kernel=decay", "budget=smoke", "seed=3", "budget.epochs=2"], "kernel=decay"),
    ],
)
def test_the_next_command_is_one_that_runs(shown, experiment, changes, overrides, command):
    """Also that of a run without a recipe, which has a name that is none."""
    record = make_record(experiment, 0.6, changes=changes, kind="smoke", fraction=0.1)
    record.identity.overrides = overrides
    assert f"python train.py {command} plan=true" in " ".join(shown(record).replace("│", "").split())


def test_a_part_that_a_swap_took_away_is_named_once():
    changes = {"kernel.init": None, "kernel.lr.A": None, "kernel": {}, "mixer._target_": "gru.GRU"}
    assert make_record(changes=changes).identity.changed == ["kernel={}", "mixer._target_=gru.GRU"]


def test_outside_the_checkout_the_next_command_is_lra_and_the_record_a_whole_path(shown, tmp_path, monkeypatch):
    place = tmp_path / "elsewhere"
    place.mkdir()
    monkeypatch.chdir(place)
    words = shown(make_record(kind="smoke", fraction=0.1)).replace("│", "").split()
    assert "lra train experiment=lra/listops-s4d plan=true" in " ".join(words)
    assert str(tmp_path / "runs") in "".join(words)


def test_a_run_of_no_study(shown):
    text = shown(make_record("lra/listops-mine", 0.6))
    assert "no number for this run" in text


def test_bad_records_are_named(shown, tmp_path):
    broken = tmp_path / "runs" / "broken.json"
    broken.parent.mkdir()
    broken.write_text("{")
    assert "left out" in shown(make_record())


def test_data_that_the_study_allows_are_not_excluded():
    record = store.find("3460a547dd83", workspace() / "results")
    console = Console(file=io.StringIO(), width=100, color_system=None)
    console.print(comparison(record, workspace() / "results"))
    text = console.file.getvalue()
    assert "excluded" not in text
    assert "53.6 (n=1)" in text
    assert "Paper" not in text  # no paper reports it
