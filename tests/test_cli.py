"""The command line, run in this process through typer's runner, and once as a module."""

from __future__ import annotations

import subprocess
import sys

import gymnasium as gym
import pytest

import reasongym  # noqa: F401
from reasongym import cli
from reasongym.errors import ReasonGymError

typer_testing = pytest.importorskip("typer.testing")
ID = "ReasonGym-bAbI-qa1-v0"


def run(*arguments, keys=""):
    result = typer_testing.CliRunner().invoke(cli.build_app(), [*arguments], input=keys, env={"COLUMNS": "110"})
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.output


def test_list_names_every_id():
    output = run("list")
    assert all(env_id in output for env_id in (*cli.IDS, *cli.TEXT_IDS))


def test_info():
    output = run("info", "ReasonGym-bAbI-qa1", "--split", "validation")
    for part in ("babi-qa1/procedural/validation", "Discrete(37)", "memory_features", "goal 0.3", "→ Where is", "*"):
        assert part in output, part


def test_playing_an_episode():
    keys = "store 1\nrecall 9\nstore x\nanswer kitchn\nstore\nhop\nhelp\n" + "expert\n" * 40
    output = run("play", ID, "--problem", "3", "--slots", "2", "--expert", keys=keys)
    for part in (
        "store 1 → reward", "recall takes a slot from 1 to 2, got '9'", "store takes a slot from 1 to 2, got 'x'",
        "'kitchn' is none of the 6 answers; try kitchen", "unknown command 'hop'", "expert: recall",
        "problem 3", "right; return",
    ):  # fmt: skip
        assert part in output, part


def test_a_text_id_is_described_and_played_in_words():
    output = run("info", "ReasonGymText-bAbI-qa1")
    for part in ("A worked episode:", "Desk (sentence 1 of", "goal 0.3", "→ Where is"):
        assert part in output, part
    keys = "store 1: Mary is here\nnonsense\n" + "expert\n" * 40
    output = run("play", "ReasonGymText-bAbI-qa1-v0", "--problem", "3", "--expert", keys=keys)
    for part in (
        'own words: "Mary is here"',
        "illegal: no line of the reply is a command",
        "expert: next",
        "right, the answer is",
    ):
        assert part in output, part


@pytest.mark.parametrize("keys", ["quit\n", ""])
def test_leaving(keys):
    assert "start of the episode" in run("play", ID, keys=keys)


def test_every_command_is_an_action_and_back():
    env = gym.make(ID, memory_slots=3).unwrapped
    commands = [cli.words(env, action) for action in range(env.action_space.n)]
    assert commands[:5] == ["next", "store 1", "store 2", "store 3", "update 1"]
    assert [cli.parse(env, command) for command in commands] == list(range(env.action_space.n))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["info", "ReasonGym-bAbI-q1"], "did you mean 'ReasonGym-bAbI-qa1-v0'"),
        (["info", ID, "--split", "tset"], "unknown split 'tset': did you mean 'test'"),
        (["play", ID, "--slots", "-1"], "memory_slots must lie in"),
    ],
)
def test_bad_names_end_with_one_line(monkeypatch, arguments, message):
    monkeypatch.setattr(sys, "argv", ["reasongym", *arguments])
    with pytest.raises(SystemExit, match=message):
        cli.main()


def test_an_unknown_id_gets_the_nearest_and_no_list():
    with pytest.raises(ReasonGymError) as raised:
        cli.make("ReasonGym-bAbI-q1")
    assert str(raised.value).count("ReasonGym-") == 4, "the one that was asked for, and three"
    assert f"`python -m reasongym list` lists all {len(cli.IDS) + len(cli.TEXT_IDS)}" in str(raised.value)


def test_a_missing_extra_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "typer", None)
    monkeypatch.setattr(sys, "argv", ["reasongym", "list"])
    with pytest.raises(SystemExit, match=r"typer.*pip install 'reasongym\[play\]'"):
        cli.main()


def test_as_a_module():
    result = subprocess.run([sys.executable, "-m", "reasongym", "list"], capture_output=True, text=True, timeout=120)
    assert result.returncode == 0
    assert "ReasonGym-bAbI-v0" in result.stdout
