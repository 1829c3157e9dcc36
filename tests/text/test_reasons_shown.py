"""An agent may be shown why the observer scored its last step as it did."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest

import reasongym  # noqa: F401
from reasongym.prm.base import NEXT

ID = "ReasonGymText-bAbI-qa1-v0"


class Explains:
    """Scores reading on, explains it at length, and names the desk that it means."""

    criteria, needs_annotation, version, default_beta = ("tidy", "quiet"), False, "explains-1", {}

    def score(self, steps):
        return np.where((steps.kind == NEXT)[:, None], np.array([[0.5, np.nan]]), np.nan).astype(np.float32)

    def explain(self, steps):
        return [[f"on {steps.sentences[steps.desk[i]]}\nCommands now: {'x' * 500}", "never"] for i in range(len(steps))]


def lines(text):
    return [line for line in text.split("\n") if line.startswith(("Scores", "  tidy", "  quiet"))]


def test_reasons_stand_beside_the_scores_of_the_last_step():
    env = gym.make(ID, observer=Explains(), reasons=True)
    observation, _ = env.reset(seed=0)
    assert not [line for line in lines(observation) if line.startswith("  ")]
    desk = observation.split("): ")[1].split("\n")[0]
    observation, *_ = env.step("next")
    scores, reason = lines(observation)
    assert scores == "Scores of the last step: tidy +0.50, quiet unscored."
    assert reason.startswith(f"  tidy: on {desk} Commands now: xxx")
    assert len(reason) <= 310
    assert observation in env.observation_space
    assert len(lines(env.step("store 1")[0])) == 1  # nothing was scored
    env.step("next")
    state = env.unwrapped.get_state()
    env.reset(seed=1)
    env.unwrapped.set_state(state)
    assert len(lines(env.unwrapped.interface.observe()[0])) == 1  # the reason was of another time


def test_in_a_vector_each_has_its_own_and_a_new_episode_none():
    env = gym.make_vec(ID, num_envs=3, observer=Explains(), reasons=True, autoreset_mode="Disabled")
    first, _ = env.reset(seed=0)
    texts, *_ = env.step(["next", "store 1", "next"])
    assert [len(lines(text)) for text in texts] == [2, 1, 2]
    for i in (0, 2):
        assert first[i].split("): ")[1].split("\n")[0] in lines(texts[i])[1]
    texts, _ = env.reset(options={"reset_mask": np.array([True, False, False])})
    assert [len(lines(text)) for text in texts] == [1, 1, 2]


def test_nothing_is_shown_unless_it_is_asked_for():
    env = gym.make(ID, observer=Explains())
    env.reset(seed=0)
    assert len(lines(env.step("next")[0])) == 1
    with pytest.raises(ValueError, match=r"needs an observer with explain\(steps\).*got observer='lexical'"):
        gym.make(ID, observer="lexical", reasons=True)
