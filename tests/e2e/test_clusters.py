"""Sweeps on a cluster's machinery: SLURM through submitit, and Ray."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest
from toy import CONF, SMALL, folders

from lra.paths import CHECKOUT
from lra.records import store

SBATCH = """#!/bin/sh
for script; do :; done
spool=$(dirname "$0")/spool  # a copy, as SLURM makes: submitit moves the script as soon as this command returns
cp "$script" "$spool"
last=$(sed -n 's/^#SBATCH --array=0-\\([0-9]*\\).*/\\1/p' "$spool")
for task in $(seq 0 "$last"); do
  SLURM_ARRAY_JOB_ID=77 SLURM_ARRAY_TASK_ID=$task SLURM_JOB_ID=$((100 + task)) SLURM_NTASKS=1 SLURM_PROCID=0 \\
  SLURM_LOCALID=0 SLURM_NODEID=0 SLURM_JOB_NAME=lra sh "$spool" > "$(dirname "$0")/task-$task.log" 2>&1 &
done
echo "Submitted batch job 77"
"""
SRUN = """#!/bin/sh
while true; do case "$1" in --unbuffered) shift;; --*) shift 2;; *) break;; esac; done
exec "$@"
"""
COMMANDS = {"sbatch": SBATCH, "srun": SRUN, "sacct": "#!/bin/sh\n", "scancel": "#!/bin/sh\n"}


def start(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A sweep of short runs on the toy task."""
    for name, script in COMMANDS.items():
        (folder / name).write_text(script)
        (folder / name).chmod(0o755)
    command = [sys.executable, "train.py", "-m", "task=toy", f"hydra.searchpath=[file://{CONF}]", *SMALL]
    command += ["trainer.epochs=1", *folders(folder), *arguments]
    environment = {
        "PYTHONPATH": f"{CHECKOUT}/src:{CHECKOUT}/tests",
        "OMP_NUM_THREADS": "1",
        "HOME": str(folder),
    }
    environment["PATH"] = f"{folder}:{os.environ['PATH']}"
    try:
        return subprocess.run(
            command, cwd=CHECKOUT, env=environment, capture_output=True, text=True, timeout=250, check=False
        )
    except subprocess.TimeoutExpired as error:
        logs = [f"{log.name}:\n{log.read_text()}" for log in sorted(folder.glob("task-*.log"))]
        pytest.fail("\n".join([str(error), *logs]))


def needs(plugin: str) -> pytest.MarkDecorator:
    there = importlib.util.find_spec("hydra_plugins") and importlib.util.find_spec(f"hydra_plugins.{plugin}")
    return pytest.mark.skipif(not there, reason=f"{plugin.replace('_', '-')} is not installed")


@pytest.mark.slow
@needs("hydra_submitit_launcher")
def test_slurm_array(tmp_path):
    result = start(tmp_path, "seed=0,1", "hydra/launcher=slurm", "hydra.launcher.partition=gpu")
    assert result.returncode == 0, result.stdout + result.stderr
    records, _ = store.load_all(tmp_path / "results")
    assert sorted((record.identity.seed, record.status) for record in records) == [(0, "complete"), (1, "complete")]
    asked = (tmp_path / "spool").read_text()
    for line in ("--array=0-1%2", "--partition=gpu", "--signal=USR2@120", "--requeue", "--time=1440"):
        assert f"#SBATCH {line}" in asked


@pytest.mark.slow
@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param(["hydra/launcher=submitit_local"], marks=needs("hydra_submitit_launcher")),
        pytest.param(["hydra/launcher=joblib"], marks=needs("hydra_joblib_launcher")),
        pytest.param(["hydra/launcher=ray", "+hydra.launcher.ray.init.num_cpus=2"], marks=needs("hydra_ray_launcher")),
        pytest.param(
            ["hydra/sweeper=optuna", "hydra/sweeper/sampler=grid", "hydra.sweeper.n_jobs=1"],
            marks=needs("hydra_optuna_sweeper"),
        ),
    ],
    ids=lambda arguments: arguments[0],
)
def test_a_failed_job_ends_no_other(tmp_path, arguments):
    result = start(tmp_path, "optimizer.lr=1e30,0.02", *arguments)
    assert result.returncode == 1, result.stdout + result.stderr
    assert "Traceback" not in result.stderr
    listed = result.stderr[result.stderr.index("1 of 2 runs failed:") :]
    assert "optimizer.lr=1e+30: The run diverged" in listed
    records, _ = store.load_all(tmp_path / "results")
    assert sorted(record.status for record in records) == ["complete", "failed"]
