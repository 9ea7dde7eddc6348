"""What the commands on a finished run have in common: which run it is, and whose code it may use."""

from __future__ import annotations

import argparse


def parser(prog: str, description: str, overrides: str) -> argparse.ArgumentParser:
    """Options run, overrides and allow; `overrides` is the help on what can be overridden."""
    p = argparse.ArgumentParser(prog=prog, description=description)
    p.add_argument("run", help="its id, or the path of its record")
    p.add_argument("overrides", nargs="*", help=overrides)
    p.add_argument(
        "--allow",
        metavar="MODULE",
        action="append",
        default=[],
        help="a package besides this one whose classes may be used",
    )
    return p
