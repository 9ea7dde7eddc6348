import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "records"))  # the record factory is shared


@pytest.fixture
def golden():
    """Compare text with a file in tests/golden/tables."""

    def check(name: str, text: str) -> None:
        file = Path(__file__).parents[1] / "golden" / "tables" / name
        assert text == file.read_text(encoding="utf-8")

    return check
