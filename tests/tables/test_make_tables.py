"""The command line: writing, staleness, README blocks, grouping, errors."""

import csv
import io
import json

import pytest
from factory import make_record

from lra import commands
from lra.commands.tables import main
from lra.records import store
from lra.studies.schema import study_names


@pytest.fixture
def results(tmp_path):
    folder = tmp_path / "results"
    store.write(make_record(value=0.6), folder)
    return folder


@pytest.fixture
def run(results, capsys):
    """Run the command; returns its exit status, output and error output."""

    def call(*arguments):
        with pytest.raises(SystemExit) as ended:
            commands.run("tables", [*arguments, "--results-dir", str(results)])
        out, err = capsys.readouterr()
        return ended.value.code, out, err

    return call


def test_files_are_written_and_then_current(run, results):
    code, out, _ = run()
    assert code == 0
    assert "60.0 (n=1)" in out
    assert {f.name for f in (results / "tables").iterdir()} == {
        f"{name}.{suffix}" for name in study_names() for suffix in ("md", "csv", "tex")
    }
    assert run("--check") == (0, "", "")


def test_files_are_written_though_the_pipe_is_closed(results, monkeypatch):
    def closed(*_):
        raise BrokenPipeError

    monkeypatch.setattr("rich.console.Console.print", closed)
    with pytest.raises(BrokenPipeError):
        main(["--results-dir", str(results)])
    assert "60.0 (n=1)" in (results / "tables" / "s4d-lra.md").read_text()


def test_check_names_what_is_stale(run, results):
    run()
    store.write(make_record(value=0.7, seed=1), results)
    (results / "tables" / "gone.md").write_text("")
    (results / "tables" / "s4-lra.csv").unlink()
    code, _, err = run("--check")
    assert code == 1
    assert "gone.md: no study makes it; delete it\nRun `lra tables` and commit" in err
    named = [line.split(": ")[1].rpartition("/")[2] for line in err.splitlines() if line.startswith("stale")]
    of = {study: [f"{study}.{suffix}" for suffix in ("md", "csv", "tex")] for study in ("first-cells", "s4d-lra")}
    assert named == [*of["first-cells"], "s4-lra.csv", *of["s4d-lra"], "gone.md"]


def test_what_no_study_makes_is_to_be_deleted(run, results):
    run()
    (results / "tables" / "gone.md").write_text("")
    assert run("--check")[2] == f"stale: {results}/tables/gone.md: no study makes it; delete it\n"


def test_one_study_only(run, results):
    assert run("s4d-lra")[0] == 0
    assert sorted(f.suffix for f in (results / "tables").iterdir()) == [".csv", ".md", ".tex"]
    assert run("s4d-lra", "--check")[0] == 0
    assert run("s4-lra", "--check")[0] == 1


def test_printing_writes_nothing(run, results):
    code, out, _ = run("s4d-lra", "--format", "md")
    assert code == 0
    assert out.startswith("# S4D on the Long Range Arena")
    assert run("s4d-lra", "--format", "terminal")[0] == 0
    assert not (results / "tables").exists()


def test_blocks_of_the_docs(run, results):
    readme = results.parent / "README.md"
    before = "# Title\n\n<!-- table:s4d-lra -->\nold\n<!-- /table -->\n\nThe end.\n"
    readme.write_text(before)
    run("s4d-lra")
    assert readme.read_text() == before  # only a full run or --docs touches it
    code, _, err = run("--check")
    assert code == 1
    assert "README.md" in err
    assert run("--docs")[0] == 0
    after = readme.read_text()
    assert after.startswith("# Title\n\n<!-- table:s4d-lra -->\n")
    assert after.endswith("<!-- /table -->\n\nThe end.\n")
    assert "60.0 (n=1)" in after
    assert "old" not in after
    assert run("--check", "--docs")[0] == 0


def test_blocks_of_measurements(run, results):
    machine = {
        "device": "cpu",
        "cpu": "One",
        "threads": 2,
        "torch": "2",
        "date": "2026-11-22T",
        "git_rev": "abc",
    }
    row = {"operation": "s4d", "length": 1024, "ratio": 27.04, "fast_seconds": 0.0051, "naive_seconds": None}
    content = json.dumps({"machine": machine, "rows": [row]})
    store.write_text(results / "benchmarks" / "kernels-cpu.json", content)
    page = results.parent / "docs" / "speed.md"
    page.parent.mkdir()
    page.write_text("<!-- benchmark:kernels-cpu -->\n<!-- /benchmark -->\n")
    assert run("--docs")[0] == 0
    assert "| s4d | 1024 | 5.1 | – | 27.0 |" in page.read_text()


@pytest.mark.parametrize(("block", "near"), [("table:s4d-lr", "s4d-lra"), ("benchmark:step-cp", "step-cpu")])
def test_blocks_of_nothing(run, results, block, near):
    store.write_text(results / "benchmarks" / "step-cpu.json", "{}")
    kind = block.partition(":")[0]
    (results.parent / "README.md").write_text(f"<!-- {block} -->\n<!-- /{kind} -->\n")
    code, _, err = run()
    assert code == 2
    assert f"Did you mean '{near}'" in err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["s4d-lrs"], "Did you mean 's4d-lra'"),
        (["s4d-lra", "--explain", "s4d-leg:listops"], "Did you mean 's4d-legs'"),
        (["s4d-lra", "--explain", "s4d-legs:listop"], "Did you mean 'listops'"),
        (["s4d-lra", "--explain", "s4d-lin-wide:text"], "leaves that column out"),
        (["--explain", "s4d-legs:listops"], "needs one study"),
        (["--group", "kernel.inti"], "Did you mean 'kernel.init'"),
    ],
)
def test_mistakes_get_near_matches(run, arguments, words):
    code, _, err = run(*arguments)
    assert code == 2
    assert words in err


def test_explain(run):
    code, out, _ = run("s4d-lra", "--explain", "s4d-legs:listops")
    assert code == 0
    assert make_record(value=0.6).run_id in out
    assert "lra train experiment=lra/listops-s4d" in out


def test_an_explanation_fits_80_columns_and_its_command_stays_whole(run, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    _, out, _ = run("s4d-lra", "--explain", "s4d-lin-wide:pathx")
    lines = out.splitlines()
    commands = [line for line in lines if line.startswith("run ")]
    assert "lra train experiment=lra/pathx-s4d kernel.init=lin kernel.dt_max=0.1" in commands[0]
    assert max(len(line) for line in lines if line not in commands) <= 80
    assert any(line.startswith(" " * 10) for line in lines)


def test_bad_records_are_named(run, results):
    (results / "runs" / "broken.json").write_text("{")
    _, _, err = run("s4d-lra")
    assert "left out" in err
    assert "broken.json" in err


def test_a_sweep_groups_into_a_table(run, results):
    for init in ("legs", "inv"):
        changes = {} if init == "legs" else {"kernel.init": init}
        for seed, value in enumerate([0.80, 0.82]):
            store.write(make_record("scifar/s4d-ablation", value, seed=seed, changes=changes), results)
        extra = {**changes, "optimizer.lr": 0.1}
        cut = {"kind": "demo", "fraction": 0.1}
        store.write(make_record("scifar/s4d-ablation", 0.5, changes=extra, **cut), results)
    code, out, _ = run("--group", "kernel.init", "--format", "md")
    assert code == 0
    assert "| scifar/s4d-ablation | inv |  | 81.0 ±1.4 (n=2) | 0, 1 |" in out
    assert "| scifar/s4d-ablation | inv | optimizer.lr=0.1 | *50.0 ▽10%* | seed 0; demo budget |" in out
    assert "| lra/listops-s4d | legs |  | 60.0 (n=1) | 0 |" in out
    for form in ("tex", "csv", "terminal"):
        code, out, _ = run("--group", "kernel.init", "--format", form)
        assert code == 0
        assert "81.0" in out


def test_on_a_terminal_changes_stand_above_their_runs_and_no_word_is_broken(run, results, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    also = {"scheduler.total_steps": 4500, "scheduler.warmup_steps": 450, "trainer.epochs": 5}
    for value, changes in (
        (0.8, {}),
        (0.7, also),
        (0.6, also | {"kernel.init": "inv", "kernel.discretization": "zoh"}),
    ):
        record = make_record("scifar/s4d-ablation", value, seed=1, changes=changes, variant="modified")
        store.write(record, results)
    _, out, _ = run("--group", "kernel.init", "kernel.discretization", "--experiment", "scifar/*")
    lines = [line.rstrip() for line in out.splitlines()]
    assert max(map(len, lines)) <= 80
    assert lines.count("scheduler.total_steps=4500, scheduler.warmup_steps=450, trainer.epochs=5") == 1
    assert lines.count("init  discretization  Ours            Seeds") == 2
    assert [line.split()[2] for line in lines if line.startswith(("legs ", "inv "))] == ["80.0", "60.0", "70.0"]


def test_on_a_terminal_values_that_all_lines_share_stand_above_them(run, results, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    for value, init in ((0.8, "inv"), (0.7, "lin")):
        store.write(make_record("scifar/s4d-ablation", value, changes={"kernel.init": init}), results)
    keys = "kernel.init kernel.discretization model.layers model.features optimizer.lr trainer.epochs".split()
    _, out, _ = run("--group", *keys, "--experiment", "scifar/*")
    lines = [line.rstrip() for line in out.splitlines()]
    assert any(line.startswith("kernel.discretization=bilinear, model.layers=") for line in lines)
    assert "init  Ours        Seeds" in lines
    assert "inv   80.0 (n=1)  0" in lines


def test_a_sweep_over_numbers_is_in_their_order(run, results):
    for rate in (0.01, 0.001, 10):
        store.write(make_record("scifar/s4d-ablation", 0.8, changes={"optimizer.lr": rate}), results)
    _, out, _ = run("--group", "optimizer.lr", "--format", "csv", "--experiment", "scifar/*")
    assert [row["optimizer.lr"] for row in csv.DictReader(io.StringIO(out))] == ["0.001", "0.01", "10"]


def test_cut_runs_that_are_equal_but_for_the_seed_have_a_mean(run, results):
    for seed, value in enumerate([0.30, 0.34]):
        cut = {"kind": "reduced", "fraction": 0.1, "reasons": ["5 of 40 epochs"]}
        store.write(make_record("scifar/s4d-ablation", value, seed=seed, **cut), results)
    _, out, _ = run("--group", "kernel.init", "--format", "md", "--experiment", "scifar/*")
    assert "| legs | *32.0 ±2.8 (n=2) ▽10%* | 0, 1 |" in out
    assert "- **Experiment:** scifar/s4d-ablation\n" in out
    assert "- **Excluded:** all of them: reduced budget; 5 of 40 epochs\n" in out
    assert "listops" not in out
    _, out, _ = run("--group", "kernel.init", "--format", "csv", "--experiment", "scifar/*")
    (row,) = csv.DictReader(io.StringIO(out))
    assert (row["kind"], row["n"], row["data"], row["budget"]) == ("excluded", "2", "official", "reduced")
    assert float(row["mean"]) == pytest.approx(32)
    assert float(row["std"]) == pytest.approx(2.8284, abs=1e-4)
    code, _, err = run("--group", "kernel.init", "--experiment", "nothing*")
    assert code != 0
    assert "No record is of an experiment 'nothing*'" in err


def test_demo_and_smoke_runs_leave_committed_files_alone(run, results):
    run("s4d-lra")
    store.write(make_record(value=0.3, kind="demo", fraction=0.01, reasons=["1 of 40 epochs"]), results)
    assert run("s4d-lra", "--check")[0] == 0
    assert "30.0" in run("s4d-lra")[1]
