"""Hashes of the code that decides a run's result, so that a later reader can tell whether it has changed."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from lra.nodes import target
from lra.paths import PACKAGE

MODEL_PARTS = ("ops", "kernels", "mixers", "models")  # folders of the package that hold the model


def sources(config: Mapping[str, Any]) -> dict[str, str]:
    """sha256 by name: `lra` for the model's code in this package, and every `_target_` from outside it.

    An outside class is hashed with those of its base classes that come from the same package.
    """
    own = [file for part in MODEL_PARTS for file in sorted((PACKAGE / part).glob("**/*.py"))]
    found = {"lra": _sha256(own)}
    for node in _targets(config):
        if not node["_target_"].startswith("lra."):
            found[node["_target_"]] = _sha256(_files(target(node)))
    return found


def changed(recorded: Mapping[str, str], config: Mapping[str, Any]) -> list[str]:
    """Names whose code is not what it was when it was recorded; records before this was kept have none."""
    now = sources(config) if recorded else {}
    return [name for name, digest in recorded.items() if now.get(name) != digest]


def _targets(node: Any) -> Iterator[Mapping[str, Any]]:
    if isinstance(node, Mapping):
        if "_target_" in node:
            yield node
        for child in node.values():
            yield from _targets(child)


def _files(kind: type) -> list[Path]:
    package = kind.__module__.partition(".")[0]
    own = (base for base in kind.__mro__ if base.__module__.partition(".")[0] == package)
    return sorted({Path(inspect.getfile(base)) for base in own})


def _sha256(files: list[Path]) -> str:
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.name.encode() + b"\0" + file.read_bytes() + b"\0")
    return digest.hexdigest()
