"""A day with a GPU: everything that is to be found out on one, cheapest first; the same command resumes.

    python scripts/gpu.py time_limit=2h

1. the self-check, and the tests that need a GPU;  2. the benchmarks of kernels and of whole steps;
3. a plan for each recipe of the study first-cells: hours and memory;  4. the runs of that study, column by column.

What is done is skipped. Everything lands in results/gpu/<card>/, results/benchmarks/ and results/runs/: send these
folders back as a pull request (CONTRIBUTING.md). tf32=true lets channel mixing multiply in TF32.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from lra.bounds import seconds
from lra.cli import run
from lra.errors import TIMED_OUT, UserError, choose, key_value
from lra.files import write_text
from lra.paths import short, workspace
from lra.terminal import Console

STUDY = "first-cells"


def main(arguments: list[str]) -> int:
    """Carry out what is not done yet; the exit status is that of the study's runs, 124 when the time is over."""
    if {"-h", "--help"} & set(arguments):
        print(__doc__.strip())
        return 0
    given = dict(key_value(argument, "time_limit=2h") for argument in arguments)
    for key in given:
        choose("The option", key, ("time_limit", "tf32"))
    try:
        limit = seconds(given["time_limit"]) if "time_limit" in given else None
    except ValueError as error:
        raise UserError(f"time_limit={given['time_limit']}: {error}.") from None
    end = None if limit is None else time.monotonic() + limit
    import torch

    if not torch.cuda.is_available():
        raise UserError("This needs a CUDA device, and PyTorch finds none. Everything else runs on CPUs.")
    console = Console()
    folder = workspace() / "results" / "gpu" / slug(torch.cuda.get_device_name())
    folder.mkdir(parents=True, exist_ok=True)
    self_check(folder / "self-check.json", console)
    extra = [f"trainer.tf32={given['tf32']}"] if "tf32" in given else []
    for target, command in stages(folder, extra):
        left = None if end is None else end - time.monotonic()
        if left is not None and left <= 0:
            break
        if not target.exists():
            keep(target, command, console, left)
    if end is not None:
        if (left := round(end - time.monotonic())) <= 0:
            console.print("The time limit is reached. The same command resumes.")
            return TIMED_OUT
        extra = [*extra, f"time_limit={left}s"]
    return subprocess.run(entry("study", "run", STUDY, *extra), check=False).returncode


def slug(name: str) -> str:
    """A folder's name for a card: NVIDIA H100 80GB HBM3 is nvidia-h100-80gb-hbm3."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def self_check(target: Path, console: Console) -> None:
    """Compare the fast operations with their twins, keep the errors. Raises UserError if this GPU computes wrong."""
    import torch

    from lra.training.selfcheck import self_check

    notes: list[str] = []
    errors = self_check(torch.device("cuda"), notes.append)
    write_text(target, json.dumps({"errors": errors, "notes": notes, "torch": torch.__version__}, indent=1) + "\n")
    console.print("\n".join([f"self-check: greatest error {max(errors.values()):.0e}", *notes]))


def stages(folder: Path, extra: Sequence[str]) -> list[tuple[Path, list[str]]]:
    """Every step before the runs: the file that says that it is done, and its command."""
    from lra.studies.jobs import jobs
    from lra.studies.schema import load_study

    scripts = Path(__file__).parent
    tests = [sys.executable, "-m", "pytest", "-q", "-m", "gpu", str(scripts.parent / "tests")]
    made = [(folder / "tests.txt", tests)]
    for what in ("kernels", "step"):
        measure = [sys.executable, str(scripts / "benchmark.py"), what, "--device", "cuda"]
        made.append((folder / f"benchmark-{what}.txt", measure))
    for job in jobs(load_study(STUDY), extra=extra):
        name = "-".join(re.findall(r"[\w-]+", job.cell))
        made.append((folder / f"plan-{name}.txt", entry("train", *job.arguments, "plan=true")))
    return made


def entry(*arguments: str) -> list[str]:
    """A command of `lra` in a process of its own."""
    return [sys.executable, "-m", "lra", *arguments]


def keep(target: Path, command: Sequence[str], console: Console, left: float | None) -> None:
    """Run a command and keep what it says in `target`, if it ends well and in time; else in `target`.failed."""
    console.print(f"{short(target)} …", soft_wrap=True)
    try:
        result = subprocess.run(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=left, check=False
        )
    except subprocess.TimeoutExpired:
        console.print("  the time limit is reached; the same command begins this step again")
        return
    ended = target if result.returncode == 0 else target.with_suffix(".failed")
    write_text(ended, result.stdout)
    if result.returncode:
        console.print(f"  failed, see {short(ended)}", soft_wrap=True)


if __name__ == "__main__":
    run(main, sys.argv[1:])
