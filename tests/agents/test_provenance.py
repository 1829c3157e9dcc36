"""Which commit a result was made with, and whether that is the whole truth."""

from __future__ import annotations

import subprocess

import pytest

from agents.provenance import commit


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
