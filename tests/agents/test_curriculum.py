"""Tasks that are not solved yet are played more often."""

from __future__ import annotations

import numpy as np
import pytest

from agents.curriculum import TaskCurriculum, problem_tasks
from reasongym.adapters.sb3 import make_vec_env
from reasongym.tasks.babi import load


def joint(n_envs=16, **keywords):
    return make_vec_env("ReasonGym-bAbI-v0", n_envs, seed=0, num_problems=2_000, **keywords)


def play(env, steps, rng, told=None):
    """Reads nothing into memory, guesses; returns the problems of the episodes that ended."""
    ended = []
    for _ in range(steps):
        legal = np.asarray(env.env_method("action_masks"))
        reading = legal[:, 0]
        actions = np.array([0 if reads else rng.choice(np.flatnonzero(row)) for reads, row in zip(reading, legal, strict=True)])
        observation, rewards, dones, infos = env.step(actions)
        ended += [infos[i]["problem"] for i in np.flatnonzero(dones)]
        if told is not None:
            told.append((rewards.copy(), observation["unit"].copy()))
    return ended


def test_problems_of_a_mixture_take_turns():
    source = load(range(1, 21), split="train", num_problems=205)
    tasks = problem_tasks(source)
    assert [source.problem(i).task for i in range(0, 205, 7)] == tasks[::7].tolist()


def test_shares_follow_the_failures():
    curriculum = TaskCurriculum(joint(), floor=0.1, window=50)
    np.testing.assert_allclose(curriculum.shares, 1 / 20)
    curriculum.failures[:] = 0.0
    curriculum.failures[3] = 1.0
    assert curriculum.shares[3] == pytest.approx(1.1 / 3.0)
    assert curriculum.shares[0] == pytest.approx(0.1 / 3.0)
    chosen = curriculum.next_problems(np.arange(4_000) % 2 == 0)
    assert (chosen[1::2] == -1).all()
    of = problem_tasks(curriculum.unwrapped.batch.source)[chosen[::2]]
    assert np.mean(of == curriculum.tasks[3]) == pytest.approx(1.1 / 3.0, abs=0.05)
    assert len(np.unique(chosen[::2][of == curriculum.tasks[3]])) > 50, "any problem of the task"


def test_what_is_chosen_is_played_and_counted():
    env = TaskCurriculum(joint(), window=10)
    env.reset()
    env.failures[:] = 0.0
    env.failures[7] = 1e6  # nothing else is drawn
    ended = play(env, 120, np.random.default_rng(0))
    of = problem_tasks(env.unwrapped.batch.source)[ended]
    assert (of[16:] == env.tasks[7]).mean() > 0.7
    assert (env.failures[np.arange(20) != 7] <= 1).all()
    assert env.failures[7] < 1e6, "successes are counted, too"


def test_a_run_goes_on_where_it_was():
    env, told = TaskCurriculum(joint(), window=10), []
    env.reset()
    play(env, 40, np.random.default_rng(0))
    state = env.get_state()
    play(env, 40, np.random.default_rng(1), told)
    again, other = [], TaskCurriculum(joint(), seed=5, window=10)
    other.reset()
    other.set_state(state)
    play(other, 40, np.random.default_rng(1), again)
    for (rewards, units), (same, shown) in zip(told, again, strict=True):
        np.testing.assert_array_equal(rewards, same)
        np.testing.assert_array_equal(units, shown)
    np.testing.assert_array_equal(env.failures, other.failures)


def test_tasks_that_come_first_are_alone_until_they_are_solved():
    env = TaskCurriculum(joint(), window=20, first=[6, 17])
    env.reset()
    assert set(np.flatnonzero(env.shares)) == {5, 16}
    chosen = env.next_problems(np.ones(16, bool))
    assert set(problem_tasks(env.unwrapped.batch.source)[chosen]) == {6, 17}
    state = env.get_state()
    env.failures[[5, 16]] = 0.1
    play(env, 1, np.random.default_rng(0))
    assert env.shares.min() > 0
    env.failures[5] = 1.0
    play(env, 1, np.random.default_rng(0))
    assert env.shares.min() > 0, "once only"
    env.set_state(state)
    assert set(np.flatnonzero(env.shares)) == {5, 16}


@pytest.mark.parametrize(
    ("options", "said"), [({"floor": 0.0}, "floor"), ({"window": 0}, "window"), ({"first": [21]}, r"\[21\]")]
)
def test_what_is_out_of_range_is_refused(options, said):
    with pytest.raises(ValueError, match=said):
        TaskCurriculum(joint(2), **options)


def test_sources_without_lists_of_tasks_are_refused():
    with pytest.raises(ValueError, match="finite source with tasks"):
        TaskCurriculum(make_vec_env("ReasonGym-bAbI-v0", 2, seed=0, num_problems=None))
    with pytest.raises(ValueError, match="finite source with tasks"):
        TaskCurriculum(make_vec_env("ReasonGym-SQuAD2-v0", 2, seed=0))


def test_the_first_episodes_are_chosen_too():
    env = TaskCurriculum(joint(), first=[6])
    env.reset()
    tasks = problem_tasks(env.unwrapped.batch.source)
    assert set(tasks[env.unwrapped.batch.memory.state["problem"]]) == {6}
    env.set_options([{"problem": 3}] * 16)
    env.reset()
    assert set(env.unwrapped.batch.memory.state["problem"]) == {3}, "who asks for a problem gets it"


def test_what_a_warm_up_found_out_is_taken_over():
    short, env = TaskCurriculum(joint(), first=[6]), TaskCurriculum(joint(), first=[6])
    short.failures[:] = np.linspace(0, 1, 20)
    short.alone[:] = False
    env.go_on_from(short)
    np.testing.assert_array_equal(env.failures, short.failures)
    assert not env.alone.any()


def test_environments_that_cannot_have_one_are_refused():
    env = joint(2)
    TaskCurriculum(env)
    with pytest.raises(ValueError, match="have a curriculum already"):
        TaskCurriculum(env)
    blind = joint(2, prm="lexical", utility="none", utility_weight=0.0, beta={"outcome": 0})
    with pytest.raises(ValueError, match="read no gold"):
        TaskCurriculum(blind)
