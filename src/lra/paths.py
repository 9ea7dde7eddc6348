"""Where things lie: what the package brings along, and the workspace that runs read and write."""

from __future__ import annotations

import importlib.util
import os
import sys
from functools import cache
from importlib import metadata
from pathlib import Path

from lra.errors import UserError

PACKAGE = Path(__file__).resolve().parent


def _checkout() -> Path | None:
    folder = PACKAGE.parents[1]
    return folder if PACKAGE.parent.name == "src" and (folder / "configs" / "train.yaml").is_file() else None


CHECKOUT = _checkout()  # the repository that this code is in; None where the package is installed

# In a wheel these lie inside the package.
CONFIG_DIR = CHECKOUT / "configs" if CHECKOUT else PACKAGE / "configs"
STUDIES_DIR = CHECKOUT / "experiments" if CHECKOUT else PACKAGE / "experiments"
REPORTED_DIR = CHECKOUT / "results" / "reported" if CHECKOUT else PACKAGE / "reported"


def extensions() -> list[Path]:
    """Folders of others that add to ours: recipes and other configurations in `configs/`, studies in `experiments/`,
    papers' numbers in `reported/`.

    They are those of installed packages with an entry point in the group `lra`, and those that the environment
    variable LRA_PATH lists. Raises UserError for a folder that is not there.
    """
    named = [Path(text).expanduser() for text in os.environ.get("LRA_PATH", "").split(os.pathsep) if text]
    for folder in named:
        if not folder.is_dir():
            raise UserError(f"LRA_PATH names {folder}, which is no folder.")
    folders = [*named, *(folder for folder in _installed(tuple(sys.path)) if folder.is_dir())]
    return list(dict.fromkeys(folder.resolve() for folder in folders))


@cache
def _installed(_: tuple[str, ...]) -> tuple[Path, ...]:
    """Folders of the packages that are installed on sys.path; to ask reads the metadata of all of them."""
    specs = [importlib.util.find_spec(point.value) for point in metadata.entry_points(group="lra")]
    return tuple(Path(place) for spec in specs if spec for place in spec.submodule_search_locations or [])


def config_dirs() -> list[Path]:
    """Where configurations are looked for: our folder first."""
    return [CONFIG_DIR, *_inside("configs")]


def studies_dirs() -> list[Path]:
    """Where studies are looked for."""
    return [STUDIES_DIR, *_inside("experiments")]


def reported_dirs() -> list[Path]:
    """Where the papers' numbers are looked for."""
    return [REPORTED_DIR, *_inside("reported")]


def _inside(name: str) -> list[Path]:
    return [folder / name for folder in extensions() if (folder / name).is_dir()]


def workspace() -> Path:
    """The folder that holds data/, outputs/ and results/: the checkout, or the current folder without one."""
    return CHECKOUT or Path.cwd()


def in_checkout() -> bool:
    """Whether train.py, scripts/ and constraints.txt are in the current folder."""
    return Path.cwd() == CHECKOUT


def short(path: Path) -> str:
    """The path within the current folder, or the whole if it is elsewhere."""
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)
