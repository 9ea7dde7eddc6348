"""Train one recipe, or a sweep: the command line is Hydra's."""

from __future__ import annotations

import os
import sys

from lra import __version__, environment
from lra.cli import explain_errors
from lra.composition import with_searchpath
from lra.paths import CONFIG_DIR


def main(arguments: list[str]) -> None:
    """Compose the configuration from configs/ and run it; without arguments, say what there is to run."""
    if not arguments or {"-h", "--help"} & set(arguments):
        from lra.commands.usage import usage

        print(usage("lra train" if sys.argv[1:2] == ["train"] else "python train.py"))
        return
    if "--version" in arguments:
        print(f"lra {__version__}")
        return
    if any(text.startswith("query=") for text in arguments):  # a shell that completes a word
        from lra.commands.usage import completions

        if (recipes := completions(os.environ.get("COMP_LINE", ""))) is not None:
            print(*recipes)
            return
    import hydra
    from omegaconf import DictConfig

    from lra import sweep
    from lra.advice import check_flags, lazy_help
    from lra.composition import as_dict

    command = sys.argv[1:]
    entered = command[: len(command) - len(arguments)]  # `train` of `lra train`
    sys.argv[1:] = with_searchpath(arguments)  # Hydra reads them there

    @hydra.main(version_base="1.3", config_path=str(CONFIG_DIR), config_name="train")
    def train(cfg: DictConfig) -> float | None:
        from hydra.core.hydra_config import HydraConfig
        from hydra.types import RunMode

        environment.configure()  # a launcher's job may be a process that was started otherwise
        chosen, record = HydraConfig.get(), None
        sweeping = chosen.mode == RunMode.MULTIRUN
        sys.argv[1:] = command
        if sweeping:
            # A run starts further processes with its own command, not the sweep's.
            searchpath = [a for a in arguments if a.startswith("hydra.searchpath=")]
            sys.argv[1:] = [*entered, *chosen.overrides.task, *searchpath]
        with sweep.job(chosen, cfg.results_dir) if sweeping else explain_errors() as finished:
            from lra.training.run import run

            record = run(
                as_dict(cfg, resolve=True),
                experiment=chosen.runtime.choices.get("experiment"),
                overrides=list(chosen.overrides.task),
                brief=sweep.shares_terminal(chosen),
            )
            if finished is not None and record is not None:
                finished.append(record)
        return record.metrics.best_val.value if record and record.metrics.best_val else None

    check_flags(arguments)
    with sweep.reported(), lazy_help():
        train()
