"""The examples of docs/metrics.md give what their comments say."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from reasongym import metrics

PAGE = Path(__file__).resolve().parents[2] / "docs" / "metrics.md"
LINES = re.findall(r"^(\w+\(.*)  # ([\d./]+)", PAGE.read_text(), re.MULTILINE)


def test_all_examples_are_found():
    assert len(LINES) == 7


@pytest.mark.parametrize(("code", "said"), LINES)
def test_examples(code, said):
    top, _, bottom = said.partition("/")
    assert eval(code, vars(metrics).copy()) == pytest.approx(float(top) / float(bottom or 1))
