"""A suite that takes seconds, and somebody's agents."""

from __future__ import annotations

import json

import pytest

from agents.benchmark.suite import suite_of

TINY = {
    "protocol": 1,
    "budget": {"seconds": 2, "timesteps": 512},
    "seeds": [1],
    "num_envs": 8,
    "evaluation": {"problems": 40, "points": 1, "curve_problems": 8, "episodes": 2, "horizon": 1000},
    "settings": {
        "short": {"env": "ReasonGym-bAbI-qa1-v0", "keywords": {"difficulty": {"max_units": 4}, "memory_slots": 2}},
    },
    "rows": {"ppo": {"agent": "outcome-only", "options": {"n_steps": 16}}, "majority": {"agent": "majority"}},
    "compare": [["ppo", "majority"]],
}
THIRD_PARTY = '''
import numpy as np
import torch


class First:
    """Takes the first legal action."""

    supervision = "nothing at all"
    reads_rewards = False

    def __init__(self, env, seed=0, device="cpu", frames=64):
        self.observation_space, self.action_space = env.observation_space, env.action_space
        self.device, self.frames, self.ledger = device, frames, {}

    def act(self, observation, state=None, episode_start=None, deterministic=True):
        return observation["action_mask"].argmax(1), None

    def learn(self, total_timesteps, *, seconds=None, progress=None):
        progress(self.frames)
        return self

    def save(self, path):
        raise NotImplementedError

    @classmethod
    def load(cls, path, env=None, device="cpu"):
        raise NotImplementedError


class Lost(First):
    """Its network becomes NaN, and it does not notice."""

    def learn(self, total_timesteps, *, seconds=None, progress=None):
        self.network = torch.nn.Linear(2, 2)
        progress(self.frames)
        torch.nn.init.constant_(self.network.weight, float("nan"))
        return self


class Broken(First):
    def learn(self, total_timesteps, *, seconds=None, progress=None):
        raise KeyError("a mistake of its own")


class Slow(First):
    """Never stops by itself."""

    def learn(self, total_timesteps, *, seconds=None, progress=None):
        frames = 0
        while progress(frames):
            frames += 1
        return self
'''


@pytest.fixture
def suite():
    """Makes a tiny suite, with changes."""

    def make(name="tiny", **changes):
        return suite_of(name, {**json.loads(json.dumps(TINY)), **changes})

    return make


@pytest.fixture
def third_party(tmp_path_factory, monkeypatch):
    """Somebody's package, where Python and its child processes find it."""
    folder = tmp_path_factory.mktemp("packages")
    (folder / "third_party.py").write_text(THIRD_PARTY)
    monkeypatch.syspath_prepend(folder)
    monkeypatch.setenv("PYTHONPATH", str(folder))
    return "third_party"
