"""The pictures of docs/report.md are there."""

from __future__ import annotations

import re
from pathlib import Path

PAGE = Path(__file__).resolve().parents[2] / "docs" / "report.md"


def test_the_pictures_are_there():
    for name in re.findall(r"\]\((images/[^)]+)\)", PAGE.read_text()):
        assert 10_000 < (PAGE.parent / name).stat().st_size < 200_000
