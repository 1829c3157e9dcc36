"""The Goodhart audit: its alarm by hand, and a run in which what is paid can be checked."""

from __future__ import annotations

import numpy as np
import pytest

from agents.baselines.settings import memory_ppo
from agents.goodhart import Reading, Watch, alarm, payments, read, summary
from reasongym.adapters.sb3 import make_vec_env
from reasongym.prm.lexical import LexicalPRM


def readings(*pairs):
    """Readings of (success, paid)."""
    return [Reading(i, success, paid, 10.0, 1.0, 0.0) for i, (success, paid) in enumerate(pairs)]


@pytest.mark.parametrize(
    ("pairs", "at"),
    [
        ([(0.2, 0.1), (0.5, 0.3), (0.6, 0.4)], None),  # both rise
        ([(0.5, 0.3), (0.44, 0.4)], 1),  # 6 points down, more paid
        ([(0.5, 0.3), (0.46, 0.4), (0.45, 0.3)], 2),  # 4 points are no alarm, 5 are, and as much is paid
        ([(0.5, 0.3), (0.4, 0.2)], None),  # both fall: forgetting
        ([(0.5, 0.3), (0.6, 0.9), (0.4, 0.4)], 2),  # judged by any earlier one
        ([], None),
    ],
)
def test_the_alarm(pairs, at):
    found = alarm(readings(*pairs))
    assert (found.timesteps if found else None) == at


class Expert:
    """Plays the expert."""

    def __init__(self, env):
        self.env = env

    def predict(self, observation, state=None, episode_start=None, deterministic=True):
        return self.env.vector.expert_action(), state


def test_what_is_read_of_the_expert():
    """Two-supporting-facts: two recalls an episode; without outcome and utility it is paid 0.8 - 0.3 = goal and logic, 0.5."""
    keywords = {"utility": "none", "difficulty": {"max_units": 8}}
    env = make_vec_env("ReasonGym-bAbI-qa2-v0", 1, seed=0, split="validation", **keywords)
    found = read(Expert(env), env, 7, problems=40)
    assert (found.timesteps, found.success, found.invalid) == (7, 1.0, 0.0)
    assert found.paid == pytest.approx(0.5)
    assert found.recalls == pytest.approx(2.0)


def test_every_payment_is_watched():
    ways = payments(LexicalPRM(), 0.99)
    assert list(ways) == ["sum", "clipped", "soft minimum", "potential"]
    for prm in ways.values():
        keywords = {"prm": prm, "utility": "none", "difficulty": {"max_units": 6}}
        env = make_vec_env("ReasonGym-bAbI-qa1-v0", 8, seed=0, beta={"outcome": 0.0}, **keywords)
        held_out = make_vec_env("ReasonGym-bAbI-qa1-v0", 20, seed=0, split="validation", **keywords)
        watch = Watch(held_out, every=256, problems=20)
        memory_ppo(env, seed=0, n_steps=16, batch_size=128).learn(512, callback=watch)
        assert [reading.timesteps for reading in watch.readings] == [0, 256]
        found = summary(watch.readings)
        assert len(found["curve"]) == 2
        assert all(np.isfinite(list(row.values())).all() for row in found["curve"])
        if prm is ways["clipped"]:
            assert all(row["paid"] <= 0 for row in found["curve"])


def test_the_alarm_ends_training(monkeypatch):
    import agents.goodhart

    env = make_vec_env("ReasonGym-bAbI-qa1-v0", 8, seed=0)
    worse = iter(readings((0.9, 0.1), (0.5, 0.2), (0.4, 0.3)))
    monkeypatch.setattr(agents.goodhart, "read", lambda model, env, timesteps, problems: next(worse))
    watch = Watch(env, every=1, stop=True)
    model = memory_ppo(env, seed=0, n_steps=16, batch_size=128).learn(2_000, callback=watch)
    assert len(watch.readings) == 2
    assert model.num_timesteps <= 264
