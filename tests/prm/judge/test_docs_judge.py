"""The example of docs/judge.md runs, with the test's model for the one that it trains."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]


def test_the_example_runs(folder, tmp_path, monkeypatch, capsys):
    text = (ROOT / "docs" / "judge.md").read_text()
    block = re.search(r"<!-- example -->\n```python\n(.*?)```", text, re.DOTALL)[1]
    monkeypatch.chdir(tmp_path)
    (tmp_path / "judge-model").symlink_to(folder)
    exec(compile(block, "docs/judge.md", "exec"), {"__name__": "docs"})
    printed = capsys.readouterr().out
    assert "'goal'" in printed
    assert "'calls'" in printed
    assert (tmp_path / "judge-cache").is_dir()
