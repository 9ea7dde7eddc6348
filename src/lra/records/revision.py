"""Which code this is: the git revision and changes of a checkout; elsewhere a hash of the package."""

from __future__ import annotations

import hashlib
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from lra.paths import CHECKOUT, CONFIG_DIR, PACKAGE

CODE_PATHS = ("src", "configs", "train.py", "pyproject.toml", "constraints.txt")
DIFF = ("diff", "--binary", "--no-ext-diff", "--no-textconv", "--no-color", "--src-prefix=a/", "--dst-prefix=b/")
REFUSED = "git refuses a checkout that belongs to another user"


@dataclass(frozen=True)
class Revision:
    """`git_rev` or the reason why it is `unknown`; `patch` has the uncommitted changes."""

    git_rev: str | None
    unknown: str | None
    patch: bytes = b""


def revision() -> Revision:
    """The revision of this code, never that of a repository around it."""
    if CHECKOUT is None:
        return Revision(None, "installed as a package")
    try:
        top = _git("rev-parse", "--show-toplevel")
    except FileNotFoundError:
        return Revision(None, "git is not installed")
    if top.returncode:
        refused = b"dubious ownership" in top.stderr
        return Revision(None, REFUSED if refused else "the code is not in a git repository")
    if Path(os.fsdecode(top.stdout.rstrip(b"\n"))) != CHECKOUT:
        return Revision(None, "the code is inside another repository")
    head = _git("rev-parse", "--verify", "HEAD")
    if head.returncode:
        return Revision(None, "the repository has no commit")
    return Revision(head.stdout.decode().strip(), None, _uncommitted())


def package_sha256() -> str:
    """Hex sha256 of all modules, templates and recipes; the same in a checkout and in the wheel made of it."""
    files = {
        **{f"{p.relative_to(PACKAGE)}": p for suffix in ("py", "j2") for p in PACKAGE.rglob(f"*.{suffix}")},
        **{f"configs/{p.relative_to(CONFIG_DIR)}": p for p in CONFIG_DIR.rglob("*.yaml")},
    }
    digest = hashlib.sha256()
    for name, path in sorted(files.items()):
        digest.update(f"{name} {hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return digest.hexdigest()


def _uncommitted() -> bytes:
    """Changes to the code against HEAD, new files included, as a patch, whatever the user has configured for git."""
    patch = _git(*DIFF, "HEAD", "--", *CODE_PATHS).stdout
    new = _git("ls-files", "-z", "--others", "--exclude-standard", "--", *CODE_PATHS).stdout
    for name in filter(None, new.split(b"\0")):
        patch += _git(*DIFF, "--no-index", "--", os.devnull, os.fsdecode(name)).stdout
    return patch


def _git(*arguments: str) -> subprocess.CompletedProcess[bytes]:
    """A git command in the checkout, in English. Raises FileNotFoundError without git."""
    environment = os.environ | {"LC_ALL": "C"}
    return subprocess.run(["git", *arguments], cwd=CHECKOUT, env=environment, capture_output=True, check=False)
