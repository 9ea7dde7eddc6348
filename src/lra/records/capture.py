"""What a record says of code, machine and time. Nothing here names a host, a user or an address."""

from __future__ import annotations

import getpass
import hashlib
import platform
import re
import resource
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from lra import __version__
from lra.errors import UserError
from lra.paths import workspace
from lra.records.revision import package_sha256, revision
from lra.records.schema import Code
from lra.records.secrets import MASK, is_secret, masked, masked_command
from lra.records.sources import sources
from lra.terminal import visible

PACKAGES = (
    "torch",
    "pytorch-lightning",
    "hydra-core",
    "omegaconf",
    "numpy",
    "numba",
    "scipy",
    "torchmetrics",
)


def now() -> str:
    """The time in UTC, to the second."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def anonymous(value: Any) -> Any:
    """The value without host and user names: of paths, the project's folder becomes `.` and the home folder `~`.

    Secrets are masked, control characters are written as escapes. Strings inside lists and mappings are treated
    likewise.
    """
    if isinstance(value, dict):
        return {
            visible(key): MASK if is_secret(key) and item is not None else anonymous(item)
            for key, item in value.items()
        }
    if isinstance(value, list):
        return [anonymous(item) for item in value]
    if not isinstance(value, str):
        return value
    value = visible(masked(value))
    for folder, shown in ((workspace(), "."), (Path.home(), "~")):
        value = re.sub(rf"{re.escape(str(folder))}(?![\w.-])", shown, value)
    for name, shown in ((_user(), "<user>"), (platform.node(), "<host>")):
        if name:
            value = re.sub(rf"(?<=/){re.escape(name)}(?![\w.-])", shown, value)
    return value


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user without a name
        return ""


def capture_code(run_dir: Path, command: list[str], config: Mapping[str, Any]) -> Code:
    """Version, git revision, packages, and hashes of the code that the configuration names.

    Uncommitted changes are saved as `code.patch` in `run_dir`.
    """
    code = revision()
    if code.patch:
        try:
            run_dir.mkdir(parents=True, exist_ok=True)
            (run_dir / "code.patch").write_bytes(code.patch)
        except OSError as error:
            raise UserError(
                f"{run_dir / 'code.patch'} could not be written: {error.strerror}. Free some space or choose another "
                "output_dir."
            ) from error
    return Code(
        version=__version__,
        git_rev=code.git_rev,
        git_unknown=code.unknown,
        package_sha256=None if code.git_rev else package_sha256(),
        dirty=bool(code.patch),
        patch_sha256=hashlib.sha256(code.patch).hexdigest() if code.patch else None,
        sources=sources(config),
        python=platform.python_version(),
        platform=f"{platform.system()} {platform.machine()}",
        packages={name: metadata.version(name) for name in PACKAGES},
        command=anonymous(masked_command(_as_typed(command))),
    )


def _as_typed(command: list[str]) -> list[str]:
    """The command without the folders of Python and of the script `lra`."""
    if len(command) > 1 and Path(command[1]).name == "lra":
        return ["lra", *command[2:]]
    return ["python", *command[1:]]


def device_name(device: torch.device) -> str:
    """The GPU's name, or "cpu"."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"


def peak_memory(device: torch.device) -> int:
    """Bytes: the most that PyTorch allocated on a GPU; on a CPU the most that the process had resident."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def reserved_memory(device: torch.device) -> int | None:
    """Bytes: the most that PyTorch took from a GPU, allocated or not; None on a CPU."""
    return torch.cuda.max_memory_reserved(device) if device.type == "cuda" else None


def reset_memory(device: torch.device) -> None:
    """Forget the peaks of a GPU's memory so far, such as those of an earlier run of a sweep."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
