"""Train one recipe: `python train.py experiment=lra/listops-s4d`. `python train.py --help` lists them all."""

import sys

from lra.cli import explain_errors


def main() -> None:
    """Compose the configuration from configs/ and run it."""
    import hydra
    from omegaconf import DictConfig, OmegaConf

    from lra import sweep

    @hydra.main(version_base="1.3", config_path="configs", config_name="train")
    def train(cfg: DictConfig) -> float | None:
        from hydra.core.hydra_config import HydraConfig

        chosen, record = HydraConfig.get(), None
        sweeping = chosen.mode.name == "MULTIRUN"
        if sweeping:
            # A run starts further processes with its own command, not the sweep's.
            searchpath = [a for a in sys.argv if a.startswith("hydra.searchpath=")]
            sys.argv[1:] = [*chosen.overrides.task, *searchpath]
        with sweep.job(chosen) if sweeping else explain_errors():
            from lra.training.run import run

            record = run(
                OmegaConf.to_container(cfg, resolve=True),
                experiment=chosen.runtime.choices.get("experiment"),
                overrides=list(chosen.overrides.task),
            )
        return record.metrics.best_val.value if record and record.metrics.best_val else None

    with sweep.reported():
        train()


if __name__ == "__main__":
    with explain_errors():
        main()
