"""The annotated PRM: the object equals the compiled kernel bit for bit, and equation (1) adds up."""

from __future__ import annotations

import numpy as np
import pytest

from reasongym.envs import ReasonGymVectorEnv
from reasongym.prm.annotated import AnnotatedPRM
from reasongym.prm.base import Scores
from reasongym.registration import IDS

TASKS = sorted({task for kwargs in IDS.values() for task in kwargs.get("tasks", ())})


class AsObject(AnnotatedPRM):
    """The engine compiles `AnnotatedPRM` itself only, so this one is called in Python."""


def random_steps(envs, steps, seed=0, illegal=0.1):
    """The same random actions in all vectors; yields their (rewards, infos) step by step."""
    draw = np.random.default_rng(seed)
    for env in envs:
        observation, _ = env.reset(seed=seed)
    n, actions = envs[0].num_envs, envs[0].single_action_space.n
    for _ in range(steps):
        chance = draw.random((n, actions)) * np.where(np.arange(actions) > 3 * envs[0].batch.shapes.slots, 0.5, 1)
        chosen = np.argmax(chance * observation["action_mask"], axis=1)
        chosen = np.where(draw.random(n) < illegal, draw.integers(actions, size=n), chosen)
        out = [env.step(chosen) for env in envs]
        for key, value in out[0][0].items():
            for other in out[1:]:
                assert np.array_equal(value, other[0][key]), key
        observation = out[0][0]
        yield [(step[1], step[4]) for step in out]


def columns(block):
    return {name: value for name, value in block.items() if not name.startswith("_")}


@pytest.mark.parametrize("utility", ["coverage", "balance", "level", "use"])
@pytest.mark.parametrize("task", [*TASKS, tuple(TASKS)], ids=str)
def test_object_equals_kernel(task, utility):
    keywords = {"tasks": task if isinstance(task, tuple) else (task,), "utility": utility, "num_envs": 32}
    keywords |= {"beta": {"logic": 0.37, "goal": 1 / 3}, "utility_weight": 0.1, "reason_when": "any"}
    compiled, called = ReasonGymVectorEnv(**keywords), ReasonGymVectorEnv(prm=AsObject(), **keywords)
    assert compiled.batch.scorer is None
    assert called.batch.scorer is not None
    seen = set()
    for (a, told), (b, other) in random_steps((compiled, called), 80):
        assert np.array_equal(a, b)
        for block in ("prm_scores", "reward_terms"):
            for name, column in columns(told[block]).items():
                assert np.array_equal(column, other[block][name], equal_nan=True), name
        seen |= {(name, np.sign(v)) for name, column in columns(told["prm_scores"]).items() for v in column}
    assert {("goal", 1.0), ("outcome", 1.0), ("outcome", 0.0), ("validity", -1.0)} <= seen


@pytest.mark.parametrize("prm", ["annotated", "lexical", AsObject()], ids=["annotated", "lexical", "object"])
def test_terms_are_weighted_scores_and_sum_to_the_reward(prm):
    beta = {"logic": 0.5, "coherence": -0.25, "goal": 2, "outcome": 3, "validity": 0.125}
    env = ReasonGymVectorEnv(tasks=tuple(TASKS), num_envs=40, prm=prm, beta=beta, utility_weight=0.7)
    for [(reward, info)] in random_steps((env,), 200):
        terms, scores = columns(info["reward_terms"]), columns(info["prm_scores"])
        assert list(terms) == [*scores, "memory"]
        for name, score in scores.items():
            np.testing.assert_allclose(terms[name], beta[name] * np.nan_to_num(score), atol=1e-6)
        np.testing.assert_allclose(sum(terms.values()), reward, atol=1e-6)


def test_weights_of_a_step_multiply_beta():
    class Weighted:
        criteria, needs_annotation, version, default_beta = ("a", "b"), False, "1", {"a": 0.5, "b": 2.0}

        def score(self, steps):
            values = np.full((len(steps), 2), 0.5)
            values[steps.kind == 0, 1] = np.nan
            return Scores(values, np.tile([[0.25, 3.0]], (len(steps), 1)))

    env = ReasonGymVectorEnv(tasks=(1,), num_envs=2, prm=Weighted(), utility="none")
    env.reset(seed=0)
    _, reward, _, _, info = env.step(np.array([0, 1]))
    assert info["reward_terms"]["a"].tolist() == [0.0625, 0.0625]
    assert info["reward_terms"]["b"].tolist() == [0.0, 3.0]
    assert reward.tolist() == [0.0625, 3.0625]
    assert np.isnan(info["prm_scores"]["b"][0])


def test_a_prm_is_called_once_a_step_for_all_environments():
    class Counting:
        criteria, needs_annotation, version, default_beta = ("c",), False, "1", {}
        calls, rows, cacheable = 0, 0, False

        def score(self, steps):
            self.calls, self.rows = self.calls + 1, self.rows + len(steps)
            return np.zeros((len(steps), 1))

    prm = Counting()
    env = ReasonGymVectorEnv(tasks=(1,), num_envs=16, prm=prm)
    env.reset(seed=0)
    for _ in range(5):
        env.step(np.zeros(16, int))
    assert prm.calls == 5
    assert prm.rows <= 80


def test_equal_steps_are_scored_once_and_again_when_the_prm_changes():
    class Counting:
        criteria, needs_annotation, version, default_beta = ("c",), False, "1", {}
        rows, value = 0, 0.25

        def score(self, steps):
            self.rows += len(steps)
            return np.full((len(steps), 1), self.value)

    prm = Counting()
    env = ReasonGymVectorEnv(tasks=(1,), num_envs=16, prm=prm, utility="none")
    for _ in range(2):
        env.reset(options={"problem": 3})
        env.step(np.zeros(16, int))
    scored = prm.rows
    env.reset(options={"problem": 3})
    env.step(np.zeros(16, int))
    assert prm.rows == scored <= 32
    prm.version, prm.value = "2", -0.25
    env.reset(options={"problem": 3})
    assert env.step(np.zeros(16, int))[1].tolist() == [-0.25] * 16


def test_rewards_do_not_depend_on_the_cache():
    class Uncached(AnnotatedPRM):
        cacheable = False

    pair = [ReasonGymVectorEnv(tasks=(2, 8), num_envs=16, num_problems=20, prm=prm) for prm in (AsObject(), Uncached())]
    for (a, _), (b, _) in random_steps(pair, 300):
        assert np.array_equal(a, b)
