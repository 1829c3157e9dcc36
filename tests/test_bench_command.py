"""`python -m reasongym bench`: what it says where the agents are absent, what it refuses, and a suite played through it."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from reasongym import bench

typer_testing = pytest.importorskip("typer.testing")
ROOT = Path(__file__).parents[1]
SUITE = {
    "protocol": 1,
    "budget": {"seconds": 1},
    "seeds": [1],
    "num_envs": 4,
    "evaluation": {"problems": 20, "points": 1, "curve_problems": 5, "episodes": 0},
    "settings": {"short": {"env": "ReasonGym-bAbI-qa1-v0", "keywords": {"difficulty": {"max_units": 4}}}},
    "rows": {"random": {"agent": "random"}, "expert": {"agent": "expert"}},
    "compare": [["expert", "random"]],
}
needs_agents = pytest.mark.skipif(importlib.util.find_spec("stable_baselines3") is None, reason="needs the extra agents")


def run(*arguments):
    from reasongym import cli

    result = typer_testing.CliRunner().invoke(cli.build_app(), ["bench", *arguments], env={"COLUMNS": "200"})
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


@pytest.mark.parametrize("other", ["nothing", "another distribution"])
def test_without_a_checkout_it_says_what_to_do(tmp_path, other):
    """As it is in the wheel: no package `agents`, or one of the same name that is somebody else's."""
    (tmp_path / "reasongym").symlink_to(ROOT / "reasongym")
    if other != "nothing":
        (tmp_path / "agents").mkdir()
        (tmp_path / "agents" / "__init__.py").write_text("")
    code = "import sys; sys.path[:0] = sys.argv[1:]; from reasongym import cli; sys.argv[1:] = ['bench', '--list']; cli.main()"
    installed = [path for path in sys.path if "site-packages" in path]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [sys.executable, "-S", "-c", code, str(tmp_path), *installed]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 1
    assert "run 'python -m reasongym bench' in the folder of a checkout" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_missing_extra_is_named(monkeypatch):
    def missing(name):
        raise ModuleNotFoundError("No module named 'torch'", name="torch")

    monkeypatch.setattr(bench, "import_module", missing)
    with pytest.raises(bench.MissingAgentsError, match=r"needs torch.*'reasongym\[agents,play\]'"):
        bench.benchmark()


@needs_agents
def test_a_suite_is_played_and_shown(tmp_path):
    (tmp_path / "mine.json").write_text(json.dumps(SUITE))
    arguments = (str(tmp_path / "mine.json"), "--runs", str(tmp_path / "runs"))
    assert "0 of 2 runs are over, 2 left" in run(*arguments, "--show").output
    part = run(*arguments, "--only", "expert").output
    assert "1 of 2 runs are over, 1 left" in part
    whole = run(*arguments, "--json", str(tmp_path / "out" / "mine.json")).output
    for piece in (
        "2 of 2 runs are over",
        "100.0",
        "probability of improvement",
        "support and gold answers",
        "label bits",
    ):
        assert piece in whole, piece
    written = json.loads((tmp_path / "out" / "mine.json").read_text())
    assert written["settings"] == SUITE
    assert [(result["row"], len(result["curve"])) for result in written["runs"]] == [("random", 1), ("expert", 1)]


@needs_agents
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("cor",), "did you mean 'core'"),
        (("smoke", "--agent", "cloningg"), "did you mean 'cloning'"),
        (("smoke", "--agent", "no_such_package:Mine"), "no module 'no_such_package'"),
        (("smoke", "--agent", "json:JSONDecoder"), "it has no act, learn, save, load"),
        (("smoke", "--only", "elephant"), "no run's name fits 'elephant'"),
        (("core", "--data", "/no/such/folder"), "'/no/such/folder', does not exist"),
    ],
)
def test_what_is_refused(arguments, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        run(*arguments, "--runs", str(tmp_path))


@needs_agents
def test_only_takes_part_of_a_name_or_a_pattern():
    from agents.benchmark.command import selected
    from agents.benchmark.suite import load_suite

    runs = list(load_suite("core").runs())

    def names(only):
        return {run.id for run in selected(runs, only)}

    assert "rlhf--squad--10" in names("--squad--1"), "a part of the name"
    assert {name.rpartition("--")[2] for name in names("*--squad--1")} == {"1"}
    assert names("rlhf--qa?--2") == {"rlhf--qa1--2", "rlhf--qa2--2"}


@needs_agents
def test_the_committed_smoke_suite_is_what_was_played():
    """The settings in the committed results are those of the committed suite, and all its runs are there."""
    from agents.benchmark.leaderboard import leaderboard
    from agents.benchmark.results import read_suite
    from agents.benchmark.suite import load_suite

    path, suite = ROOT / "examples" / "results" / "smoke.json", load_suite("smoke")
    assert json.loads(path.read_text())["settings"] == suite.source
    _, results = read_suite(path)
    assert {(result["row"], result["seed"]): result["config"] for result in results} == {
        (run.row, run.seed): run.config for run in suite.runs()
    }
    lines = {line.row: line for line in leaderboard(suite, results)}
    assert lines["expert"].success.value == 1.0
    assert all(line.runs == line.wanted for line in lines.values())
