"""The gold answer as a choice, for training: of closed answers, and of spans where there is one."""

from __future__ import annotations

import numpy as np
import pytest

from reasongym.adapters.sb3 import make_vec_env
from reasongym.engine.gold import ELSEWHERE, gold_choices

ENVIRONMENTS = 24


def vector(name, **keywords):
    return make_vec_env(name, ENVIRONMENTS, seed=3, num_problems=ENVIRONMENTS, **keywords)


def experts(env):
    """The expert's action of each environment."""
    from reasongym.engine.expert import expert_action

    return np.array([expert_action(env.batch, i) for i in range(ENVIRONMENTS)])


def test_of_closed_answers_it_is_the_problems():
    env = vector("ReasonGym-bAbI-qa1-v0")
    env.reset()
    problems = [env.batch.source.problem(int(i)) for i in env.batch.memory.state["problem"]]
    assert [env.batch.source.choices[c] for c in env.gold_choice] == [problem.answers[0] for problem in problems]


@pytest.mark.parametrize("name", ["ReasonGym-SQuAD2-v0", "ReasonGym-FairytaleQA-v0"])
def test_of_spans_it_is_what_the_expert_does_when_it_answers(name):
    env = vector(name)
    env.reset()
    first = 1 + 3 * env.batch.shapes.slots
    answers = 0
    for _ in range(120):
        gold, actions = gold_choices(env.batch), experts(env)
        masks = env.action_masks()
        assert (gold[~masks[:, first:].any(1)] == -1).all()  # nothing to answer yet
        told = np.flatnonzero(gold >= 0)
        assert masks[told, first + gold[told]].all()
        for i in np.flatnonzero(actions >= first):
            problem = env.batch.source.problem(int(env.batch.memory.state["problem"][i]))
            if gold[i] < 0:  # no span of this link is right
                assert problem.answers
                continue
            assert gold[i] == actions[i] - first
            answers += 1
        env.step(actions)
    assert answers > ENVIRONMENTS


def test_after_a_start_that_is_not_gold_nothing_is_told():
    env = vector("ReasonGym-SQuAD2-v0", difficulty={"unanswerable": 0.0, "hops": [1]})
    env.reset()
    first, P = 1 + 3 * env.batch.shapes.slots, env.batch.shapes.positions
    wrong = 0
    for _ in range(40):
        gold, actions = gold_choices(env.batch), experts(env)
        starting = np.flatnonzero((actions >= first) & (actions < first + P))
        for i in starting:
            starts = np.flatnonzero(env.action_masks()[i, first : first + P])
            other = starts[starts != gold[i]]
            actions[i] = first + other[0]
        env.step(actions)
        for i in starting:
            assert gold_choices(env.batch)[i] == ELSEWHERE
            wrong += 1
    assert wrong > 0


@pytest.mark.parametrize("name", ["ReasonGym-SQuAD2-v0", "ReasonGym-bAbI-qa2-v0"])
def test_the_best_reasoning_is_the_experts_once_the_text_is_over(name):
    env, draw, told = vector(name), np.random.default_rng(1), 0
    env.reset()
    for _ in range(150):
        best, actions, masks = env.best_reasoning, experts(env), env.action_masks()
        assert masks[np.arange(ENVIRONMENTS), actions].all()  # the expert's action is legal in whatever state
        reading = env.batch.memory.state["cursor"] < env.batch.memory.state["num_units"]
        assert (best[reading] == -1).all()
        assert ((best == actions) | (best == -1)).all()
        told += int((best >= 0).sum())
        env.step((masks * draw.random(masks.shape)).argmax(1))
    assert told > ENVIRONMENTS


def test_the_best_reasoning_is_for_training_only():
    with pytest.raises(PermissionError, match="training split only"):
        _ = vector("ReasonGym-bAbI-qa1-v0", split="validation").best_reasoning
