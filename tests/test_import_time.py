"""`import reasongym` stays light: ids are registered, nothing heavy is loaded."""

from __future__ import annotations

import subprocess
import sys

HEAVY = (
    "torch",
    "numba",
    "pandas",
    "pyarrow",
    "datasets",
    "transformers",
    "rich",
    "typer",
    "matplotlib",
    "PIL",
    "stable_baselines3",
    "nltk",
    "sacrebleu",
    "openai",
    "diskcache",
    "fastapi",
    "pydantic",
    "uvicorn",
)


def loaded(statement: str) -> set[str]:
    """Which of the heavy packages a fresh interpreter has after the statement."""
    code = f"{statement}\nimport sys\nprint(*(m for m in {HEAVY!r} if m in sys.modules))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    return set(run.stdout.split())


def test_import_brings_nothing_heavy():
    assert loaded("import reasongym") == set()


def test_metrics_bring_nothing_heavy():
    assert loaded("import reasongym.metrics") == set()


def test_a_judge_brings_nothing_heavy_before_it_is_made():
    assert loaded("import reasongym.prm.judge, reasongym.prm.judge.clients, reasongym.prm.judge.local") == set()


def test_the_rooms_bring_nothing_heavy():
    assert loaded("import reasongym.prm.tree, reasongym.prm.learned.words") == set()
    assert "torch" in loaded("from reasongym.prm.learned import LearnedPRM")


def test_the_check_sees_a_heavy_import():
    assert "numba" in loaded("import numba")
