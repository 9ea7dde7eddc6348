"""What is set once, at the start of a command and of a job of a sweep, before any large library is imported."""

from __future__ import annotations

import getpass
import io
import os
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

DEFAULTS = {
    # Before torch is imported: threads that wait for work spin for some 0.1 ms only, then sleep. Sleeping at once
    # costs half the speed of short operations, spinning on costs two thirds where the cores are busy elsewhere.
    "GOMP_SPINCOUNT": "20000",
    "THP_MEM_ALLOC_ENABLE": "1",  # large tensors on huge pages: a tenth less time where pages are expensive
    "TORCH_LINALG_PREFER_CUSOLVER": "1",  # of MAGMA's ways to invert matrices each waits for the GPU
    # Nothing is reported to anyone: these switch off what libraries would send of their own accord.
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
    "WANDB_ERROR_REPORTING": "false",
    "WANDB_SILENT": "true",
}
CACHES = ("XDG_CACHE_HOME", "XDG_CONFIG_HOME", "TRITON_HOME")  # what libraries keep in the home folder

_kept: list[TemporaryDirectory] = []  # removed when the process ends


def configure() -> None:
    """Set what is not set; a second call changes nothing."""
    for name, value in DEFAULTS.items():
        os.environ.setdefault(name, value)
    # Hydra is to raise its errors, not to print them. Processes that this one starts inherit that, and what the user
    # wants.
    os.environ.setdefault("LRA_TRACEBACKS", os.environ.get("HYDRA_FULL_ERROR", "0"))
    os.environ["HYDRA_FULL_ERROR"] = "1"
    _name_the_user()
    _find_a_home()
    sys.stdout, sys.stderr = _lasting(sys.stdout), _lasting(sys.stderr)


def _name_the_user() -> None:
    """A container's user may have no passwd entry; PyTorch's compiler wants a name on import."""
    try:
        getpass.getuser()
    except (KeyError, OSError):
        os.environ["USER"] = str(os.getuid())


def _find_a_home() -> None:
    """Where the home folder is missing or cannot be written, caches go to a temporary one."""
    try:
        home = Path.home()
    except RuntimeError:  # no HOME and no passwd entry
        os.environ["HOME"] = _temporary()
        return
    if not os.access(home, os.W_OK):
        for name in CACHES:
            if name not in os.environ:
                os.environ[name] = _temporary()


def _temporary() -> str:
    if not _kept:
        _kept.append(TemporaryDirectory(prefix="lra-"))
    return _kept[0].name


class Lasting(io.TextIOWrapper):
    """Output that never ends a run: signs that the encoding lacks become `?`, and once nothing more can be written,
    because a pipe is closed or a disk is full, the rest is dropped."""

    def write(self, text: str) -> int:
        try:
            return super().write(text)
        except OSError:
            self._drop()
            return len(text)

    def flush(self) -> None:
        try:
            super().flush()
        except OSError:
            self._drop()

    def _drop(self) -> None:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self.fileno())
        os.close(nowhere)


def _lasting(stream):
    """The stream, lasting, if it is the process's own; what stands in for it, as in tests, is left alone."""
    if type(stream) is not io.TextIOWrapper or stream not in (sys.__stdout__, sys.__stderr__):
        return stream
    return Lasting(
        stream.buffer,
        stream.encoding,
        "replace",
        line_buffering=stream.line_buffering,
        write_through=stream.write_through,
    )
