"""The examples of docs/report.md run, and the viewer can show what they write."""

from __future__ import annotations

import re
from pathlib import Path

from reasongym.wrappers.episodes import FORMAT
from tests.report.conftest import result, write_run

PAGE = Path(__file__).resolve().parents[2] / "docs" / "report.md"
BLOCKS = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)


def test_the_examples_write_episodes(tmp_path, monkeypatch):
    from reasongym.report import read_runs

    monkeypatch.chdir(tmp_path)
    assert len(BLOCKS) == 2
    for number, (block, count) in enumerate(zip(BLOCKS, (6, 1), strict=True)):
        exec(block, {})
        folder = write_run(tmp_path / "runs", result("row", "s", number))
        Path("episodes.jsonl").rename(folder / "episodes.jsonl")
        run = read_runs(folder).runs[0]
        assert len(run.episodes) == count
        assert all(episode["format"] == FORMAT for episode in run.episodes)
    assert run.episodes[0]["steps"][0]["thought"] == "I follow the expert."


def test_the_pictures_are_there():
    for name in re.findall(r"\]\((images/[^)]+)\)", PAGE.read_text()):
        assert 10_000 < (PAGE.parent / name).stat().st_size < 200_000
