"""Adaptive weights against numbers worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from reasongym.errors import UnknownNameError
from reasongym.prm.base import Scores, check_prm, checked_scores
from reasongym.prm.combinators import PotentialDifference
from reasongym.prm.weights import EpisodeScores, Gate, Reweighted, fit_beta, fit_scale, group_advantages

NAN = np.nan


class Fixed:
    """Says what it was told to say."""

    needs_annotation = False
    version = "fixed"

    def __init__(self, rows, criteria=("a", "b"), weights=None):
        self.rows, self.criteria, self.weights = np.asarray(rows, np.float32), criteria, weights
        self.default_beta = {"a": 0.5}

    def score(self, steps):
        return self.rows if self.weights is None else Scores(self.rows, np.asarray(self.weights, np.float32))


def scored(prm, batch):
    check_prm(prm)
    values, weights = checked_scores(prm, prm.score(batch), len(batch))
    return values.tolist(), weights.tolist()


@pytest.fixture
def three(steps):
    return steps({"action": "next", "desk": "A."}, {"action": "next", "desk": "B."}, {"action": "next", "desk": "C."})


def test_scale_multiplies_weights_and_leaves_values(three):
    prm = Reweighted(Fixed([[1, -1], [0.5, NAN], [0, 0]], weights=[[1, 2], [1, 1], [0, 1]]), scale={"b": 0.5}, beta={"b": 3})
    values, weights = scored(prm, three)
    assert values[0] == [1, -1]
    assert np.isnan(values[1][1])
    assert weights == [[1, 1], [1, 0.5], [0, 0.5]]
    assert prm.default_beta == {"a": 0.5, "b": 3}


def test_an_easy_criterion_counts_only_where_the_hard_one_is_met(three):
    prm = Reweighted(Fixed([[1, 0.4], [1, 0.2], [-1, NAN]]), gates={"a": Gate("b", 0.4)})
    assert scored(prm, three)[1] == [[1, 1], [0, 1], [0, 1]]


def test_combinators_take_it(three):
    prm = PotentialDifference(Reweighted(Fixed([[1, 1], [1, 0], [0, 0]]), gates={"a": Gate("b", 0.5)}), beta={"a": 1, "b": 1})
    batch = type(three)(**{**vars(three), "carry": np.zeros((3, prm.carry_size))})
    assert prm.score(batch)[:, 0].tolist() == pytest.approx([0.5, 0, 0])


def test_wrong_arguments_are_refused():
    inside = Fixed([[0, 0]])
    with pytest.raises(UnknownNameError, match="criterion in Reweighted"):
        Reweighted(inside, gates={"a": Gate("c")})
    with pytest.raises(ValueError, match="in a circle"):
        Reweighted(inside, gates={"a": Gate("b"), "b": Gate("a")})
    with pytest.raises(ValueError, match="positive finite"):
        Reweighted(inside, scale={"a": 0})
    assert Reweighted(inside, scale={"a": 2}).version != Reweighted(inside).version


def episode(a, b, success, answers=None):
    rows = np.stack([np.asarray(a, float), np.asarray(b, float)], axis=1)
    return EpisodeScores(rows, np.zeros(len(rows), bool) if answers is None else np.asarray(answers), success)


def test_beta_follows_what_predicts_success():
    """a: successes 1, 1 above failures 0, -1: AUC 1. b: all tied: AUC 1/2."""
    episodes = [episode([1], [0], True), episode([1], [0], True), episode([0], [0], False), episode([-1], [0], False)]
    fit = fit_beta(("a", "b"), episodes, {"a": 0.3, "b": 0.1}, strength=0)
    assert fit.auc == {"a": 1, "b": 0.5}
    assert fit.beta == pytest.approx({"a": 0.4, "b": 0.0})  # the sum stays
    assert fit.trust == 1
    half = fit_beta(("a", "b"), episodes, {"a": 0.3, "b": 0.1}, strength=2)
    assert half.trust == 0.5
    assert half.beta == pytest.approx({"a": 0.35, "b": 0.05})


def test_beta_never_reads_answer_cells():
    """b is right about the answer itself and about nothing else; a about nothing."""
    told = [episode([0, 0], [0, 1], True, [False, True]), episode([0, 0], [0, -1], False, [False, True])]
    fit = fit_beta(("a", "b"), told, {}, strength=0)
    assert fit.auc == {"a": 0.5, "b": 0.5}
    assert fit.beta == {"a": 1, "b": 1}
    poisoned = [e._replace(scores=np.where(e.answers[:, None], 7.0, e.scores)) for e in told]
    assert fit_beta(("a", "b"), poisoned, {}, strength=0) == fit
    seen = [e._replace(answers=np.zeros(2, bool)) for e in told]
    assert fit_beta(("a", "b"), seen, {}, strength=0).beta == pytest.approx({"a": 0, "b": 2})  # what the mask prevents


def test_a_criterion_that_points_the_wrong_way_weighs_nothing_not_less():
    episodes = [episode([1], [-1], True), episode([0], [1], False)]
    assert fit_beta(("a", "b"), episodes, {}, strength=0).beta == pytest.approx({"a": 2, "b": 0})


def test_without_evidence_the_prior_stays():
    prior = {"a": 0.2, "b": 0.6}
    for episodes in ([], [episode([1], [1], True)] * 5, [episode([NAN], [NAN], True), episode([NAN], [NAN], False)]):
        fit = fit_beta(("a", "b"), episodes, prior)
        assert fit.beta == pytest.approx(prior)
        assert fit.trust == 0
    with pytest.raises(ValueError, match="none negative"):
        fit_beta(("a", "b"), [], {"a": -1})
    with pytest.raises(ValueError, match="answers"):
        fit_beta(("a", "b"), [EpisodeScores(np.zeros((2, 2)), np.zeros(3, bool), True)], {})


def test_scale_by_hand():
    """Spreads 1 and 0.5: factors 1 and 2, of mean 1: 2/3 and 4/3."""
    assert fit_scale(("a", "b"), np.array([[-1, 0], [1, 1], [NAN, NAN]])) == pytest.approx({"a": 2 / 3, "b": 4 / 3})
    assert fit_scale(("a", "b"), np.array([[0, 0], [0, 1.0]]))["a"] == pytest.approx(2 * 20 / 22)  # at most as if 0.05


def test_advantages_tell_one_win_from_two():
    """Two groups of two: totals (1, 2) and (0, 2). Summed first, both winners get the same; scaled first, 1 and 2 shares."""
    rewards = np.array([[0, 1], [1, 1], [0, 0], [1, 1.0]])
    out = group_advantages(rewards, np.array([0, 0, 1, 1]), [1, 1])
    assert out == pytest.approx(np.array([-1, 1, -2, 2]) / np.sqrt(2.5))
    summed = rewards.sum(1)
    assert (summed[1] - summed[:2].mean()) / summed[:2].std() == (summed[3] - summed[2:].mean()) / summed[2:].std()
    weighted = group_advantages(rewards, np.array([0, 0, 1, 1]), [1, 0])
    assert weighted == pytest.approx([-1, 1, -1, 1])
    assert group_advantages(np.array([[NAN], [NAN], [1], [1.0]]), np.array([0, 0, 1, 1]), [1]).tolist() == [0, 0, 0, 0]
    with pytest.raises(ValueError, match="rewards"):
        group_advantages(rewards, np.zeros(3), [1, 1])
