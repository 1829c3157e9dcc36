"""A few held-out episodes of an agent: the same problems for every agent, each once, as `evaluate` plays them."""

from __future__ import annotations

import json

import numpy as np
import pytest

from agents.base import evaluate
from agents.baselines import make
from agents.episodes import record_episodes
from reasongym.adapters.feedback import ValueFeedback
from reasongym.adapters.sb3 import make_vec_env

ID = "ReasonGym-bAbI-qa1-v0"
SMALL = {"difficulty": {"max_units": 5}, "memory_slots": 3}


def agent_of(name, **keywords):
    return make(name, make_vec_env(ID, n_envs=2, **SMALL, **keywords)).learn(1)


def test_the_same_problems_for_every_agent_each_once(tmp_path):
    found = {
        name: record_episodes(agent_of(name), ID, tmp_path / f"{name}.jsonl", name=name, problems=5, **SMALL)
        for name in ("expert", "random")
    }
    problems = {name: [episode["problem"] for episode in episodes] for name, episodes in found.items()}
    assert problems["expert"] == problems["random"]
    assert len(set(problems["expert"])) == 5
    assert all(episode["success"] for episode in found["expert"])
    lines = (tmp_path / "expert.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == found["expert"]


def test_what_is_recorded_is_what_is_evaluated():
    agent = agent_of("last-unit")
    few = list(range(20))
    episodes = record_episodes(agent, ID, problems=few, **SMALL)
    found = evaluate(agent, ID, problems=few, num_envs=7, **SMALL)
    assert [episode["problem"] for episode in episodes] == few
    assert np.mean([episode["success"] for episode in episodes]) == pytest.approx(found.accuracy)
    assert np.mean([episode["return"] for episode in episodes]) == pytest.approx(found.mean_return, abs=1e-3)
    assert np.mean([episode["length"] for episode in episodes]) == pytest.approx(found.mean_length)


class Values:
    """A critic that hopes more with every step."""

    def __init__(self, venv):
        self.steps = np.zeros(venv.num_envs)

    def value_function(self, num_envs):
        def values(observation, starts):
            self.steps = np.where(starts, 0, self.steps + 1)
            return self.steps

        return values


def test_feedback_shows_in_the_salience():
    agent = agent_of("expert")
    plain = record_episodes(agent, ID, problems=[0], **SMALL)
    moved = record_episodes(agent, ID, problems=[0], wrap=lambda venv: ValueFeedback(venv, Values(venv)), **SMALL)
    highest = [max(slot["salience"] for step in episodes[0]["steps"] for slot in step["slots"]) for episodes in (plain, moved)]
    assert highest[1] > highest[0]


def test_bad_arguments():
    agent = agent_of("random")
    with pytest.raises(ValueError, match="problems must be a number of at least 1, or indices of problems, got 0"):
        record_episodes(agent, ID, problems=0, **SMALL)
    with pytest.raises(ValueError, match="this agent is of other environments"):
        record_episodes(agent, ID, problems=1, **{**SMALL, "memory_slots": 4})
