"""Nothing that an agent can observe depends on gold answers, support, or a question that is not yet asked."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from reference import ListedSource, SealedProblem, other_labels

from reasongym.envs import ReasonGymEnv, ReasonGymVectorEnv
from reasongym.registration import IDS
from reasongym.tasks import babi

TASKS = sorted({task for kwargs in IDS.values() for task in kwargs.get("tasks", ())})
SETTINGS = {
    "default": {},
    "annotated, all on": {"observer": "lexical", "gate": "salience", "reason_when": "any", "utility": "level"},
    "question at the end": {"question_at": "end", "reason_when": "any", "observer": "lexical", "gate": "salience"},
    "lexical": {"prm": "lexical", "utility": "use", "observer": "lexical", "gate": "salience", "memory_slots": 2},
    "recalled": {"memory_view": "recalled", "memory_slots": 3, "chain_length": 3, "gate": "salience"},
}
EPISODES = 6


@cache
def source(task):
    return babi.load((task,), num_problems=64)


def play(a, b, seed, *, while_reading=False):
    """The same random actions in both; everything observable is compared, step by step. Returns the steps compared."""
    draw, compared = np.random.default_rng(seed), 0
    for index in range(EPISODES):
        both = [env.reset(seed=0, options={"problem": index})[0] for env in (a, b)]
        ended = False
        while not ended:
            if while_reading and not both[0]["progress"][2]:
                break
            for key, value in both[0].items():
                assert np.array_equal(value, both[1][key]), f"problem {index}: {key} tells what it must not"
            assert np.array_equal(a.action_masks(), b.action_masks())
            compared += 1
            legal = np.flatnonzero(a.action_masks())
            early = legal[legal <= 3 * a.batch.shapes.slots]
            action = int(draw.choice(early if len(early) and draw.random() < 0.9 else legal))
            if draw.random() < 0.1:
                action = int(draw.integers(a.action_space.n))
            steps = [env.step(action) for env in (a, b)]
            both = [step[0] for step in steps]
            assert steps[0][2] == steps[1][2]
            ended = steps[0][2]
            assert [s[4].get("invalid_action") for s in steps] == [steps[0][4].get("invalid_action")] * 2
        if ended:
            for key, value in both[0].items():
                assert np.array_equal(value, both[1][key]), f"problem {index}, at its end: {key} tells what it must not"
    return compared


@pytest.mark.parametrize("name", SETTINGS)
@pytest.mark.parametrize("task", TASKS)
def test_observations_do_not_depend_on_gold_and_support(task, name):
    base = source(task)
    problems = [base.problem(i) for i in range(EPISODES)]
    twins = [other_labels(problem, base.choices) for problem in problems]
    a, b = (ReasonGymEnv(dataset=ListedSource(base, listed), **SETTINGS[name]) for listed in (problems, twins))
    assert play(a, b, task) > 10 * EPISODES / 4
    assert any(p.support != q.support for p, q in zip(problems, twins, strict=True))


@pytest.mark.parametrize(
    "settings", [{}, {"prm": "lexical", "utility": "none", "memory_slots": 4}], ids=["annotated", "lexical"]
)
@pytest.mark.parametrize("task", TASKS)
def test_observations_do_not_depend_on_a_question_not_yet_asked(task, settings):
    base = source(task)
    problems = [base.problem(i) for i in range(EPISODES)]
    asked = {}
    for i in range(base.num_problems):
        other = base.problem(i)
        asked.setdefault(other.question, other)
    twins = []
    for problem in problems:
        other = next(other for question, other in asked.items() if question != problem.question)
        names = ("question", "question_entities", "answer_kind", "answers")
        twin = replace(problem, **{name: getattr(other, name) for name in names})
        twins.append(other_labels(twin, base.choices))
    keywords = {"question_at": "end", "reason_when": "any", "observer": "lexical", "gate": "salience", **settings}
    a, b = (ReasonGymEnv(dataset=ListedSource(base, listed), **keywords) for listed in (problems, twins))
    assert play(a, b, task, while_reading=True) > EPISODES


@pytest.mark.parametrize("utility", ["use", "none"])
@pytest.mark.parametrize("prm", ["lexical", "own"])
def test_unannotated_runs_never_read_gold_or_support(utility, prm):
    class Own:
        criteria, needs_annotation, version, default_beta = ("mine",), False, "1", {}

        def score(self, steps):
            return np.zeros((len(steps), 1))

    base = source(2)
    sealed = ListedSource(base, [SealedProblem(base.problem(i)) for i in range(64)])
    keywords = {"prm": prm if prm == "lexical" else Own(), "utility": utility, "beta": {"outcome": 0}}
    env = ReasonGymVectorEnv(dataset=sealed, num_envs=8, observer="lexical", gate="salience", **keywords)
    env.reset(seed=0)
    draw = np.random.default_rng(0)
    ended = {}
    for _ in range(200):
        _, _, terminated, _, info = env.step(draw.integers(env.single_action_space.n, size=8))
        if terminated.any():
            ended = info
    assert "answer" in ended
    assert not {"gold", "is_success", "gold_choice", "capture"} & set(ended)


def test_annotated_runs_read_the_sealed_problem():
    """The seal works: otherwise the test above could not fail."""
    base = source(2)
    sealed = ListedSource(base, [SealedProblem(base.problem(0))])
    for keywords in ({}, {"prm": "lexical", "utility": "none"}, {"prm": "lexical", "beta": {"outcome": 0}}):
        with pytest.raises(AssertionError, match="was read"):
            ReasonGymEnv(dataset=sealed, **keywords).reset(seed=0)


def test_sources_of_unannotated_runs_are_asked_for_no_annotation():
    env = ReasonGymEnv(tasks=(1,), prm="lexical", utility="none", beta={"outcome": 0})
    problem = env.source.problem(3)
    assert problem.answers == ()
    assert problem.support is None


def test_an_observer_that_reads_annotation_is_refused():
    with pytest.raises(ValueError, match="must not read gold answers or support"):
        ReasonGymEnv(tasks=(1,), observer="annotated")


def test_a_prm_without_annotation_cannot_reach_it():
    from reasongym.errors import PRMError

    class Curious:
        criteria, needs_annotation, version, default_beta = ("peek",), False, "1", {}

        def score(self, steps):
            return np.where(steps.annotation.gold == steps.choice, 1.0, 0.0)[:, None]

    env = ReasonGymEnv(tasks=(1,), prm=Curious(), utility="coverage")
    env.reset(seed=0)
    with pytest.raises(PRMError, match="declares needs_annotation = False"):
        env.step(0)


@pytest.mark.parametrize("utility", ["coverage", "own"])
def test_a_gate_without_annotation_cannot_reach_the_support(utility):
    class Curious:
        needs_annotation = False

        def masks(self, view):
            return np.broadcast_to((view.support[1] > 0)[:, None, None], (len(view.problem), 3, view.units.shape[1]))

    class Own:
        needs_annotation = True

        def value(self, view):
            return view.support[1] > 0

    env = ReasonGymEnv(tasks=(1,), gate=Curious(), utility=utility if utility != "own" else Own())
    env.reset(seed=0)
    with pytest.raises(PermissionError, match="needs_annotation = False"):
        env.step(0)
