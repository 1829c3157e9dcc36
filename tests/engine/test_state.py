"""State in and out, pickles and copies: whatever resumes, resumes bit for bit."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
import tracemalloc

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.vector import AsyncVectorEnv

import reasongym  # noqa: F401
from reasongym.envs import ReasonGymEnv, ReasonGymVectorEnv
from reasongym.prm.combinators import PotentialDifference
from reasongym.prm.lexical import LexicalPRM

VARIANTS = {
    "compiled": {},
    "lexical, gated": {"prm": "lexical", "observer": "lexical", "gate": "salience", "memory_slots": 3},
    "carry": {"prm": PotentialDifference(LexicalPRM())},
    "endless": {"num_problems": None},
    "answerability": {"utility": "answerability"},
    "prudence": {"utility": "prudence", "memory_slots": 3},
}
MODES = ["NextStep", "SameStep"]


def walk(env, steps, seed):
    """Random legal actions, mostly; what they led to, as bytes. Works for one environment and for vectors."""
    draw, out = np.random.default_rng(seed), []
    vector = isinstance(env, ReasonGymVectorEnv)
    for _ in range(steps):
        mask = np.atleast_2d(env.action_masks())
        weights = draw.random(mask.shape) * np.where(np.arange(mask.shape[1]) > mask.shape[1] - 7, 0.7, 1)
        actions = (weights * mask).argmax(1)
        observation, reward, terminated, truncated, info = env.step(actions if vector else int(actions[0]))
        terms = {k: np.asarray(v).tobytes() for k, v in info["reward_terms"].items()}
        gold = np.asarray(info["gold_choice"]).tobytes()
        out.append(({k: v.tobytes() for k, v in observation.items()}, reward, terms, gold, np.array(terminated).tolist()))
        if not vector and terminated:
            first, _ = env.reset()
            out.append({k: v.tobytes() for k, v in first.items()})
    return out


def same(a, b):
    return all(np.array_equal(x[1], y[1]) and (x[0], *x[2:]) == (y[0], *y[2:]) if isinstance(x, tuple) else x == y
               for x, y in zip(a, b, strict=True))  # fmt: skip


@pytest.mark.parametrize("name", VARIANTS)
@pytest.mark.parametrize("before", [0, 7, 40])
def test_one_environment_resumes(name, before):
    env = ReasonGymEnv(tasks=(1, 2), **VARIANTS[name])
    env.reset(seed=3)
    walk(env, before, 0)
    state = env.get_state()
    expected = walk(env, 60, 1)
    env.set_state(state)
    assert same(walk(env, 60, 1), expected)
    fresh = ReasonGymEnv(tasks=(1, 2), **VARIANTS[name])
    fresh.set_state(state)
    assert same(walk(fresh, 60, 1), expected)
    used = ReasonGymEnv(tasks=(1, 2), **VARIANTS[name])
    used.reset(seed=99)
    walk(used, 20, 5)
    used.set_state(state)
    assert same(walk(used, 60, 1), expected)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", VARIANTS)
def test_a_vector_resumes(name, mode):
    keywords = {"tasks": (1, 2), "num_envs": 5, "autoreset_mode": mode, **VARIANTS[name]}
    env = ReasonGymVectorEnv(**keywords)
    env.reset(seed=3)
    walk(env, 33, 0)
    state = env.get_state()
    expected = walk(env, 60, 1)
    for other in (env, ReasonGymVectorEnv(**keywords)):
        other.set_state(state)
        assert same(walk(other, 60, 1), expected)


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda env: pickle.loads(pickle.dumps(env))], ids=["deepcopy", "pickle"])
@pytest.mark.parametrize("name", VARIANTS)
def test_copies_go_on_alike_and_apart(name, copied):
    for env in (
        ReasonGymEnv(tasks=(1, 2), **VARIANTS[name]),
        ReasonGymVectorEnv(tasks=(1, 2), num_envs=3, **VARIANTS[name]),
    ):
        env.reset(seed=5)
        walk(env, 30, 0)
        twin = copied(env)
        ahead = walk(twin, 60, 1)
        assert same(walk(env, 60, 1), ahead)


def test_copies_share_a_complete_table():
    env = ReasonGymEnv(tasks=(1,), num_problems=4)
    for index in range(4):
        env.reset(seed=0, options={"problem": index})
    twin = copy.deepcopy(env)
    assert twin.batch.table is env.batch.table
    assert twin.batch.memory.state is not env.batch.memory.state


def test_a_state_resumes_in_another_process(tmp_path):
    code = (
        "import pickle, sys; sys.path[:0] = [{tests!r}, {engine!r}]\n"
        "from test_state import *\n"
        "with open({path!r}, 'rb') as f: state, pickled, expected = pickle.load(f)\n"
        "fresh = ReasonGymVectorEnv(tasks=(1, 2), num_envs=3); fresh.set_state(state)\n"
        "assert same(walk(fresh, 60, 1), expected) and same(walk(pickle.loads(pickled), 60, 1), expected); print('alike')\n"
    )
    env = ReasonGymVectorEnv(tasks=(1, 2), num_envs=3)
    env.reset(seed=3)
    walk(env, 50, 0)
    state, pickled = env.get_state(), pickle.dumps(env)
    path = tmp_path / "state.pickle"
    path.write_bytes(pickle.dumps((state, pickled, walk(env, 60, 1))))
    from pathlib import Path

    here = Path(__file__).parent
    run = code.format(tests=str(here.parent), engine=str(here), path=str(path))
    done = subprocess.run([sys.executable, "-c", run], capture_output=True, text=True, timeout=300)
    assert done.stdout.strip().endswith("alike"), done.stderr


def test_a_state_is_a_copy():
    env = ReasonGymEnv(tasks=(1,))
    env.reset(seed=0)
    state = env.get_state()
    kept = pickle.dumps(state)
    env.step(0)
    assert pickle.dumps(state) == kept
    env.set_state(state)
    env.step(1)
    assert pickle.dumps(state) == kept


def test_a_state_of_another_shape_is_refused():
    state = ReasonGymEnv(tasks=(1,), memory_slots=3).get_state()
    with pytest.raises(ValueError, match="other shapes or another number"):
        ReasonGymEnv(tasks=(1,), memory_slots=4).set_state(state)


@pytest.mark.parametrize("env_id", ["ReasonGym-bAbI-v0", "ReasonGym-bAbI-qa3-v0"])
def test_processes_of_gymnasium(env_id):
    alone = gym.make(env_id)
    envs = AsyncVectorEnv([lambda: gym.make(env_id)] * 2, context="spawn" if sys.platform == "darwin" else None)
    observation, _ = envs.reset(seed=[7, 8])
    expected, _ = alone.reset(seed=7)
    for t in range(12):
        assert all(np.array_equal(observation[key][0], expected[key]) for key in expected)
        observation, rewards, *_ = envs.step(np.array([t % 2, 0]))
        expected, reward, *_ = alone.step(t % 2)
        assert rewards[0] == reward
    envs.close()


def test_seeds_of_their_own():
    env, alone = ReasonGymVectorEnv(tasks=(2,), num_envs=2), ReasonGymEnv(tasks=(2,))
    observation, _ = env.reset(seed=[7, 8])
    for i, seed in enumerate((7, 8)):
        expected, _ = alone.reset(seed=seed)
        assert all(np.array_equal(observation[key][i], expected[key]) for key in expected)
    second, _ = env.reset(seed=[None, 8])
    assert np.array_equal(second["unit"][1], observation["unit"][1])
    assert env.batch.memory.state["episode"].tolist() == [1, 0]


def test_an_endless_source_takes_no_more_memory():
    env = ReasonGymVectorEnv(tasks=(2,), num_envs=8, num_problems=None, reason_when="any")
    env.reset(seed=0)
    answers = np.full(8, env.single_action_space.n - 1)

    def episodes(n):
        seen = set()
        for _ in range(n):
            info = env.step(answers)[4]
            seen |= set(info["problem"][info["_problem"]].tolist()) if "problem" in info else set()
        return seen

    episodes(800)  # all sentences of the world have been met
    rows, tracked = env.batch.table.nbytes(), []
    tracemalloc.start()
    for _ in range(2):
        assert len(episodes(100)) == 8 * 50
        tracked.append(tracemalloc.get_traced_memory()[0])
    tracemalloc.stop()
    assert env.batch.table.nbytes() == rows
    assert tracked[1] - tracked[0] < 200_000


def test_a_problem_that_is_refused_leaves_the_table_whole():
    from dataclasses import replace

    from reference import ListedSource

    base = ReasonGymEnv(tasks=(1,), num_problems=4).source
    problems = [base.problem(i) for i in range(4)]
    problems[2] = replace(problems[2], question="Where is the xylophone? ")
    env = ReasonGymVectorEnv(dataset=ListedSource(base, problems), num_envs=4)
    with pytest.raises(ValueError, match="xylophone"):
        env.reset(seed=0, options={"problem": np.arange(4)})
    observation, _ = env.reset(options={"problem": np.array([0, 1, 1, 0])})
    assert np.array_equal(observation["unit"][0], observation["unit"][3])
    assert observation["unit"].any(1).all()
