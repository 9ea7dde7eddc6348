"""Where things lie: what the package brings along, and the workspace that runs read and write."""

from __future__ import annotations

from pathlib import Path

PACKAGE = Path(__file__).resolve().parent


def _checkout() -> Path | None:
    folder = PACKAGE.parents[1]
    return folder if PACKAGE.parent.name == "src" and (folder / "configs" / "train.yaml").is_file() else None


CHECKOUT = _checkout()  # the repository that this code is in; None where the package is installed

# In a wheel these lie inside the package.
CONFIG_DIR = CHECKOUT / "configs" if CHECKOUT else PACKAGE / "configs"
STUDIES_DIR = CHECKOUT / "experiments" if CHECKOUT else PACKAGE / "experiments"
REPORTED_DIR = CHECKOUT / "results" / "reported" if CHECKOUT else PACKAGE / "reported"


def workspace() -> Path:
    """The folder that holds data/, outputs/ and results/: the checkout, or the current folder without one."""
    return CHECKOUT or Path.cwd()


def short(path: Path) -> str:
    """The path within the workspace, or the whole if it is elsewhere."""
    return str(path.relative_to(workspace())) if path.is_relative_to(workspace()) else str(path)
