"""The worked examples of docs/reward.md, played in the environment."""

from __future__ import annotations

from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest

import reasongym  # noqa: F401
from reasongym.cli import parse
from reasongym.prm.combinators import Clipped, PotentialDifference

PAGE = (Path(__file__).resolve().parents[1] / "docs" / "reward.md").read_text()
CRITERIA = ("logic", "coherence", "goal", "outcome", "validity")
ALL = ["store 1", "store 2", "store 3", "next", "store 4"]


def story() -> str:
    """The story of the page, in the published files' format."""
    block = PAGE.split("<!-- story -->")[1].split("Each row")[0].strip().splitlines()
    return "\n".join("\t".join(part for part in line.strip().split("    ")) for line in block) + "\n"


def examples() -> list[list[str]]:
    """The rows of the page's table of examples, as cells."""
    table = PAGE.split("<!-- examples -->")[1].strip().split("\n\n")[0]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[2:]]


@pytest.fixture(scope="module")
def env(tmp_path_factory):
    folder = tmp_path_factory.mktemp("babi") / "en-10k"
    folder.mkdir()
    for part in ("train", "test"):
        (folder / f"qa2_two-supporting-facts_{part}.txt").write_text(story())
    return gym.make("ReasonGym-bAbI-qa2-v0", source=str(folder.parent), split="test").unwrapped


def play(env, commands):
    """(info, reward) of the last command."""
    env.reset(seed=0, options={"problem": 0})
    for command in commands:
        action = parse(env, command)
        _, reward, _, _, info = env.step(action)
    return info, reward


def test_the_page_has_an_example_for_every_kind_of_step():
    assert len(examples()) == 16


@pytest.mark.parametrize("row", examples(), ids=lambda row: f"{row[0]} > {row[1]}")
def test_example(env, row):
    before = [command for part in row[0].split(", ") if part for command in (ALL if part == "all" else [part])]
    info, reward = play(env, [*before, row[1]])
    assert [info["prm_scores"][c] for c in CRITERIA] == pytest.approx([float(cell) for cell in row[2:7]])
    assert info["reward_terms"]["memory"] == pytest.approx(0.3 * float(row[7]), abs=1e-6)
    assert reward == pytest.approx(float(row[8]), abs=1e-6)


def test_the_experts_episode(env):
    commands = "next, next, store 1, next, store 2, recall 1, recall 2, answer garden"
    assert commands in PAGE
    info, _ = play(env, commands.split(", "))
    assert info["episode_return"] == pytest.approx(1.8, abs=1e-6)
    env.reset(options={"problem": 0})
    total, ended = 0.0, False
    while not ended:
        _, reward, ended, _, _ = env.step(env.expert_action())
        total += reward
    assert total == pytest.approx(1.8, abs=1e-6)


def test_an_answer_of_the_wrong_kind():
    env = gym.make("ReasonGym-bAbI-v0", num_problems=200).unwrapped
    where = next(p for p in range(200) if env.source.problem(p).answers[0] in ("garden", "kitchen"))
    env.reset(seed=0, options={"problem": where})
    while env.batch.memory.state["cursor"][0] < env.batch.memory.state["num_units"][0]:
        env.step(0)
    _, reward, _, _, info = env.step(parse(env, "answer yes"))
    assert (info["prm_scores"]["coherence"], reward) == (-1, pytest.approx(-0.1))


def test_level_pays_for_idling():
    """The page: a full memory, kept for ten idle steps, earns 3.0."""
    env = gym.make("ReasonGym-bAbI-qa1-v0", utility="level", num_problems=50).unwrapped
    env.reset(seed=0, options={"problem": 0})
    while env.batch.memory.state["holding"][0] == 0:
        env.step(env.expert_action())
    paid = [env.step(0)[4]["reward_terms"]["memory"] for _ in range(3)]
    assert paid == pytest.approx([0.3] * 3)


@pytest.mark.parametrize(("feedback", "salience"), [(0.0, 0.5), (-0.1, 0.4), (0.05, 0.55), (2.0, 1.0), (-2.0, 0.0)])
def test_salience_after_feedback(env, feedback, salience):
    play(env, ["next", "store 1"])
    env.batch.feedback(np.array([feedback]))
    assert env.batch.memory.slots["salience"][0, 0] == pytest.approx(salience)


def test_salience_by_use_and_disuse(env):
    play(env, ["next", "store 1", "next"])
    assert env.batch.memory.slots["salience"][0, 0] == pytest.approx(0.49)
    play(env, ["next", "next", "next", "next", "store 1", "recall 1"])
    assert env.batch.memory.slots["salience"][0, 0] == pytest.approx(0.6)


def test_combinators(env):
    class Told:
        criteria, needs_annotation, version, default_beta = ("p",), False, "told", {"p": 0.5}
        cacheable = False

        def __init__(self):
            self.values = iter([0.2, 1.0, -0.4])

        def score(self, steps):
            return np.full((len(steps), 1), next(self.values), np.float32)

    def payments(wrap):
        made = gym.make("ReasonGym-bAbI-qa1-v0", prm=wrap(Told()), utility="none", num_problems=20, max_steps=3).unwrapped
        made.reset(seed=0)
        return [made.step(0)[4]["reward_terms"]["combined"] for _ in range(3)]

    assert payments(Clipped) == pytest.approx([0, 0, -0.2], abs=1e-6)
    assert payments(PotentialDifference) == pytest.approx([0.1, 0.4, -0.5], abs=1e-6)
    assert payments(lambda prm: PotentialDifference(prm, terminal="keep")) == pytest.approx([0.1, 0.4, -0.7], abs=1e-6)
