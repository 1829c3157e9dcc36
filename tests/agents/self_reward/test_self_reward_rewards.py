"""What steps earn, by hand; that environments pay it; and weights and gates that follow what a round showed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from agents.self_reward.episodes import Episode, criteria_of, play
from agents.self_reward.judge import judge_scores
from agents.self_reward.rewards import SelfRewardVecEnv, Weighting, fit_gates
from reasongym.errors import UnknownNameError
from reasongym.prm.weights import Gate
from tests.agents.self_reward.conftest import agent

CRITERIA = ("logic", "goal", "outcome", "validity", "judge")
NAN = float("nan")


def test_judge_scores_by_hand():
    """Four steps of one episode that ends with an answer, and one that runs out of steps."""
    now, before = np.array([0.5, 0.8, 0.6, 0.9, 0.7]), np.array([NAN, 0.5, 0.8, 0.6, 0.9])
    answered, ended = np.array([0, 0, 0, 1, 0], bool), np.array([0, 0, 0, 1, 1], bool)
    steps, verdict = judge_scores(now, before, answered, ended, "value")
    np.testing.assert_allclose(steps, [0, 0.3, -0.2, 0, 0], atol=1e-12)
    np.testing.assert_allclose(verdict, [0, 0, 0, 0.8, -1], atol=1e-12)
    steps, verdict = judge_scores(np.array([0.5, 0.8, 0.2, 0.9, 0.7]), before, answered, ended, "correct")
    np.testing.assert_allclose(steps, [0, 0, -0.6, 0, 0], atol=1e-12)
    np.testing.assert_allclose(verdict, [0, 0, 0, 0.8, -1], atol=1e-12)
    unjudged = np.full(5, NAN)
    assert not np.any(judge_scores(unjudged, unjudged, answered, ended, "value"))


def test_value_steps_telescope():
    """However long an episode dithers, what its steps earn is the change from the first word to the last."""
    rng = np.random.default_rng(0)
    for length in (2, 7, 40):
        now = rng.random(length)
        ended = np.arange(length) == length - 1
        steps, _ = judge_scores(now, np.append(NAN, now[:-1]), ended, ended, "value")
        assert steps.sum() == pytest.approx(now[-2] - now[0])


def test_terms_by_hand():
    """goal stands behind the judge: it counts in the first step (2p - 1 = 0.2), not in the second (-0.2)."""
    weighting = Weighting(
        {"logic": 0.2, "goal": 0.5, "validity": 0.05, "judge": 1.0, "verdict": 2.0}, {"goal": Gate("judge", 0.1)}
    )
    scores = np.array([[NAN, 1, 0, 0, 0.6], [-1, 1, 0, -1, 0.4], [0, 0, 1, 0, 0.9]])
    terms = weighting.terms(CRITERIA, scores, np.array([NAN, 0.6, 0.4]), np.array([0, 0, 1], bool), np.array([0, 0, 1], bool))
    expected = {
        "logic": [0, -0.2, 0], "goal": [0.5, 0, 0], "outcome": [0, 0, 0], "validity": [0, -0.05, 0], "judge": [0, -0.2, 0],
        "verdict": [0, 0, 1.6],
    }  # fmt: skip
    assert set(terms) == set(expected)
    for name, values in expected.items():
        np.testing.assert_allclose(terms[name], values, atol=1e-12, err_msg=name)


@pytest.mark.parametrize("arm", ["gold", "none", "annotation"])
def test_environments_pay_what_recorded_episodes_earn(arm):
    """One sum, computed in two places: while PPO acts, and from the raw scores of a record."""
    paid, model, judge = agent(arm=arm)
    paid.judge = judge
    problems = np.arange(8)
    played = play(model.as_player(), paid.inner, problems, judge=judge)
    paid.set_options([{"problem": int(i)} for i in problems])
    paid.reset()
    earned, going, t = [[] for _ in problems], np.ones(8, bool), 0
    while going.any():
        actions = [e.actions[t] if t < len(e) else 0 for e in played.episodes]
        _, rewards, dones, _ = paid.step(np.array(actions))
        for i in np.flatnonzero(going):
            earned[i].append(float(rewards[i]))
        going &= ~dones
        t += 1
    for episode, rewards in zip(played.episodes, earned, strict=True):
        expected = paid.weighting.rewards(episode, criteria_of(paid.inner), paid.answers)
        np.testing.assert_allclose(rewards, expected, atol=1e-5)


def episode(success: bool, scores) -> Episode:
    """Two steps before the answer (action 20), and the answer."""
    table = np.array([*scores, [0, 0, 0, 0, 0.5]], np.float32)
    memory = np.zeros((3, 1, 1), np.int16)
    return Episode(0, "", 0, 0, np.array([1, 2, 20], np.int32), memory, table, "", "", "", "", 0, label=float(success))


def test_weights_follow_what_tells_success():
    told = [episode(i % 2 == 0, [[0, i % 2 == 0, 0, 0, 0.5], [0, 0, 0, 0, 0.5]]) for i in range(100)]
    before = Weighting({"logic": 0.5, "goal": 0.5, "outcome": 1.0, "verdict": 0.7})
    after = before.fitted(told, CRITERIA, 10, strength=0.0)
    assert after.beta["goal"] == pytest.approx(1.0)
    assert after.beta["logic"] == pytest.approx(0.0)
    assert (after.beta["outcome"], after.beta["verdict"]) == (1.0, 0.7), "these stay"
    assert before.fitted([replace(e, label=NAN) for e in told], CRITERIA, 10).beta == before.beta, "nothing is known"


def test_a_gate_opens_where_a_criterion_tells_more_behind_the_judge():
    """goal praises every episode's first step; the judge is content there (0.9) only in those that succeed."""
    told = [episode(i % 2 == 0, [[0, 1, 0, 0, 0.9 if i % 2 == 0 else 0.2], [0, 0, 0, 0, 0.9]]) for i in range(80)]
    gates = fit_gates(told, CRITERIA, 10)
    assert set(gates) == {"goal"}
    assert gates["goal"].hard == "judge"
    assert gates["goal"].least == pytest.approx(0.8)
    assert fit_gates(told[:30], CRITERIA, 10) == {}, "fifteen of each are too few"


def test_wrong_weights_are_refused():
    paid, _, _ = agent(arm="none")
    with pytest.raises(UnknownNameError, match=r"goals.*goal"):
        SelfRewardVecEnv(paid.inner, Weighting({"goals": 1.0}))
    with pytest.raises(PermissionError, match="read no gold answers"):
        SelfRewardVecEnv(paid.inner, Weighting({"outcome": 1.0}))


def test_an_episode_begins_without_the_word_before():
    """The first step of the next episode earns no change of the judge's word: there is none before it."""
    paid, _, judge = agent()
    paid.judge, paid.weighting = judge, Weighting({"judge": 1.0})
    observation, begun, earned = paid.reset(), np.ones(8, bool), []
    for _ in range(30):
        legal = observation["action_mask"].astype(bool)
        actions = np.where(legal[:, -1], legal.shape[1] - 1, legal.argmax(1))  # to the end of the text, then the last answer
        observation, rewards, dones, _ = paid.step(actions)
        assert not rewards[begun].any()
        earned.append(rewards[~begun & ~dones])
        begun = dones
    assert np.concatenate(earned).any(), "later steps do earn it"
