"""The promises of docs/clusters.md, on a real SLURM of one node that scripts/slurm_cluster.sh starts."""

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from toy import CONF, SMALL, folders

from lra.paths import CHECKOUT
from lra.records import store

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun")
PATH = f"{os.environ['PATH']}:/usr/sbin"
EPOCHS = 40  # enough for a signal at the first checkpoint to find the run at work

pytestmark = [
    pytest.mark.slow,
    pytest.mark.slurm,
    pytest.mark.timeout(600),
    pytest.mark.skipif(
        any(shutil.which(program, path=PATH) is None for program in PROGRAMS),
        reason="SLURM is not installed: scripts/slurm_cluster.sh install",
    ),
]


class Cluster:
    """A cluster whose files, and those of the runs on it, are in `folder`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = os.environ | {
            "SLURM_CONF": f"{folder}/cluster/slurm.conf",
            "PATH": f"{Path(sys.executable).parent}:{PATH}",
            "PYTHONPATH": f"{CHECKOUT}/src:{CHECKOUT}/tests",
            "OMP_NUM_THREADS": "1",
        }

    def call(self, *command: str) -> str:
        done = subprocess.run(
            command,
            cwd=CHECKOUT,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}\n{self.logs()}"
        return done.stdout

    def launch(self, *arguments: str) -> subprocess.Popen[str]:
        """The launcher's command of docs/clusters.md, with runs of the toy task."""
        command = [sys.executable, "train.py", "-m", "hydra/launcher=slurm", "hydra.launcher.partition=gpu"]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        return subprocess.Popen([*command, *self.toy(), *arguments], cwd=CHECKOUT, env=self.environment, **pipes)

    def toy(self) -> list[str]:
        sizes = [f"trainer.epochs={EPOCHS}", f"scheduler.total_steps={6 * EPOCHS}"]
        return ["task=toy", f"hydra.searchpath=[file://{CONF}]", *SMALL, *sizes, *folders(self.folder)]

    def jobs(self) -> dict[int, str]:
        """Ids of the jobs that SLURM still holds in its queue, by their numbers in the array (0 outside)."""
        lines = self.call("squeue", "--noheader", "--array", "--format=%i").split()
        return {int(line.partition("_")[2] or 0): line for line in lines}

    def shown(self, job: str, field: str) -> str:
        return re.search(rf"\b{field}=(\S+)", self.call("scontrol", "show", "job", job))[1]

    def records(self) -> dict[int, Any]:
        records, problems = store.load_all(self.folder / "results")
        assert problems == []
        return {record.identity.seed: record for record in records}

    def status(self, seed: int) -> str | None:
        return self.records()[seed].status if seed in self.records() else None

    def saved(self, seed: int) -> bool:
        """Whether the run has written a checkpoint."""
        return seed in self.records() and self.records()[seed].metrics.best_val is not None

    def wait(self, what: Callable[[], bool], seconds: int = 240) -> None:
        deadline = time.monotonic() + seconds
        while not what():
            assert time.monotonic() < deadline, self.logs()
            time.sleep(0.1)

    def logs(self) -> str:
        files = [*self.folder.rglob("*log.out"), *self.folder.rglob("*log.err"), *self.folder.rglob("job-*")]
        return "\n".join(f"{path}\n{path.read_text()[-2000:]}" for path in files)


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    cluster = Cluster(tmp_path)
    cluster.call("scripts/slurm_cluster.sh", "up", f"{tmp_path}/cluster")
    yield cluster
    cluster.call("scripts/slurm_cluster.sh", "down", f"{tmp_path}/cluster")


def test_array_with_a_warning(cluster):
    launcher = cluster.launch("seed=0,1")
    cluster.wait(lambda: cluster.saved(1))
    warned = cluster.jobs()[1]
    cluster.call("scancel", "--signal=USR2", warned)  # what SLURM sends signal_delay_s before the end
    cluster.wait(lambda: cluster.status(1) == "interrupted")
    assert 0 < cluster.records()[1].budget.done_epochs < EPOCHS
    said = launcher.communicate(timeout=300)[0]
    assert launcher.returncode == 0, said + cluster.logs()
    assert cluster.shown(warned, "Restarts") == "1"
    assert {seed: record.status for seed, record in cluster.records().items()} == {
        0: "complete",
        1: "complete",
    }
    (said,) = cluster.folder.rglob("*_1_0_log.out")
    assert said.read_text().count("epoch 1/") == 1  # the second start did not begin again
    results = f"--results-dir={cluster.folder}/results"
    table = cluster.call(sys.executable, "scripts/make_tables.py", results, "--group", "seed", "--format=csv")
    assert [line.split(",")[1] for line in table.splitlines()[1:]] == ["0", "1"], table


def test_cancelled_job_of_a_stopped_launcher(cluster):
    launcher = cluster.launch("seed=0,1")
    cluster.wait(lambda: cluster.saved(0) and cluster.saved(1))
    launcher.kill()  # the jobs go on without it
    launcher.communicate()
    cancelled = cluster.jobs()[1]
    cluster.call("scancel", cancelled)
    cluster.wait(lambda: not cluster.jobs())
    assert cluster.shown(cancelled, "JobState") == "CANCELLED"
    assert cluster.shown(cancelled, "Restarts") == "0"
    assert cluster.status(0) == "complete"
    assert cluster.status(1) == "interrupted"


def test_own_script(cluster):
    script = re.search(r"```sh\n(#!/bin/bash\n.*?)```", (CHECKOUT / "docs/clusters.md").read_text(), re.S)[1]
    command = "python train.py experiment=lra/pathx-s4d"
    assert command in script
    written = cluster.folder / "job.sh"
    written.write_text(script.replace(command, " ".join(["python train.py", *cluster.toy()])))
    cluster.call("sbatch", f"--output={cluster.folder}/job-%j", str(written))
    cluster.wait(lambda: cluster.saved(0))
    job = cluster.jobs()[0]
    cluster.call("scancel", "--signal=USR1", job)
    cluster.wait(lambda: not cluster.jobs())
    assert cluster.shown(job, "Restarts") == "1"
    assert cluster.status(0) == "complete"
