"""One run, from a composed configuration to a finished record."""

from __future__ import annotations

import shutil
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from lra.composition import with_swaps
from lra.config import Config
from lra.errors import Interrupted, UserError
from lra.files import Busy, locked
from lra.paths import short
from lra.records import store
from lra.records.schema import RunRecord
from lra.records.sources import changed
from lra.tables.comparison import comparison
from lra.terminal import Console, complain, counted
from lra.training.processes import StopSignal, check_launch, is_main, prepare_process, process_group, requeue
from lra.training.report import card, preparation

if TYPE_CHECKING:
    from lra.training.assemble import Assembled


def run(
    composed: Mapping[str, Any],
    *,
    experiment: str | None = None,
    overrides: Sequence[str] = (),
    brief: bool = False,
) -> RunRecord | None:
    """Train, select on validation, test once, write the record, print the comparison; return the record.

    `brief` leaves out the card, the epochs and the comparison: a sweep shows its runs in its own way.
    An identical command finds the finished record and shows it, or resumes from the last checkpoint. Raises
    UserError for what the user can fix; the record then says `failed` and why. A signal ends the process with its
    exit code. Where several processes train together each of them calls this, and the first alone writes and speaks.
    """
    tree, swaps = with_swaps(composed, overrides)
    config = Config.parse(tree)
    check_launch(config.trainer)
    console = Console(quiet=not is_main())
    cards = Console(quiet=brief or not is_main())
    name = experiment or f"custom/{composed['task']['_target_'].rpartition('.')[2].lower()}"
    run_dir = config.output_dir / name / config.run_id()
    record_path = config.results_dir / "runs" / name / f"{config.run_id()}.json"
    previous = None if config.plan or config.force else _previous(record_path, run_dir)
    if previous is not None and previous.status == "complete":
        _show_finished(previous, record_path, config, cards)
        return previous

    # These import Lightning, which takes longer than a wrong option or a finished run should wait for its answer.
    from lra.training.assemble import assemble, make_task
    from lra.training.fit import Training, write
    from lra.training.forecast import forecast
    from lra.training.new_record import new_record
    from lra.training.plan import estimate

    prepare_process(config.trainer)
    if config.plan:
        with preparation(console) as progress, TemporaryDirectory() as nowhere:
            assembled = assemble(config, progress)
            record = new_record(config, assembled, name, experiment, overrides, Path(nowhere), None)
        console.print(card(record, "none", swaps))
        estimate(config, assembled, console)
        return None
    stop = StopSignal(config.trainer.time_limit)
    with _exclusive(run_dir, record_path), process_group(), stop.caught():
        try:
            previous = None if config.force else _previous(record_path, run_dir)  # another process may have gone on
            if previous is not None and previous.status == "complete":
                _show_finished(previous, record_path, config, cards)
                return previous
            if previous is not None:
                _check_checkpoints(previous, record_path, run_dir / "checkpoints")
            _clean(record_path)
            if words := forecast(config, make_task(config).spec):
                console.print(words)
            with preparation(console) as progress:
                assembled = assemble(config, progress)
            if previous is not None:
                _check_data(previous, assembled)
            record = new_record(config, assembled, name, experiment, overrides, run_dir, previous)
            write(record, config.results_dir)
            if config.force and is_main():
                _discard(run_dir, console)
            cards.print(card(record, short(run_dir), swaps))
            record = Training(config, assembled, record, run_dir, console, stop, brief=brief).run()
        except Interrupted as interrupted:
            stop.deferred = True  # to requeue a job SLURM ends it, which must not break off what follows
            why = "Interrupted" if interrupted.signum is not None else "The time limit is reached"
            again = is_main() and not config.force  # with it the run would begin anew each time, and never end
            queued = again and interrupted.signum not in (None, signal.SIGINT) and requeue()
            resumes = "The same command without force=true resumes" if config.force else "The same command resumes"
            then = "SLURM will start it again" if queued else f"{resumes} from what is saved"
            console.print(f"{why}. {then}.")
            sys.exit(interrupted.exit_status if is_main() else 0)
        _compare(record, config, cards)
    return record


def _show_finished(record: RunRecord, place: Path, config: Config, console: Console) -> None:
    console.print(
        f"This run is finished ({short(place)}). force=true trains it again from the start, and discards its "
        "checkpoints.",
        soft_wrap=True,
    )
    if names := changed(record.code.sources, record.config):
        console.print(
            f"The code of this run has changed since: {', '.join(names)}. What follows is the result of the "
            f"earlier code ({record.code.label}).",
            soft_wrap=True,
        )
    _compare(record, config, console)


def _previous(record_path: Path, run_dir: Path) -> RunRecord | None:
    """The record that an earlier start of the same run left. Raises UserError for a damaged one."""
    if not record_path.exists():
        return None
    try:
        return store.load(record_path)
    except UserError as error:
        raise UserError(
            f"{error}. Delete {record_path}: the same command then resumes from the checkpoints in "
            f"{run_dir / 'checkpoints'}, which stay, and writes the record anew."
        ) from None


def _check_checkpoints(previous: RunRecord, record_path: Path, folder: Path) -> None:
    """Raise UserError if the run would start over and overwrite the record of what was done."""
    from lra.training.checkpoint import saved

    if previous.budget.done_steps and not saved(folder):
        raise UserError(
            f"{record_path} has {previous.budget.done_steps:,} of {previous.budget.planned_steps:,} steps of this run, "
            f"but there is no checkpoint of it in {folder}. Put them there, or give output_dir=… if they lie "
            "elsewhere; force=true trains the run from the start and replaces its record."
        )


def _check_data(previous: RunRecord, assembled: Assembled) -> None:
    """Raise UserError if the run would go on with other data than those it was trained on."""
    then, steps = previous.data, previous.budget.done_steps
    if steps and then.fingerprint != assembled.fingerprint:
        raise UserError(
            f"This run was trained for {steps:,} steps on {then.variant} data ({then.fingerprint}); the data of "
            f"{then.task} are now {assembled.variant} ({assembled.fingerprint}). Give the data_dir=… of then, or put "
            "the files back that its data were made of; force=true trains the run from the start."
        )


def _clean(record_path: Path) -> None:
    """Remove what writers of this record that were killed left behind; only one process runs it at a time."""
    if is_main():
        for path in record_path.parent.glob(f".{record_path.name}.*.partial"):
            path.unlink(missing_ok=True)


def _discard(run_dir: Path, console: Console) -> None:
    """Forget the run's earlier starts, and say so."""
    if checkpoints := [*run_dir.glob("checkpoints/*")]:
        console.print(f"force=true: {counted(len(checkpoints), 'checkpoint')} of earlier starts discarded.")
    for part in ("checkpoints", "logs"):
        shutil.rmtree(run_dir / part, ignore_errors=True)


def _compare(record: RunRecord, config: Config, console: Console) -> None:
    """Show the run beside the paper's number. The record is complete: whatever happens here fails no run."""
    if console.quiet:
        return
    try:
        console.print(comparison(record, config.results_dir))
    except Exception as error:
        complain(f"The record is complete, but it cannot be compared with the paper's: {error}")


@contextmanager
def _exclusive(run_dir: Path, record_path: Path) -> Iterator[None]:
    """Locks on the run's folder and on its record, which may be written from another folder; held by the main process.

    Raises UserError if another process holds one, or if a folder cannot be written.
    """
    locks = {"output_dir": run_dir / "lock", "results_dir": record_path.with_name(f".{record_path.stem}.lock")}
    with ExitStack() as held:
        for key, lock in locks.items() if is_main() else ():
            try:
                held.enter_context(locked(lock, wait=False))
            except Busy:
                raise UserError(
                    f"This run is active in another process (lock {lock}). Wait until that ends, or stop it."
                ) from None
            except OSError as error:
                raise UserError(
                    f"{lock.parent} cannot be written: {error.strerror}. Choose another {key}=…, or fix the folder."
                ) from error
        yield
