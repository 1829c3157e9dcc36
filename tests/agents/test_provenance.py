"""Which commit a result was made with, and whether that is the whole truth; which arguments a run goes on with."""

from __future__ import annotations

import json
import subprocess
from argparse import ArgumentTypeError

import pytest

from agents.provenance import begin_run, check_same_run, commit, result_file


@pytest.fixture
def checkout(tmp_path):
    """A repository with one commit."""

    def git(*command: str) -> str:
        line = ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@b", *command]
        return subprocess.run(line, capture_output=True, text=True, check=True).stdout.strip()

    git("init", "-q")
    (tmp_path / "code.py").write_text("x = 1\n")
    git("add", "code.py")
    git("commit", "-q", "-m", "one")
    return tmp_path, git("rev-parse", "HEAD")


def test_a_changed_file_is_told(checkout):
    folder, head = checkout
    assert commit(folder) == head
    (folder / "notes.txt").write_text("not tracked")
    assert commit(folder) == head
    (folder / "code.py").write_text("x = 2\n")
    assert commit(folder) == f"{head}+dirty"
    (folder / "code.py").unlink()
    assert commit(folder) == f"{head}+dirty"


def test_outside_of_a_checkout_there_is_none(tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert commit(tmp_path) == ""


def test_a_run_goes_on_with_the_arguments_it_was_begun_with(tmp_path):
    before = {"seed": 3, "warmup": 1000, "timesteps": 5, "gone": 1}
    (tmp_path / "config.json").write_text(json.dumps({"arguments": before}))
    now = {"seed": 3, "warmup": 1000, "timesteps": 9, "new": 2}
    check_same_run(tmp_path / "config.json", now, may_change=("timesteps",))
    with pytest.raises(ValueError, match=r"is a run with timesteps=5, now 9: give the same arguments"):
        check_same_run(tmp_path / "config.json", now)
    with pytest.raises(ValueError, match=r"is a run with seed=3, now 4; warmup=1000, now 0: give"):
        check_same_run(tmp_path / "config.json", {**now, "seed": 4, "warmup": 0}, ("timesteps",))


def test_a_run_begins_anew_or_goes_on(tmp_path):
    """One that begins anew leaves nothing behind that another could go on from by mistake."""
    kept = ("checkpoint", "metrics.jsonl", "result.json")

    def begin(seed: int, head: str, resume: bool):
        return begin_run(tmp_path / "config.json", {"arguments": {"seed": seed}, "commit": head}, kept, resume)

    with pytest.raises(ValueError, match=r"config\.json, which says what the run was begun with, cannot be read"):
        begin(1, "a", resume=True)
    assert begin(1, "a", resume=False) == {"arguments": {"seed": 1}, "commit": "a"}
    (tmp_path / "checkpoint").mkdir()
    (tmp_path / "metrics.jsonl").write_text("{}")
    assert begin(1, "b", resume=True) == {"arguments": {"seed": 1}, "commit": "a", "resumed_with": ["b"]}
    assert begin(1, "c", resume=True)["resumed_with"] == ["b", "c"]
    with pytest.raises(ValueError, match="is a run with seed=1, now 2"):
        begin(2, "d", resume=True)
    assert json.loads((tmp_path / "config.json").read_text())["arguments"] == {"seed": 1}
    assert begin(2, "d", resume=False)["commit"] == "d"
    assert [path.name for path in tmp_path.iterdir()] == ["config.json"]


def test_where_a_result_goes_is_known_before_the_work(tmp_path):
    file = result_file(str(tmp_path / "new" / "result.json"))
    assert file.parent.is_dir()
    assert not file.exists()
    file.write_text("{}")
    assert result_file(str(file)).read_text() == "{}", "what is there is kept"
    with pytest.raises(ArgumentTypeError, match="nothing can be written to"):
        result_file(str(file / "result.json"))


def test_without_git_there_is_no_commit(monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert commit() == ""
