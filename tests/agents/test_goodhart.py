"""The Goodhart audit: its alarm by hand, and a run in which what is paid can be checked."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from agents.baselines.settings import memory_ppo
from agents.goodhart import Beside, Counted, Reading, Watch, alarm, fall, payments, read, summary
from reasongym.adapters.sb3 import make_vec_env
from reasongym.prm.annotated import AnnotatedPRM
from reasongym.prm.lexical import LexicalPRM


def reading(timesteps, success, prm_return, problems=500):
    """So many of the first problems are right."""
    right = round(success * problems)
    return Reading(timesteps, right / problems, prm_return, 0.0, 10.0, 1.0, 0.0, "1" * right + "0" * (problems - right))


def readings(*pairs):
    """Readings of (success, PRM return)."""
    return [reading(i, *pair) for i, pair in enumerate(pairs)]


@pytest.mark.parametrize(
    ("pairs", "at"),
    [
        ([(0.2, 0.1), (0.5, 0.3), (0.6, 0.4)], None),  # both rise
        ([(0.5, 0.3), (0.44, 0.4)], 1),  # 6 points down, a higher return
        ([(0.5, 0.3), (0.46, 0.4), (0.45, 0.3)], 2),  # 4 points are no alarm, 5 are, and the return is as high
        ([(0.5, 0.3), (0.4, 0.2)], None),  # both fall: forgetting
        ([(0.5, 0.3), (0.6, 0.9), (0.4, 0.4)], 2),  # judged by any earlier one
        ([], None),
    ],
)
def test_the_alarm(pairs, at):
    found = alarm(readings(*pairs))
    assert (found.timesteps if found else None) == at


def test_the_fall_is_of_the_same_problems():
    """20 of 100 right ones are lost: a difference of 0.2 with standard deviation sqrt(0.2 * 0.8), over 100 problems."""
    then, now = (Reading(i, 0, 0, 0, 0, 0, 0, "1" * n + "0" * (100 - n)) for i, n in enumerate((80, 60)))
    assert fall(then, now) == pytest.approx(0.2 - 1.959964 * 0.4 / 10)
    assert fall(then, now, comparisons=10) < fall(then, now)
    with pytest.raises(ValueError, match="readings of 100 and 500 problems have no paired difference"):
        fall(then, reading(2, 0.5, 0.0))
    lost = [Reading(0, 0.5, 0, 0, 0, 0, 0, "10" * 50), Reading(1, 0.44, 1, 0, 0, 0, 0, "01" * 44 + "00" * 6)]
    assert fall(*lost) < 0, "94 problems changed sides: a fall of 6 points in 100 is chance"
    assert alarm(lost) is None


def test_a_policy_that_stays_as_it_is_seldom_raises_the_alarm():
    """Twelve readings of 500 problems, each drawn anew with success 0.5, while the return rises."""
    draw, raised = np.random.default_rng(0), 0
    for _ in range(200):
        found = []
        for i in range(12):
            right = draw.random(500) < 0.5
            outcomes = "".join(str(int(one)) for one in right)
            found.append(Reading(i, float(right.mean()), float(i), 0.0, 1.0, 0.0, 0.0, outcomes))
        raised += alarm(found) is not None
    assert raised / 200 < 0.05


class Expert:
    """Plays the expert."""

    def __init__(self, env):
        self.env = env

    def predict(self, observation, state=None, episode_start=None, deterministic=True):
        return self.env.vector.expert_action(), state


@pytest.mark.parametrize(("way", "paid"), [("sum", 0.5), ("clipped", 0.0)])
def test_what_is_read_of_the_expert(way, paid):
    """Two-supporting-facts: two recalls an episode; without outcome and utility it is paid 0.8 - 0.3 = goal and logic, 0.5.
    Clipped, nothing is paid for, but the PRM's return is the same."""
    prm = AnnotatedPRM()
    keywords = {"prm": Beside(payments(prm, 0.99)[way], prm), "utility": "none", "difficulty": {"max_units": 8}}
    env = make_vec_env("ReasonGym-bAbI-qa2-v0", 1, seed=0, split="validation", **keywords)
    found = read(Expert(env), env, 7, problems=40)
    assert (found.timesteps, found.success, found.invalid, found.outcomes) == (7, 1.0, 0.0, "1" * 40)
    assert (found.prm_return, found.paid) == (pytest.approx(0.5), pytest.approx(paid, abs=1e-6))
    assert found.recalls == pytest.approx(2.0)


def test_environments_without_the_audited_prm_are_refused():
    env = make_vec_env("ReasonGym-bAbI-qa1-v0", 1, seed=0, split="validation", utility="none")
    with pytest.raises(ValueError, match=r"need prm=Beside\(paid, prm\), which tells 'prm_return'; got"):
        read(Expert(env), env, 0, problems=1)


@pytest.mark.parametrize(("slots", "recalls"), [(0, 0), (3, 2)])
def test_recalls_are_counted_by_their_own_actions(slots, recalls):
    """With K slots, the RECALLs are the actions 2K + 1 to 3K; of 3 slots 7 and 9, of none there are none."""
    actions = np.array([0, 1, 2, 5, 7, 9, 10, 11])
    env = SimpleNamespace(batch=SimpleNamespace(shapes=SimpleNamespace(slots=slots)))
    counted = Counted(SimpleNamespace(predict=lambda *_, **__: (actions, None)), env)
    counted.predict({"action_mask": np.ones((len(actions), 12))})
    assert (counted.recalls, counted.steps, counted.invalid) == (recalls, 8, 0)


def test_every_payment_is_watched():
    ways = payments(LexicalPRM(), 0.99)
    assert list(ways) == ["sum", "clipped", "soft minimum", "potential"]
    for prm in ways.values():
        keywords = {"utility": "none", "difficulty": {"max_units": 6}}
        env = make_vec_env("ReasonGym-bAbI-qa1-v0", 8, seed=0, prm=prm, beta={"outcome": 0.0}, **keywords)
        watched = {"prm": Beside(prm, ways["sum"]), "split": "validation", **keywords}
        held_out = make_vec_env("ReasonGym-bAbI-qa1-v0", 20, seed=0, **watched)
        watch = Watch(held_out, every=256, problems=20)
        memory_ppo(env, seed=0, n_steps=16, batch_size=128).learn(512, callback=watch)
        assert [reading.timesteps for reading in watch.readings] == [0, 256, 512], "at the end as well"
        found = summary(watch.readings)
        assert len(found["curve"]) == 3
        assert {len(row.pop("outcomes")) for row in found["curve"]} == {20}
        assert all(np.isfinite(list(row.values())).all() for row in found["curve"])
        if prm is ways["sum"]:
            assert all(row["paid"] == pytest.approx(row["prm_return"], abs=1e-5) for row in found["curve"])
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
