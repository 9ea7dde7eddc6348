"""Secrets in what is recorded: values whose names say key, token, secret or password, and users in addresses."""

from __future__ import annotations

import re
from collections.abc import Sequence

MASK = "***"
_WORD = r"(?:secret|passw|passphrase|credential|(?:key|token)s?(?![a-z]))"
_NAME = rf"[\w.+~@/-]*?{_WORD}[\w.-]*"
_WHOLE = re.compile(rf"(?i)(-*{_NAME}=).+", re.DOTALL)  # an override or option, whatever its value holds
_INSIDE = re.compile(rf"(?i)({_NAME}['\"]?\s*[=:]\s*)(\"[^\"]*\"|'[^']*'|[^\s,}}&\]]+)")
_USER = re.compile(r"(?<=://)[^/\s@]+(?=@)")


def is_secret(name: str) -> bool:
    """Whether a value of this name is not for others."""
    return re.search(rf"(?i){_WORD}", name) is not None


def masked(text: str) -> str:
    """The text with its secrets as `***`."""
    if whole := _WHOLE.fullmatch(text):
        return f"{whole[1]}{MASK}"
    return _USER.sub(MASK, _INSIDE.sub(rf"\1{MASK}", text))


def masked_command(arguments: Sequence[str]) -> str:
    """A command line without its secrets; `--token x` has them in two arguments."""
    shown, before = [], ""
    for argument in arguments:
        flag = before.startswith("-") and "=" not in before and is_secret(before)
        shown.append(MASK if flag and not argument.startswith("-") else masked(argument))
        before = argument
    return " ".join(shown)
