"""The command line with real processes: help, mistakes, a smoke run, interruption."""

import os
import re
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import forked
import pytest
from toy import CONF, SMALL

from lra.paths import CHECKOUT
from lra.records import store

train = partial(forked.run, "train.py")


@pytest.fixture
def smoke(listops: Path, tmp_path: Path) -> list[str]:
    return [
        "experiment=lra/listops-s4d",
        "budget=smoke",
        "trainer.accelerator=cpu",
        f"data_dir={listops}",
        f"output_dir={tmp_path}/outputs",
        f"results_dir={tmp_path}/results",
    ]


def test_help_is_quick_and_lists_the_experiments():
    begin = time.monotonic()
    command = [sys.executable, "train.py", "--help"]
    result = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, check=False)
    assert time.monotonic() - begin < 10  # two seconds on a quiet machine; tests run beside others
    assert result.returncode == 0
    assert "experiment=lra/listops-{dss," in result.stdout
    assert max(map(len, result.stdout.splitlines())) <= 80


def test_without_arguments_nothing_runs():
    assert train().stdout == train("--help").stdout


def test_version_is_ours():
    assert train("--version").stdout.startswith("lra ")


@pytest.mark.parametrize("command", [["train.py"], ["-m", "lra"]])
def test_a_shell_completes_recipes_and_choices(command):
    def complete(words: str) -> list[str]:
        line = f"{'lra train' if command[-1] == 'lra' else 'python train.py'} {words}"
        result = subprocess.run(
            [sys.executable, *command, "-sc", "query=bash"],
            cwd=CHECKOUT,
            env=os.environ | {"COMP_LINE": line, "COMP_POINT": str(len(line))},
            capture_output=True,
            text=True,
            check=True,
        )
        return result.stdout.split()

    assert complete("seed=1 exp") == ["experiment="]
    assert complete("seed=1 experiment=lra/listops-s4d") == ["experiment=lra/listops-s4d"]
    assert {"experiment=scifar/s4d", "experiment=lra/image-s4d"} <= set(complete("experiment="))
    assert complete("experiment=lra/listops-s4d budget=d") == ["budget=demo"]


def loaded(script: str) -> list[str]:
    """Which of the large libraries a script imports."""
    large = {"torch", "numba", "wandb", "datasets", "pytorch_lightning"}
    code = f"import sys\n{script}\nprint('LARGE', *sorted({large} & set(sys.modules)))"
    result = subprocess.run([sys.executable, "-c", code], cwd=CHECKOUT, capture_output=True, text=True, check=True)
    return result.stdout.splitlines()[-1].split()[1:]


def test_help_loads_nothing_large():
    run = "import runpy\ntry: runpy.run_path('train.py', run_name='__main__')\nexcept SystemExit: pass"
    assert loaded(f"sys.argv = ['train.py', '--help']\n{run}") == []


def test_options_are_checked_before_lightning_is_loaded():
    assert loaded("import lra.training.run") == ["torch"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["experiment=lra/listop-s4d"], "Did you mean 'lra/listops-s4d'"),
        (["experiment=lra/listops-s4d", "kernal.init=lin"], "Did you mean 'kernel.init'"),
        (["experiment=lra/listops-s4d", "kernel=s4dd"], "Did you mean 's4d'"),
        (["experimnt=lra/listops-s4d"], "Did you mean 'experiment'"),
        (["experiment=lra/listops-s4d", "kernel.init=legz"], "legs"),
        (["experiment=lra/listops-s4d", "task.path=/nowhere"], "basic_train.tsv"),
        (["experiment=lra/listops-s4d", "trainer.accelerator=gpu", "trainer.devices=99"], "PyTorch sees"),
        (["listops"], "key=value"),
    ],
)
def test_mistakes_get_a_message_not_a_traceback(arguments, message):
    result = train(*arguments)
    assert result.returncode == 2
    assert result.stderr.startswith("error: ")
    assert message in result.stderr
    assert "Traceback" not in result.stderr


def test_smoke_run_twice(smoke):
    first = train(*smoke)
    assert first.returncode == 0, first.stderr
    assert "Traceback" not in first.stderr
    assert "majority class" in first.stdout
    assert "60.47" in first.stdout  # the paper's number, beside ours
    score = re.search(r"ours +([\d.]+)", first.stdout).group(1)
    second = train(*smoke)
    assert second.returncode == 0
    assert "is finished" in second.stdout
    assert re.search(r"ours +([\d.]+)", second.stdout).group(1) == score


def test_sweep_outlives_a_job_that_fails(smoke):
    result = train("-m", *smoke, "kernel.init=inv,nosuch,lin")
    assert result.returncode == 1, result.stderr
    checked, failed = result.stderr.split("error: ")
    assert checked.startswith("1 of 3 jobs cannot run; the others do:\n#1 kernel.init=nosuch: ")
    assert "1 of 3 runs failed:\n#1 kernel.init=nosuch: " in failed
    runs, _, table = result.stdout.partition("Records by")
    assert [line.partition(": ")[0] for line in runs.splitlines() if line.startswith("#")] == [
        "#0 lra/listops-s4d kernel.init=inv seed=0",
        "#2 lra/listops-s4d kernel.init=lin seed=0",
    ]
    assert "╭" not in runs  # neither cards nor epochs
    assert "epoch" not in runs
    assert re.findall(r"^(inv|lin) .* 0 *$", table, flags=re.MULTILINE) == ["inv", "lin"]
    assert max(map(len, result.stdout.splitlines())) <= 80
    records = [store.load(path) for path in Path(smoke[-1].partition("=")[2]).rglob("*.json")]
    assert sorted(record.config["kernel"]["init"] for record in records) == ["inv", "lin"]
    assert {record.status for record in records} == {"complete"}


def test_sweep_of_seeds_with_its_records_in_the_home_folder_ends_with_a_table(tmp_path):
    places = [f"data_dir={tmp_path}/data", f"output_dir={tmp_path}/outputs", "results_dir='~/results'"]
    toy = ["task=toy", f"hydra.searchpath=[file://{CONF}]", *SMALL, *places, "trainer.epochs=1"]
    result = train("-m", *toy, "seed=0,1", env=os.environ | {"HOME": str(tmp_path)})
    assert result.returncode == 0, result.stderr
    assert "\nRuns\n" in result.stdout
    assert "(n=2)" in result.stdout
    assert len([*tmp_path.glob("results/runs/**/*.json")]) == 2


def test_sweep_without_a_job_that_can_run_says_so_once(smoke):
    result = train("-m", *smoke, "kernel.init=nosuch", "seed=0,1")
    assert result.returncode == 2
    assert result.stderr.count("nosuch") == 1
    assert result.stderr.startswith("error: ")


@pytest.mark.slow
def test_interrupted_run_resumes(smoke, tmp_path):
    longer = [*smoke, "budget.epochs=4"]
    environment = os.environ | {"PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(
        [sys.executable, "train.py", *longer],
        cwd=CHECKOUT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment,
    )
    for line in process.stdout:
        if line.startswith("epoch 1/"):
            process.send_signal(signal.SIGINT)
            break
    rest = process.communicate(timeout=120)[0]
    assert process.returncode == 130, rest
    assert "resumes from what is saved" in rest
    result = train(*longer)
    assert result.returncode == 0, result.stderr
    assert "resuming from" in result.stdout


@pytest.mark.slow
def test_generation_outlives_signals(tmp_path):
    """What was generated stays, and the next command, of either kind, takes it up."""

    def done() -> int:
        marker = next((tmp_path / "pathfinder").glob(".*.partial/done.txt"), None)
        return int(marker.read_text() or 0) if marker else 0

    generate = ["-m", "lra", "data", "pathfinder", "--data-dir", str(tmp_path)]
    where = [f"{key}_dir={tmp_path}/{key}" for key in ("output", "results")]
    train_on_it = ["train.py", "experiment=lra/pathfinder-s4d", f"data_dir={tmp_path}", *where]
    for arguments, signum, code in ((generate, signal.SIGTERM, 143), (train_on_it, signal.SIGINT, 130)):
        before, deadline = done(), time.monotonic() + 200
        process = subprocess.Popen(
            [sys.executable, *arguments],
            cwd=CHECKOUT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        while done() <= before and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.1)
        process.send_signal(signum)
        said = process.communicate(timeout=60)[0]
        assert process.returncode == code, said
        assert "The same command resumes" in said or "the same command resumes" in said
        assert done() > before, said
