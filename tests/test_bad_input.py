"""What is refused, and that the message says what would be accepted."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.error import ResetNeeded
from reference import ListedSource

import reasongym  # noqa: F401
from reasongym.envs import ReasonGymEnv, ReasonGymVectorEnv
from reasongym.errors import PRMError, UnknownNameError

QA1 = "ReasonGym-bAbI-qa1-v0"


class Scored:
    """A PRM that returns what it is given."""

    needs_annotation, version, default_beta = False, "1", {}

    def __init__(self, scores, criteria=("a", "b")):
        self.scores, self.criteria = scores, criteria

    def score(self, steps):
        return np.array(self.scores, float)


UNKNOWN = [
    ({"split": "trian"}, "unknown split 'trian': did you mean 'train'"),
    ({"gate": "opne"}, "unknown gate 'opne': did you mean 'open'"),
    ({"utility": "coverag"}, "unknown utility 'coverag': did you mean 'coverage'"),
    ({"prm": "lexcal"}, "unknown PRM 'lexcal': did you mean 'lexical'"),
    ({"observer": "lexcal"}, "unknown PRM 'lexcal': did you mean 'lexical'"),
    ({"memory_slot": 3}, "unknown keyword 'memory_slot': did you mean 'memory_slots'"),
    ({"question_at": "sart"}, "unknown question_at 'sart': did you mean 'start'"),
    ({"reason_when": "always"}, "unknown reason_when 'always': .*known: any, end"),
    ({"memory_view": "ful"}, "unknown memory_view 'ful': did you mean 'full'"),
    ({"difficulty": "publishd"}, "did you mean 'published'"),
    ({"difficulty": {"poeple": ("Mary",)}}, "did you mean 'people'"),
    ({"beta": {"lgic": 1}}, "criterion 'lgic', which this PRM does not have; it has logic, coherence, goal, outcome, validity"),
    ({"beta": {"memory": 1}}, "utility_weight="),
]


@pytest.mark.parametrize(("keywords", "message"), UNKNOWN, ids=lambda x: str(x)[:30])
def test_unknown_names(keywords, message):
    for make in (gym.make, gym.make_vec):
        with pytest.raises(ValueError, match=message):
            make(QA1, **keywords)


def test_unknown_ids_tasks_options_and_modes():
    with pytest.raises(gym.error.NameNotFound, match="ReasonGym-bAbI"):
        gym.make("ReasonGym-bAbl-v0")
    with pytest.raises(UnknownNameError, match="unknown bAbI task 21"):
        ReasonGymEnv(tasks=(21,))
    with pytest.raises(UnknownNameError, match="did you mean 'babi'"):
        ReasonGymEnv(dataset="baby")
    env, vector = ReasonGymEnv(tasks=(1,)), ReasonGymVectorEnv(tasks=(1,))
    with pytest.raises(UnknownNameError, match="unknown reset option 'problm': did you mean 'problem'"):
        env.reset(options={"problm": 1})
    with pytest.raises(UnknownNameError, match="unknown reset option 'mask'"):
        vector.reset(options={"mask": 1})
    with pytest.raises(UnknownNameError, match="unknown render mode 'rgb'"):
        ReasonGymEnv(tasks=(1,), render_mode="rgb")
    with pytest.raises(UnknownNameError, match="unknown autoreset_mode 'Same': did you mean 'SameStep'"):
        ReasonGymVectorEnv(tasks=(1,), autoreset_mode="Same")
    with pytest.raises(UnknownNameError, match="did you mean 'threads'"):
        ReasonGymVectorEnv(tasks=(1,), thread=2)


RANGES = [
    ({"memory_slots": -1}, ValueError, r"memory_slots must lie in \[0, 1000\], got -1"),
    ({"memory_slots": 2.0}, TypeError, r"memory_slots must be a whole number, got 2.0 \(float\)"),
    ({"memory_slots": True}, TypeError, "memory_slots must be a whole number, got True"),
    ({"units_per_slot": 0}, ValueError, r"units_per_slot must lie in \[1"),
    ({"chain_length": "10"}, TypeError, "chain_length must be a whole number, got '10'"),
    ({"max_steps": 0}, ValueError, "max_steps must lie in"),
    ({"salience_rate": 1.5}, ValueError, r"salience_rate must be a finite number in \[0"),
    ({"utility_weight": float("inf")}, ValueError, "utility_weight must be a finite number"),
    ({"utility_weight": "0.3"}, TypeError, "utility_weight must be a number, got '0.3'"),
    ({"beta": [0.2]}, TypeError, r"beta must be a mapping from criteria to weights, got \[0.2\]"),
    ({"beta": {"goal": float("nan")}}, ValueError, r"beta\['goal'\] must be a finite number, got nan"),
    ({"prm": 3}, TypeError, "prm=3 is no process reward model"),
    ({"observer": object()}, TypeError, "observer=.* is no process reward model: attribute 'criteria'"),
    ({"prm": Scored([], ("outcome",))}, ValueError, "must be distinct names other than outcome, validity, memory"),
    ({"gate": 5}, TypeError, r"gate=5 must be one of open, salience or have needs_annotation and masks\(view\)"),
    ({"utility": 5}, TypeError, r"utility=5 must be one of .* or have needs_annotation and value\(view\)"),
    ({"num_problems": 0}, ValueError, "num_problems must be at least 1"),
    ({"unit_tokens": 2}, ValueError, r"units of \d+ tokens, but unit_tokens=2; pass unit_tokens=\d+ or more"),
    ({"question_tokens": 1}, ValueError, r"questions of \d+ tokens, but question_tokens=1; pass question_tokens=\d+ or more"),
]


@pytest.mark.parametrize(("keywords", "kind", "message"), RANGES, ids=lambda x: str(x)[:30])
def test_wrong_types_and_ranges(keywords, kind, message):
    with pytest.raises(kind, match=message):
        ReasonGymEnv(tasks=(1,), **keywords)


def test_a_gate_with_annotation_is_refused():
    class Gate:
        needs_annotation = True

        def masks(self, view): ...

    with pytest.raises(ValueError, match="needs annotation, but its masks are shown to the agent"):
        ReasonGymEnv(tasks=(1,), gate=Gate())


@pytest.mark.parametrize(
    ("scores", "message"),
    [
        ([[0.0]], r"Scored.score returned shape \(1, 1\), expected \(1, 2\): steps x criteria"),
        ([0.0, 0.0], r"returned shape \(2,\)"),
        ([[0.0, np.inf]], "scored 'b' with inf at step 0 of the batch"),
        ([[1.5, 0.0]], r"scored 'a' with 1.5 at step 0 of the batch; scores lie in \[-1, 1\], or are NaN"),
    ],
    ids=str,
)
@pytest.mark.parametrize("role", ["prm", "observer"])
def test_scores_that_break_the_contract(scores, message, role):
    env = ReasonGymEnv(tasks=(1,), **{role: Scored(scores)})
    env.reset(seed=0)
    with pytest.raises(PRMError, match=message):
        env.step(0)


def test_gates_and_utilities_that_break_the_contract():
    class Gate:
        needs_annotation = False

        def masks(self, view):
            return np.ones((len(view.problem), 3), bool)

    class Utility:
        needs_annotation = False

        def value(self, view):
            return np.full(len(view.problem), np.inf)

    for keywords, message in (({"gate": Gate()}, r"gate.masks returned .*expected bool of shape \(1, 3, 10\)"),
                              ({"utility": Utility()}, "utility.value returned .* expected 1 finite numbers")):  # fmt: skip
        env = ReasonGymEnv(tasks=(1,), **keywords)
        env.reset(seed=0)
        with pytest.raises(ValueError, match=message):
            env.step(0)


def test_actions_outside_the_space():
    env, vector = ReasonGymEnv(tasks=(1,)), ReasonGymVectorEnv(tasks=(1,), num_envs=2)
    env.reset(seed=0), vector.reset(seed=0)
    for action in (-1, 37, 10**30):
        with pytest.raises(ValueError, match=r"action -?\d+ is outside Discrete\(37\)"):
            env.step(action)
    for action in (0.0, None, "next"):
        with pytest.raises(TypeError, match="an action is a whole number"):
            env.step(action)
    with pytest.raises(ValueError, match=r"action 37 is outside Discrete\(37\)"):
        vector.step(np.array([0, 37]))
    with pytest.raises(ValueError, match="expected 2 actions"):
        vector.step(np.array([0]))
    with pytest.raises(TypeError, match="actions must be whole numbers, got float64"):
        vector.step(np.array([0.0, 1.0]))
    env.step(np.int64(0)), env.step(np.array(0)), vector.step([0, 1])


def test_stepping_before_reset():
    for env in (ReasonGymEnv(tasks=(1,)), gym.make(QA1)):
        with pytest.raises(ResetNeeded):
            env.step(0)
    with pytest.raises(ResetNeeded, match=r"call reset\(\) before step\(\)"):
        ReasonGymVectorEnv(tasks=(1,), num_envs=2).step(np.zeros(2, int))
    env = ReasonGymEnv(tasks=(1,), max_steps=1)
    env.reset(seed=0), env.step(0)
    with pytest.raises(ResetNeeded, match="the episode has ended"):
        env.step(0)
    vector = ReasonGymVectorEnv(tasks=(1,), num_envs=2, max_steps=1, autoreset_mode="Disabled")
    with pytest.raises(ResetNeeded, match="first reset"):
        vector.reset(options={"reset_mask": np.array([True, False])})
    vector.reset(seed=0), vector.step(np.zeros(2, int))
    with pytest.raises(ResetNeeded, match=r"environments \[0, 1\] have ended, and autoreset is disabled"):
        vector.step(np.zeros(2, int))


def test_reset_options_of_the_wrong_kind():
    vector = ReasonGymVectorEnv(tasks=(1,), num_envs=2)
    with pytest.raises(ValueError, match="reset_mask"):
        vector.reset(options={"reset_mask": [True, False]})
    with pytest.raises(TypeError, match="must be whole numbers"):
        vector.reset(options={"problem": 1.5})
    with pytest.raises(ValueError, match="expected 2 seeds"):
        vector.reset(seed=[1])


def test_vectors_of_the_wrong_size():
    for keywords in ({"num_envs": 0}, {"num_envs": 2.0}, {"threads": 0}):
        with pytest.raises(ValueError, match="must be a whole number of at least 1"):
            ReasonGymVectorEnv(tasks=(1,), **keywords)


def test_a_text_that_is_longer_than_its_source_says():
    base = ReasonGymEnv(tasks=(1,)).source
    src = ListedSource(base, [base.problem(0)])
    src.unit_tokens = 3
    with pytest.raises(ValueError, match=r"has \d tokens, but unit_tokens=3; pass unit_tokens=\d or more"):
        ReasonGymEnv(dataset=src).reset(seed=0)
    src.unit_tokens, src.max_units = base.unit_tokens, 1
    with pytest.raises(ValueError, match="but its source says max_units=1"):
        ReasonGymEnv(dataset=src).reset(seed=0)


def test_a_source_object_and_keywords_that_choose_one():
    base = ReasonGymEnv(tasks=(1,)).source
    with pytest.raises(ValueError, match="split choose nothing"):
        ReasonGymEnv(dataset=ListedSource(base, [base.problem(0)]), split="test")


@pytest.mark.parametrize(("utility", "method"), [("answerability", "follows"), ("prudence", "needed")])
def test_utilities_of_a_source_without_a_solver(utility, method):
    base = ReasonGymEnv(tasks=(1,)).source
    with pytest.raises(PRMError, match=f"utility='{utility}' needs a source with {method}"):
        ReasonGymEnv(dataset=ListedSource(base, [base.problem(0)]), utility=utility)


def test_a_keyword_of_vectors_is_sent_to_make_vec():
    with pytest.raises(TypeError, match=r"pass it to gym\.make_vec"):
        gym.make("ReasonGym-bAbI-qa1-v0", copy=False)
