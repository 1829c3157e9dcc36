"""The compiled state machine against the reference, in lockstep, over settings drawn at random."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from reference import ListedSource, Reference

from reasongym.engine.infos import RATES
from reasongym.engine.layout import INVALID_REASONS
from reasongym.envs import ReasonGymEnv
from reasongym.prm.base import ACTION_NAMES, NEXT
from reasongym.registration import IDS
from reasongym.tasks import babi

TASKS = sorted({task for kwargs in IDS.values() for task in kwargs.get("tasks", ())})


class Clerk:
    """An observer whose scores the reference can compute from what every step shows."""

    criteria = ("order", "kind")
    needs_annotation = False
    version = "clerk"
    default_beta = {}

    def score(self, steps):
        rows = zip(steps.kind, steps.slot, steps.units_read, steps.illegal, strict=True)
        return np.array([self.of(ACTION_NAMES[kind], slot, read, not illegal) for kind, slot, read, illegal in rows])

    @staticmethod
    def of(kind, k, units_read, legal):
        second = np.nan if kind == ACTION_NAMES[NEXT] or not legal else (ACTION_NAMES.index(kind) - 2) / 4
        return ((units_read % 3 - 1) / 2, second)


CONFIGS = st.fixed_dictionaries(
    {
        "memory_slots": st.sampled_from([0, 1, 2, 10]),
        "units_per_slot": st.sampled_from([1, 2, 3]),
        "chain_length": st.sampled_from([0, 1, 10]),
        "question_at": st.sampled_from(["start", "end"]),
        "reason_when": st.sampled_from(["end", "any"]),
        "memory_view": st.sampled_from(["full", "recalled"]),
        "gate": st.sampled_from(["open", "salience"]),
        "utility": st.sampled_from(["coverage", "balance", "level", "use", "none"]),
        "salience_rate": st.sampled_from([0.0, 0.2, 1.0]),
        "max_steps": st.sampled_from([None, 1, 9, 60]),
    }
)


@cache
def source(*tasks):
    return babi.load(tasks, num_problems=200)


def compare(seen, expected, where):
    assert set(seen) == set(expected)
    for key, value in expected.items():
        value = np.asarray(value)
        assert seen[key].shape == value.shape, f"{key}, {where}"
        assert np.abs(seen[key] - value).max(initial=0) <= 2e-6, f"{key}, {where}: {seen[key]} instead of {value}"


def same(a, b):
    return abs(a - b) <= 1e-6 or (np.isnan(a) and np.isnan(b))


def play(env, reference, seed, *, steps=200):
    """Both in lockstep with the same actions, legal ones and others, to the end of the episode."""
    draw = np.random.default_rng(seed)
    shapes = env.batch.shapes
    observation, info = env.reset(seed=0, options={"problem": env.index})
    compare(observation, reference.observation(shapes.unit_tokens, shapes.question_tokens), "after reset")
    for t in range(steps):
        legal = np.flatnonzero(reference.legal())
        np.testing.assert_array_equal(np.flatnonzero(env.action_masks()), legal)
        early = [a for a in legal if a <= 3 * reference.k] or list(legal)
        pick = draw.random()
        action = int(draw.choice(early) if pick < 0.7 else draw.choice(legal) if pick < 0.8 else draw.integers(shapes.actions))
        was_legal = action in legal
        scores, terms = reference.step(action)
        observation, reward, terminated, truncated, info = env.step(action)
        where = f"step {t}, action {action} {reference.decode(action)}"
        for name, value in scores.items():
            assert same(info["prm_scores"][name], value), f"score {name}, {where}"
        for name, value in terms.items():
            assert same(info["reward_terms"][name], value), f"term {name}, {where}"
        assert abs(sum(info["reward_terms"].values()) - reward) <= 1e-6
        assert abs(sum(terms.values()) - reward) <= 1e-6
        assert ("invalid_action" in info) == (not was_legal)
        if not was_legal:
            assert info["invalid_action"] in INVALID_REASONS[1:]
        assert info["action_mask"] is observation["action_mask"]
        compare(observation, reference.observation(shapes.unit_tokens, shapes.question_tokens), where)
        assert (terminated, truncated) == (reference.ended, False)
        if terminated:
            assert info["out_of_steps"] == reference.out_of_steps
            assert info["is_success"] == reference.success
            assert info["gold"] == reference.problem.answers[0]
            assert info["episode_length"] == reference.steps
            for name in RATES:
                assert same(info[name], reference.rates()[name]), f"{name}, {where}"
            return


@pytest.mark.parametrize("tasks", [*((task,) for task in TASKS), tuple(TASKS)], ids=lambda tasks: "+".join(map(str, tasks)))
@settings(max_examples=12, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(config=CONFIGS, seed=st.integers(0, 10_000), observed=st.booleans())
def test_lockstep(tasks, config, seed, observed):
    src = source(*tasks)
    observer = {"observer": Clerk()} if observed else {}
    env = ReasonGymEnv(dataset=src, **config, **observer)
    env.index = seed % 200
    reference = Reference(
        src, src.problem(env.index), **config, **({"observer": Clerk.of, "observer_criteria": 2} if observed else {})
    )
    play(env, reference, seed)


@pytest.mark.parametrize("support", [None, ()], ids=["unknown support", "no support"])
@pytest.mark.parametrize("utility", ["coverage", "balance", "level", "use"])
def test_lockstep_without_support(support, utility):
    base = source(2)
    problems = [replace(base.problem(i), support=support, prerequisites=()) for i in range(8)]
    src = ListedSource(base, problems)
    env = ReasonGymEnv(dataset=src, utility=utility)
    for i in range(8):
        env.index = i
        play(env, Reference(src, problems[i], utility=utility), i)
