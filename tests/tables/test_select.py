"""Which records count, in a small study: two tasks, two inits, an average with a failure counted 50."""

import statistics

import pytest
from factory import make_record
from hypothesis import given, settings
from hypothesis import strategies as st

from lra.errors import UserError
from lra.records.schema import Source
from lra.studies.schema import PAPER_DATA, Study
from lra.tables import text
from lra.tables.select import build, reasons_excluded

STUDY = Study.model_validate(
    {
        "name": "small",
        "title": "A small study",
        "description": "",
        "source": "none",
        "reported": None,
        "protocol": "best validation epoch",
        "seeds": [0, 1],
        "columns": [
            {"key": "listops", "title": "ListOps"},
            {"key": "text", "title": "Text", "protocol": "test_as_validation"},
        ],
        "rows": [
            {"key": "legs", "title": "LegS", "family": "S4D", "experiment": "lra/{column}-s4d"},
            {
                "key": "inv",
                "title": "Inv",
                "family": "S4D",
                "experiment": "lra/{column}-s4d",
                "changes": {"kernel.init": "inv"},
            },
        ],
        "averages": [
            {"key": "avg", "title": "Avg", "columns": ["listops", "text"], "chance_counts": 50},
        ],
    }
)


def cell(*records, row="legs", column="listops"):
    return build(STUDY, records).cells[row, column]


def test_experiment_and_changes_must_be_equal():
    inv = {"kernel.init": "inv"}
    table = build(
        STUDY,
        [
            make_record(seed=1),
            make_record(seed=2, changes=inv),
            make_record(seed=3, changes={**inv, "kernel.dt_min": 1e-4}),
            make_record("lra/listops-s4", seed=4),
            make_record("lra/image-s4d", seed=5),
        ],
    )
    found = {key: [r.identity.seed for r in c.records] for key, c in table.cells.items()}
    assert found == {
        ("legs", "listops"): [1],
        ("inv", "listops"): [2],
        ("legs", "text"): [],
        ("inv", "text"): [],
    }


def test_statuses_and_their_looks():
    running = make_record(value=None, status="running", done=0.37, best_val=0.714)
    nan = make_record(value=None, status="failed", reason="nan: loss at step 4000", done=0.4)
    looks = {
        "not run": ((), "·"),
        "partial": ((running,), "71.4 …@37%"),
        "failed": ((nan,), "✗ nan@4k"),
        "chance": ((make_record(value=0.501, chance=0.5),), "50.1 ✗"),
        "complete": ((make_record(value=0.882),), "88.2 (n=1)"),
    }
    for status, (records, look) in looks.items():
        assert (cell(*records).status, text.ours(cell(*records))) == (status, look)
    three = [make_record(value=v, seed=s) for s, v in enumerate([0.879, 0.882, 0.885])]
    assert text.ours(cell(*three)) == "88.2 ±0.3 (n=3)"


def test_a_mean_hides_no_failure():
    runs = [make_record(value=v, seed=s, chance=0.5) for s, v in enumerate([0.9, 0.92, 0.5])]
    nan = make_record(value=None, status="failed", reason="nan", seed=3)
    shown = text.ours(cell(*runs, nan))
    assert shown == "77.3 ±23.7 (n=3; 1 at chance ✗; 1 failed ✗; median 90.0)"


def test_running_without_a_validation_value():
    assert text.ours(cell(make_record(value=None, status="running", done=0.0))) == "…@0%"


def test_a_guess_in_a_recipe_is_marked():
    """A run with settings that the paper does not print fills its cell, and says so there."""
    source = Source(paper="A", arxiv="0", table="1", deviations=["not published: the learning rate; here 0.001"])
    assert text.ours(cell(make_record().model_copy(update={"source": source}))) == "60.0 ‡ (n=1)"
    assert "‡ ours has settings" in " ".join(text.shown_marks(["60.0 ‡ (n=1)"]))


@pytest.mark.parametrize(
    ("options", "look", "reason"),
    [
        ({"kind": "demo", "fraction": 0.12, "reasons": ["5 of 40 epochs"]}, "71.4 ▽12%", "5 of 40 epochs"),
        ({"kind": "smoke", "fraction": 0.0004}, "71.4 ▽0.04%", "smoke budget"),
        ({"fraction": 0.5}, "71.4 ▽50%", "50 % of the recipe's training samples"),
        ({"variant": "standin"}, "71.4 ◇standin", "standin data"),
        ({"variant": "modified"}, "71.4 ◇modified", "modified data"),
        ({"variant": "subset"}, "71.4 ◇subset", "subset data"),
        ({"protocol": "test_as_validation"}, "71.4", "validation is test_as_validation"),
    ],
)
def test_what_is_excluded(options, look, reason):
    found = cell(make_record(value=0.714, **options))
    assert (found.status, found.complete, found.comparison.verdict) == ("not run", [], "")
    assert text.excluded(found.excluded[0]) == look
    assert reason in "; ".join(reasons_excluded(found.excluded[0], found.spec.column.protocol))


def test_other_data_counts_only_where_a_column_says_so_and_no_paper_is_compared_with():
    content = STUDY.model_dump()
    content["columns"][0]["data"] = ["modified"]
    modified, official = make_record(variant="modified"), make_record(seed=1)
    found = build(Study.model_validate(content), [modified, official]).cells["legs", "listops"]
    assert (found.complete, found.excluded) == ([modified], [official])
    content["reported"] = "s4d/lra"
    with pytest.raises(ValueError, match="only official and regenerated data counts"):
        Study.model_validate(content)


def test_fewer_samples_than_published_are_excluded():
    record = make_record()
    record.data.splits["test"].used = 1999
    assert cell(record).excluded == [record]


def test_text_uses_the_papers_protocol():
    theirs = make_record("lra/text-s4d", protocol="test_as_validation")
    held_out = make_record("lra/text-s4d", protocol="held_out", seed=1)
    found = cell(theirs, held_out, column="text")
    assert (found.complete, found.excluded) == ([theirs], [held_out])


def test_the_newest_of_two_runs_with_one_seed_counts():
    old = make_record(value=0.7, created="2026-01-01T00:00:00Z")
    new = make_record(value=0.6, created="2026-02-01T00:00:00Z")
    table = build(STUDY, [new, old])
    assert table.cells["legs", "listops"].complete == [new]
    assert len(table.notes) == 1
    assert old.run_id in table.notes[0]
    assert new.run_id in table.notes[0]


@pytest.mark.parametrize("status", ["running", "interrupted"])
@pytest.mark.parametrize("ended", ["complete", "failed"])
def test_a_run_that_has_ended_counts_until_a_newer_one_ends(status, ended):
    old = make_record(value=0.7 if ended == "complete" else None, status=ended, created="2026-01-01T00:00:00Z")
    new = make_record(value=None, status=status, done=0.5, created="2026-02-01T00:00:00Z")
    table = build(STUDY, [new, old])
    assert table.cells["legs", "listops"].counted == [old]
    assert table.notes == [
        f"lra/listops-s4d seed 0: run {new.run_id} ({status}) is left out, superseded by {old.run_id} ({ended})"
    ]


def both(listops, text_value, **options):
    return [
        make_record(value=listops, **options),
        make_record("lra/text-s4d", text_value, protocol="test_as_validation", chance=0.5, **options),
    ]


def average(records):
    return build(STUDY, records).averages["legs", "avg"]


def test_average_of_complete_cells():
    found = average([*both(0.6, 0.8), *both(0.62, 0.8, seed=1)[:1]])
    assert found.mean == pytest.approx((61 + 80) / 2)
    assert text.average(found) == "70.5 (n=1–2)"


def test_average_with_a_cell_at_chance_counts_50():
    assert average(both(0.6, 0.503)).mean == pytest.approx((60 + 50) / 2)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda a, b: [a],
        lambda a, b: [a, make_record("lra/text-s4d", None, status="failed", protocol="test_as_validation")],
        lambda a, b: [
            a,
            b,
            make_record("lra/text-s4d", None, status="failed", protocol="test_as_validation", seed=1),
        ],
        lambda a, b: [
            a,
            b,
            make_record("lra/text-s4d", None, status="running", protocol="test_as_validation", seed=1),
        ],
        lambda a, b: [
            a,
            make_record("lra/text-s4d", 0.8, kind="demo", fraction=0.1, protocol="test_as_validation"),
        ],
    ],
    ids=["missing", "failed", "one seed failed", "one seed running", "reduced"],
)
def test_no_average_unless_all_cells_are_complete(spoil):
    found = average(spoil(*both(0.6, 0.8)))
    assert found.mean is None
    assert text.average(found) == "—"


some_records = st.lists(
    st.builds(
        make_record,
        experiment=st.sampled_from(["lra/listops-s4d", "lra/text-s4d"]),
        value=st.floats(0, 1),
        seed=st.integers(0, 9),
        changes=st.sampled_from([{}, {"kernel.init": "inv"}, {"kernel.init": "lin"}]),
        variant=st.sampled_from(["official", "regenerated", "modified", "subset", "standin"]),
        kind=st.sampled_from(["paper", "reduced", "demo", "smoke"]),
        fraction=st.sampled_from([0.01, 0.5, 1.0]),
        protocol=st.sampled_from(["held_out", "test_as_validation"]),
        status=st.sampled_from(["complete", "complete", "complete", "failed", "running"]),
    ),
    max_size=12,
    unique_by=lambda r: (r.identity.experiment, str(r.identity.changes), r.identity.seed),
)


@settings(max_examples=150, deadline=None)
@given(records=some_records)
def test_only_full_runs_are_averaged(records):
    """Whatever else is there, each mean is the mean of the paper-budget runs on the paper's data."""
    table = build(STUDY, records)
    for (row, column), found in table.cells.items():
        changes = {} if row == "legs" else {"kernel.init": "inv"}
        protocol = "held_out" if column == "listops" else "test_as_validation"
        full = [
            100 * r.metrics.test.value
            for r in records
            if r.identity.experiment == f"lra/{column}-s4d"
            and r.identity.changes == changes
            and r.status == "complete"
            and (r.budget.kind, r.budget.fraction) == ("paper", 1.0)
            and r.data.variant in PAPER_DATA
            and r.data.protocol == protocol
        ]
        assert len(found.complete) == len(full)
        if full:
            assert found.summary.mean == pytest.approx(statistics.fmean(full))
        else:
            assert found.summary is None
    for (row, _), average in table.averages.items():
        if average.mean is not None:
            assert all(table.cells[row, c].averageable for c in ("listops", "text"))


def test_unknown_cell_has_near_matches():
    table = build(STUDY, [])
    with pytest.raises(UserError, match="Did you mean 'legs'"):
        table.find("leg:listops")
    with pytest.raises(UserError, match="Did you mean 'listops'"):
        table.find("legs:listop")
    with pytest.raises(UserError, match="column"):
        table.find("legs")
