"""Studies as sets of runs: what runs, under which id, and what is skipped."""

import os
import re
import subprocess
import sys
from io import StringIO
from pathlib import Path

import forked
import pytest
from factory import make_record, planned_record, recorded_config
from rich.console import Console

from lra.composition import compose, override
from lra.config import Config
from lra.config import changes as changes_of
from lra.errors import UserError
from lra.paths import CHECKOUT
from lra.records import store
from lra.studies import run as run_module
from lra.studies.jobs import jobs, seconds_left, state
from lra.studies.run import overview, run_all, sweep
from lra.studies.schema import Study, load_studies, load_study


@pytest.mark.parametrize("study", load_studies()[0], ids=lambda s: s.name)
def test_every_study_of_runs_composes(study):
    if not any(p.experiment and not p.column.evaluate for p in study.cells()):
        pytest.skip("this study only shows reported numbers")
    made = jobs(study, seeds=[0])
    assert len({job.run_id for job in made}) == len(made)


def test_a_jobs_id_is_that_of_its_command():
    for job in jobs(load_study("s4-lra"), only="*:listops", seeds=[3], extra=["budget=smoke"]):
        assert Config.parse(compose(list(job.arguments))).run_id() == job.run_id


@pytest.mark.parametrize(
    ("only", "cells"),
    [
        ("s4d-inv:listops", ["s4d-inv:listops"]),
        ("s4d-i*:te*", ["s4d-inv:text"]),
        (
            "s4d-lin",
            [f"s4d-lin:{t}" for t in ("listops", "text", "retrieval", "image", "pathfinder", "pathx")],
        ),
    ],
)
def test_only(only, cells):
    assert [job.cell for job in jobs(load_study("s4d-lra"), only=only, seeds=[0])] == cells


def test_unknown_cell_gets_near_matches():
    with pytest.raises(UserError, match="Did you mean 'listops'"):
        jobs(load_study("s4d-lra"), only="listop", seeds=[0])


def fake_training(folder: Path) -> str:
    """A training script that writes the record that the job expects, or fails for seed 1."""
    code = f"""
import sys
sys.path[:0] = [{str(CHECKOUT / "tests")!r}]
from lra.composition import compose, override
from lra.config import Config
from lra.config import changes as changes_of
from lra.records import store
from factory import make_record
config = Config.parse(compose(sys.argv[1:]))
if config.seed == 1:
    sys.exit("no luck")
record = make_record(experiment="lra/listops-s4d", seed=config.seed)
store.write(record.model_copy(update={{"run_id": config.run_id()}}), config.results_dir)
"""
    (folder / "train.py").write_text(code)
    return str(folder / "train.py")


def test_one_failure_stops_nothing_and_complete_runs_are_skipped(tmp_path, monkeypatch):
    monkeypatch.setattr(run_module, "TRAIN", [fake_training(tmp_path)])
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
    extra = [f"results_dir={tmp_path}/results", f"output_dir={tmp_path}/outputs"]
    wanted = jobs(load_study("s4d-lra"), only="s4d-legs:listops", seeds=[0, 1, 2], extra=extra)
    assert seconds_left(wanted) is None
    said = StringIO()
    counts = run_all(wanted, Console(file=said))
    assert counts == {"complete": 2, "not run": 1}
    assert "no luck" in (wanted[1].run_dir / "study.log").read_text()
    assert "study.log" in said.getvalue()
    assert seconds_left(wanted) == pytest.approx(wanted[0].record().compute.wall_s)

    started = []
    monkeypatch.setattr(run_module, "_start", lambda job, _: started.append(job) or subprocess.Popen(["true"]))
    run_all(wanted, Console(file=StringIO()))
    assert [job.seed for job in started] == [1]


def test_status_counts_reduced_runs_as_such(tmp_path):
    jobs_of = {"only": "s4d-legs:listops", "seeds": [0, 1], "extra": [f"results_dir={tmp_path}"]}
    wanted = jobs(load_study("s4d-lra"), **jobs_of)
    assert "reduced" not in shown(wanted)
    for value in (0.3, 0.31):
        store.write(make_record(value=value, kind="demo", fraction=value / 100, reasons=["4 of 40 epochs"]), tmp_path)
    store.write(make_record(value=0.3, kind="demo", changes={"kernel.init": "inv"}), tmp_path)
    assert re.search(r"s4d-legs:listops +0 +not run +2\b", shown(wanted))
    assert re.search(r"s4d-legs:listops +1 +not run *\n", shown(wanted) + "\n")


def shown(wanted) -> str:
    console = Console(file=StringIO(), width=100)
    console.print(overview(wanted))
    return console.file.getvalue()


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        ({}, "complete"),
        ({"seed": 1}, "not run"),
        ({"variant": "modified"}, "not run"),
        ({"status": "interrupted", "value": None}, "not run"),
        ({"changes": {"kernel.init": "inv"}}, "not run"),
    ],
    ids=str,
)
def test_a_run_on_data_from_another_place_counts(tmp_path, record, expected):
    recipe = recorded_config("lra/listops-s4d", {})
    store.write(make_record(config={"task": recipe["task"] | {"path": "/my/data"}}, **record), tmp_path)
    (job,) = jobs(load_study("s4d-lra"), only="s4d-legs:listops", seeds=[0], extra=[f"results_dir={tmp_path}"])
    assert state(job) == expected


@pytest.mark.parametrize("place", ["/my/data", "/my data/été"])
def test_a_run_that_began_on_data_from_another_place_is_named(tmp_path, place):
    of_cell = {"only": "s4d-legs:listops", "seeds": [0]}
    extra = [f"results_dir={tmp_path}/results", f"output_dir={tmp_path}/outputs"]
    there = override("task.path", place)
    record = planned_record("lra/listops-s4d", [there]).model_copy(deep=True, update={"status": "interrupted"})
    (job,) = jobs(load_study("s4d-lra"), **of_cell, extra=[*extra, there])
    store.write(record.model_copy(update={"run_id": job.run_id}), tmp_path / "results")
    result = forked.run("scripts/study.py", "status", "s4d-lra", "only=s4d-legs:listops", "seeds=0", *extra)
    assert result.returncode == 0, result.stderr
    assert "not run" in result.stdout
    assert re.search(
        rf"s4d-legs:listops seed 0: run {job.run_id} is interrupted at step [\d,]+ of [\d,]+ and differs only in "
        rf"{re.escape(there)}\. With that",
        result.stderr,
    )
    (resumed,) = jobs(load_study("s4d-lra"), **of_cell, extra=[*extra, there])
    assert (state(resumed), resumed.note) == ("interrupted", "")


@pytest.mark.parametrize(
    ("study", "cell"), [("s4d-lra", "s4d-legs:listops"), ("s4d-bidmc", "s4d-legs:hr"), ("s5-lru-lra", "s5:listops")]
)
@pytest.mark.parametrize("budget", [[], ["budget=reduced", "budget.epochs=2"]])
def test_such_a_run_is_known_by_its_recipe_and_budget(tmp_path, study, cell, budget):
    extra = [f"results_dir={tmp_path}", *budget]
    (job,) = jobs(load_study(study), only=cell, seeds=[0], extra=extra)
    assert state(job) == "not run"
    record = planned_record(job.experiment, ["task.path=elsewhere", *budget])
    store.write(record, tmp_path)
    other = ["budget=reduced", "budget.epochs=3"]
    for wanted, expected in ((extra, "complete"), ([*extra, *other], "not run")):
        (job,) = jobs(load_study(study), only=cell, seeds=[0], extra=wanted)
        assert state(job) == expected


def test_unreadable_records_are_said_to_be(tmp_path):
    (job,) = jobs(load_study("s4d-lra"), only="s4d-legs:listops", seeds=[0], extra=[f"results_dir={tmp_path}"])
    assert state(job) == "not run"
    job.record_path.parent.mkdir(parents=True)
    job.record_path.write_text("{")
    assert state(job) == "unreadable"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["lst"], "Did you mean 'list'"),
        (["run"], "needs the name of a study"),
        (["run", "s4d-lr"], "Did you mean 's4d-lra'"),
        (["status", "s4d-lra", "seeds=a"], "seeds=a: give whole numbers"),
        (["status", "s4d-lra", "seeds=0,1,00"], "seeds=0,1,00: give whole numbers, each once"),
        (["explain", "s4d-lra", "s4d-lgs:listops"], "Did you mean 's4d-legs'"),
        (["run", "s4d-lra", "time_limit=soon"], "time_limit=soon: a duration is 90s, 9m, 2h"),
    ],
)
def test_mistakes_in_study_commands(arguments, message):
    result = forked.run("scripts/study.py", *arguments)
    assert result.returncode == 2
    assert message in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    "text", ["seed=5", "+seed=5", "experiment=lra/image-s4d", "force=true", "plan=true", "kernel.init=lin"]
)
def test_an_option_that_the_study_decides_is_refused(text):
    """Its run would have another id than the job: trained, and never found."""
    with pytest.raises(UserError, match=rf"Study s4d-lra, cell s4d-inv:listops: {re.escape(text)} is for the study"):
        jobs(load_study("s4d-lra"), only="s4d-inv:listops", extra=[text])


@pytest.mark.parametrize("key", ["kernl.init", "kernel.lr.A.x", "kernel.int"])
def test_a_change_of_a_study_that_is_no_option_is_named(key):
    study = load_study("s4d-lra")
    row = study.rows[0].model_copy(update={"changes": {key: "lin"}})
    with pytest.raises(UserError, match=f"Study s4d-lra, cell {row.key}:listops: .*{key}: .*no such option"):
        jobs(study.model_copy(update={"rows": [row]}), seeds=[0])


def own_study(folder: Path, changes: str, seeds: str = "[0]") -> Study:
    """A study of one's own with one cell."""
    (folder / "own.yaml").write_text(f"""
title: Own
description: A change.
source: own
reported: null
protocol: as it is
seeds: {seeds}
columns: [{{key: listops, title: ListOps}}]
rows: [{{key: ours, title: Ours, family: own, experiment: "lra/{{column}}-s4d", changes: {changes}}}]
""")
    return load_study("own", folder)


@pytest.mark.parametrize(
    ("changes", "change"),
    [
        ("{kernel.init: legs}", "kernel.init=legs"),
        ("{kernel.lr: {A: 0.1, dt: null}}", "kernel.lr.dt=null"),
        ("{kernel.lr: null}", "kernel.lr=null"),
        ("{kernel.lr: {}}", "kernel.lr={}"),
        ("{seed: 1}", "seed=1"),
        ("{trainer.tf32: true}", "trainer.tf32=true"),
        ("{budget.epochs: 3, budget.kind: reduced}", "budget.epochs=3"),
        ('{task.path: "/a b,c"}', 'task.path="/a b,c"'),
    ],
)
def test_a_change_that_no_record_lists_is_refused(tmp_path, changes, change):
    said = f"Study own, cell ours:listops: changes: {re.escape(change)} is no change of lra/listops-s4d: .* Leave it"
    with pytest.raises(UserError, match=said):
        jobs(own_study(tmp_path, changes))


@pytest.mark.parametrize(
    ("changes", "message"),
    [("{foo: 1}", "foo: lra/listops-s4d has no such option"), ("{kernel.state_size: -1}", "kernel.state_size")],
)
def test_what_is_wrong_in_a_cell_is_said_with_its_name(tmp_path, changes, message):
    with pytest.raises(UserError, match=rf"Study own, cell ours:listops: [\s\S]*{message}"):
        jobs(own_study(tmp_path, changes))


def test_mappings_among_the_changes_are_the_changes_of_a_run(tmp_path):
    study = own_study(tmp_path, "{kernel.lr: {A: 0.1, B: 0.2}, scheduler: {warmup_steps: 7}}")
    (job,) = jobs(study)
    config = Config.parse(compose(list(job.arguments)))
    assert config.run_id() == job.run_id
    (cell,) = study.cells()
    expected = {"kernel.lr.A": 0.1, "kernel.lr.B": 0.2, "scheduler.warmup_steps": 7}
    assert changes_of(config, "lra/listops-s4d") == cell.changes == expected


@pytest.mark.parametrize(
    ("seeds", "message"), [("[0, 1, 0]", "listed twice: 0"), ("[-1]", "greater than or equal to 0")]
)
def test_seeds_are_different_and_possible(tmp_path, seeds, message):
    with pytest.raises(UserError, match=f"seeds.*{message}"):
        own_study(tmp_path, "{kernel.init: inv}", seeds)


def test_a_launcher_gets_the_seeds_of_a_cell_as_one_sweep():
    wanted = jobs(load_study("s4d-lra"), only="s4-legs-fout:listops", seeds=[0, 1], extra=["budget=smoke"])
    assert sweep(wanted, "slurm") == (
        "-m",
        "hydra/launcher=slurm",
        "experiment=lra/listops-s4",
        "kernel.init=[legs,fout]",
        "budget=smoke",
        "seed=0,1",
    )


def test_cells_go_to_a_launcher_at_once(tmp_path, monkeypatch):
    started = []
    extra = [f"results_dir={tmp_path}/results", f"output_dir={tmp_path}/outputs"]
    wanted = jobs(load_study("s4d-lra"), only="s4d-l*:listops", seeds=[0, 1], extra=extra)
    monkeypatch.setattr(run_module, "_start", lambda _, words: started.append(words) or subprocess.Popen(["true"]))
    assert run_all(wanted, Console(file=StringIO()), "ray") == {"not run": 4}
    assert [words[1] for words in started] == ["hydra/launcher=ray"] * 2
    assert all(words[-1] == "seed=0,1" for words in started)


def test_runs_share_a_time_limit(tmp_path, monkeypatch):
    clock, started = [100.0], []

    def start(_, words):
        started.append(words)
        clock[0] += 25
        return subprocess.Popen(["true"])

    monkeypatch.setattr(run_module, "_start", start)
    monkeypatch.setattr(run_module.time, "monotonic", lambda: clock[0])
    extra = [f"results_dir={tmp_path}/results", f"output_dir={tmp_path}/outputs"]
    wanted = jobs(load_study("s4d-lra"), only="s4d-l*:listops", seeds=[0, 1], extra=extra)
    assert len(wanted) == 4
    run_all(wanted, Console(file=StringIO()), limit=60)
    assert [words[-1] for words in started] == [f"trainer.time_limit={left}s" for left in (60, 35, 10)]


def test_the_first_column_of_a_study_is_run_first(tmp_path, monkeypatch):
    started = []
    monkeypatch.setattr(run_module, "_start", lambda job, _: started.append(job.cell) or subprocess.Popen(["true"]))
    extra = [f"results_dir={tmp_path}/results", f"output_dir={tmp_path}/outputs"]
    run_all(jobs(load_study("first-cells"), extra=extra), Console(file=StringIO()))
    rows = ("s4-original", "dss-softmax", "s4d-legs")
    assert started == [f"{row}:{column}" for column in ("text", "listops", "image") for row in rows]
