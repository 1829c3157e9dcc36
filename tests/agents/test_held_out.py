"""Which held-out problems an agent is measured on, and what is told of them."""

from __future__ import annotations

import numpy as np
import pytest

from agents.base import evaluate
from agents.baselines import make
from agents.evaluation import chosen_problems
from reasongym.adapters.sb3 import make_vec_env
from reasongym.audit.play import sample

ENV = "ReasonGym-bAbI-v0"


@pytest.fixture(scope="module")
def expert():
    return make("expert", make_vec_env(ENV, n_envs=4, seed=0))


def test_accuracy_by_task_adds_up(expert):
    agent = make("majority", make_vec_env(ENV, n_envs=4, seed=0)).learn(2_000)
    found = evaluate(agent, ENV, problems=range(200), num_envs=30)
    tasks = np.arange(200) % 20 + 1
    right = np.array(found.right)
    assert found.by_task == {task: right[tasks == task].mean() for task in range(1, 21)}
    assert 0 < found.accuracy < 1
    assert evaluate(expert, ENV, problems=40, num_envs=40).accuracy == 1


def test_problems_by_number_and_by_name(expert):
    found = evaluate(expert, ENV, problems=[3, 23, 43], num_envs=2)
    assert (found.problems, list(found.by_task)) == (3, [4])


def test_a_number_of_problems_is_a_draw_from_the_whole_split():
    drawn = chosen_problems(19_000, 500)
    np.testing.assert_array_equal(drawn, sample(19_000, 500))
    assert len(set(drawn.tolist())) == 500
    assert drawn.max() > 18_000
    np.testing.assert_array_equal(chosen_problems(30, 500), np.arange(30))
    np.testing.assert_array_equal(chosen_problems(None, 5), np.arange(5))
    np.testing.assert_array_equal(chosen_problems(7, None), np.arange(7))


@pytest.mark.parametrize(("there", "problems"), [(None, None), (10, 0), (10, [])])
def test_no_problems(there, problems):
    with pytest.raises(ValueError, match="problems"):
        chosen_problems(there, problems)


@pytest.mark.parametrize("problems", [[-1, 2], [0.5, 1.0], [10**7], [[1, 2]], []])
def test_what_is_no_index_of_a_problem_is_refused(problems):
    with pytest.raises(ValueError, match="problems"):
        chosen_problems(1_000, problems)
