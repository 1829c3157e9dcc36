"""The ids of natural text keep the contract that bAbI's keep: nothing leaks, nothing breaks, one = many, compiled = object."""

from __future__ import annotations

import warnings
from dataclasses import replace

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode
from test_contract import VARIANTS, assert_same, single_trajectory, vector_trajectories
from test_no_leak import SETTINGS, play

import reasongym  # noqa: F401
from reasongym.envs import ReasonGymEnv, ReasonGymVectorEnv, build

PROCEDURAL = {
    "SQuAD2": {"dataset": "squad2"},
    "NarrativeQA": {"dataset": "narrativeqa"},
    "FairytaleQA": {"dataset": "fairytaleqa", "difficulty": {"units": [20, 40]}},
}
PUBLISHED = {
    "SQuAD2": ("squad/dev-v2.0-a.json.gz", "squad2"),
    "FairytaleQA": ("fairytaleqa/train-val.tar.gz", "fairytaleqa"),
}
EPISODES = 6


class SpanList:
    """A span source that is a list of problems, in the words of another one."""

    def __init__(self, like, problems):
        for name in ("name", "vocabulary", "kinds", "entities", "choices", "choice_kinds", "unit_tokens", "question_tokens"):
            setattr(self, name, getattr(like, name))
        self.fingerprint, self.split, self.spans, self.max_units = "listed", "train", like.spans, like.max_units
        self.problems, self.num_problems = list(problems), len(problems)
        self.encode, self.tokenize, self.choice_of = like.encode, like.tokenize, like.choice_of

    def problem(self, index):
        return self.problems[index]


@pytest.fixture(params=[*PROCEDURAL, *(f"published {name}" for name in PUBLISHED)])
def keywords(request, data_file):
    """The arguments of an environment on a set."""
    name = request.param
    if name in PROCEDURAL:
        return {"num_problems": 300, **PROCEDURAL[name]}
    path, dataset = PUBLISHED[name.split()[1]]
    return {"dataset": dataset, "source": str(data_file(path)), "split": "validation", "num_problems": 300}


def source_of(keywords):
    rest = {name: value for name, value in keywords.items() if name != "dataset"}
    return build(keywords["dataset"], (), rest)[0]


def other_answer(problem):
    """The same story and question with another gold answer and other support; what had no answer gets one, and the reverse."""
    support = tuple(unit for unit in range(problem.num_units) if unit not in (problem.support or ()))[:1]
    if problem.answers:
        other = () if len(problem.answers[0]) % 2 else ("something else",)
        return replace(problem, answers=other, support=(), prerequisites=())
    return replace(problem, answers=(problem.story.units[support[0]].split()[0],), support=support, prerequisites=(0,))


def test_gymnasium_checker(keywords):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(ReasonGymEnv(**keywords), skip_render_check=True)


@pytest.mark.parametrize("name", SETTINGS)
def test_observations_do_not_depend_on_gold_and_support(keywords, name):
    base = source_of(keywords)
    problems = [base.problem(i) for i in range(EPISODES)]
    twins = [other_answer(problem) for problem in problems]
    a, b = (ReasonGymEnv(dataset=SpanList(base, listed), **SETTINGS[name]) for listed in (problems, twins))
    assert play(a, b, 1) > 4 * EPISODES
    assert all(p.answers != q.answers for p, q in zip(problems, twins, strict=True))


def test_observations_do_not_depend_on_a_question_not_yet_asked(keywords):
    base = source_of(keywords)
    problems = [base.problem(i) for i in range(EPISODES)]
    twins = [replace(p, question=f"Why not {p.question}"[: len(p.question) // 2] + "?", question_entities=0) for p in problems]
    settings = {"question_at": "end", "reason_when": "any", "observer": "lexical", "gate": "salience"}
    a, b = (ReasonGymEnv(dataset=SpanList(base, listed), **settings) for listed in (problems, twins))
    assert play(a, b, 2, while_reading=True) > EPISODES


@pytest.mark.parametrize("mode", list(AutoresetMode))
@pytest.mark.parametrize("name", VARIANTS)
def test_single_is_vector_in_every_variant(name, mode):
    keywords, steps = {"dataset": "squad2", "num_problems": 50, **VARIANTS[name]}, 60
    keywords["memory_slots"] = max(keywords.get("memory_slots", 10), 1)  # spans point into slots
    single = ReasonGymEnv(**keywords)
    rows = vector_trajectories(ReasonGymVectorEnv(num_envs=4, autoreset_mode=mode, **keywords), 3, steps)
    for i in (0, 3):
        assert_same(single_trajectory(single, 3, i, steps), rows[i], f"{name}, environment {i}")


def test_single_is_vector(keywords):
    single, steps = ReasonGymEnv(**keywords), 200
    rows = vector_trajectories(ReasonGymVectorEnv(num_envs=3, **keywords), 11, steps)
    for i in (0, 2):
        assert_same(single_trajectory(single, 11, i, steps), rows[i], f"environment {i}")


def test_an_object_scores_as_the_kernel_does(keywords):
    from test_contract import SameTable

    envs = [ReasonGymVectorEnv(num_envs=3, **keywords, **own) for own in ({}, {"prm": SameTable()})]
    rows = [vector_trajectories(env, 5, 150) for env in envs]
    for compiled, scored in zip(*rows, strict=True):
        for x, y in zip(compiled, scored, strict=True):
            assert x[2] == pytest.approx(y[2], abs=1e-6)


def test_a_million_random_actions(keywords):
    n, steps, draw = 500, 2_000, np.random.default_rng(0)
    env = ReasonGymVectorEnv(num_envs=n, **keywords)
    observation, _ = env.reset(seed=0)
    space, episodes, answered, started = env.observation_space, 0, 0, 0
    positions = env.batch.shapes.positions
    for t in range(steps):
        legal = observation["action_mask"] * draw.random(observation["action_mask"].shape)
        anything = draw.integers(env.single_action_space.n, size=n)
        few = draw.random(n) < 0.3
        observation, reward, terminated, _, info = env.step(np.where(few, anything, legal.argmax(1)))
        assert np.isfinite(reward).all()
        assert reward.min() >= -0.45 - 1e-6
        assert reward.max() <= 1.2 + 1e-6
        assert np.abs(sum(info["reward_terms"][c] for c in (*env.batch.settings.criteria, "memory")) - reward).max() <= 1e-6
        started += int((observation["span_start"][:, 0] > 0).sum())
        pointing = observation["span_start"][:, 0] > 0
        assert not observation["action_mask"][pointing, : -1 - positions].any()
        assert observation["action_mask"].any(1).all() or terminated.any()
        if t % 50 == 0:
            assert observation in space
        episodes += int(terminated.sum())
        if terminated.any():
            answered += sum(bool(answer) for answer in info["answer"][terminated])
            assert (info["episode_return"][terminated] <= 1.8 + 1e-6).all()
    assert episodes > 1_000
    assert answered > 50
    assert started > 500


def test_answers_are_words_of_the_text(keywords):
    env, draw = ReasonGymEnv(**keywords), np.random.default_rng(1)
    pointed = 0
    for index in range(40):
        env.reset(seed=0, options={"problem": index})
        problem, ended = env.source.problem(index), False
        while not ended:
            legal = np.flatnonzero(env.action_masks())
            abstains = len(legal) > 1 and legal[-1] == env.action_space.n - 1
            _, _, ended, _, info = env.step(int(draw.choice(legal[:-1] if abstains else legal)))
        if info["answer"]:
            pointed += 1
            assert any(info["answer"] in unit for unit in problem.story.units)
            where = next(unit for unit in problem.story.units if info["answer"] in unit)
            assert info["answer"] == info["answer"].strip()
            assert where
    assert pointed > 5


@pytest.mark.parametrize("name", ["strict", "tokenizer", "max_answer_length", "unit_tokens"])
def test_keywords_that_do_not_fit_are_named(name):
    value = {"strict": True, "tokenizer": "bert", "max_answer_length": 3, "unit_tokens": 2}[name]
    if name in ("tokenizer", "max_answer_length"):
        with pytest.raises(ValueError, match=f"{name}=.* is for natural text"):
            ReasonGymEnv(dataset="babi", **{name: value})
    if name == "unit_tokens":
        with pytest.raises(ValueError, match="unit_tokens"):
            ReasonGymEnv(dataset="squad2", unit_tokens=2)
    if name == "max_answer_length":
        env = gym.make("ReasonGym-SQuAD2-v0", max_answer_length=0).unwrapped
        assert env.source.spans.max_length == 0
    if name == "strict":
        assert ReasonGymEnv(dataset="squad2", strict=True).num_problems == 100_000
