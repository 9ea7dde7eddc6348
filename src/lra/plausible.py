"""Values that no option may have, whatever it is."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lra.errors import UserError

LONGEST_NAME, LONGEST_PATH = 255, 4000  # bytes, of Linux


def implausible(value: Any, key: str = "") -> Iterator[str]:
    """A sentence for every leaf of a configuration that is missing (`???`), not finite, −0.0 or has a NUL in it, and
    for places without a name."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from implausible(inner, f"{key}.{name}" if key else str(name))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from implausible(inner, f"{key}.{index}")
    elif value == "???":
        yield f"{key}: ??? stands for a value that is still missing; give one: {key}=…"
    elif isinstance(value, float) and not math.isfinite(value):
        yield f"{key}: must be a finite number (given: {value})"
    elif isinstance(value, float) and value == 0 and math.copysign(1, value) < 0:
        yield f"{key}: negative zero is no value of its own; write 0.0 (given: {value})"
    elif isinstance(value, str) and not value.strip() and key.endswith(("_dir", ".path")):
        yield f"{key}: is empty; name a place, or leave the option out"
    elif isinstance(value, str) and "\0" in value:
        yield f"{key}: no name or path holds a NUL character (given: {value!r})"


def located(key: str, path: str | Path) -> Path:
    """The path with `~` replaced. Raises UserError for what no file system takes."""
    try:
        path = Path(path).expanduser()
    except RuntimeError:
        raise UserError(
            f"{key}={path} begins with the home folder of a user that is not known here. Write it out."
        ) from None
    parts = [len(part.encode(errors="surrogateescape")) for part in path.parts]
    if sum(parts) > LONGEST_PATH or max(parts, default=0) > LONGEST_NAME:
        raise UserError(f"{key} is too long: a path has at most {LONGEST_PATH} bytes, a name in it {LONGEST_NAME}.")
    return path
