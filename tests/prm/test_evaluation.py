"""The numbers of the bench, each derived so that a reader can check it with a pencil."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reasongym.errors import UnknownNameError
from reasongym.prm.evaluation import (
    aggregate,
    best_of_n,
    calibration_error,
    cohen_kappa,
    earliest_error,
    fitted_threshold,
    has_error,
    reliability,
    spearman,
    step_auc,
    step_counts,
)

NAN = float("nan")


def arrays(*rows):
    return [np.array(row, np.float32) for row in rows]


def test_step_counts_by_hand():
    labels = arrays([1, 1, -1], [0, -0.5, NAN])  # right, right, wrong; neutral is right, wrong, unlabelled
    scores = arrays([0.5, -0.5, -1], [0, 0.2, 1])
    counts = step_counts(labels, scores)
    assert counts == (2, 1, 1, 1)  # 0.5 and 0 found; 0.2 said of a wrong step; -1 found; -0.5 said of a right one
    assert counts.f1 == pytest.approx(2 * 2 / (2 * 2 + 1 + 1))
    assert counts.negative_f1 == pytest.approx(2 * 1 / (2 * 1 + 1 + 1))
    assert counts.score == pytest.approx((4 / 6 + 2 / 4) / 2)


def test_the_threshold_is_the_least_score_that_says_right():
    labels, scores = arrays([1, -1]), arrays([0.5, 0.25])
    assert step_counts(labels, scores, 0.5) == (1, 0, 1, 0)
    assert step_counts(labels, scores, 0.25) == (1, 1, 0, 0)


def test_always_yes_and_always_no_by_hand():
    labels = arrays([1, 1, 1, -1])
    yes, no = step_counts(labels, arrays([1] * 4)), step_counts(labels, arrays([-1] * 4))
    assert (yes.f1, yes.negative_f1) == (6 / 7, 0)
    assert (no.f1, no.negative_f1) == (0, 2 / 5)


def test_what_is_undefined_is_nan():
    assert np.isnan(step_counts(arrays([1, 1]), arrays([1, 1])).negative_f1)
    assert np.isnan(step_counts([], []).score)
    assert np.isnan(step_auc(arrays([1, 1]), arrays([0, 1])))
    assert np.isnan(earliest_error(arrays([1, -1]), arrays([1, -1])).f1), "no right solution"
    assert np.isnan(calibration_error(arrays([1, 1]), arrays([1, 1])))
    assert calibration_error(arrays([1, 1]), arrays([1, 1]), balanced=False) == 0


@pytest.mark.parametrize(("policy", "expected"), [("miss", (0, 1, 0, 1)), ("right", (1, 1, 0, 0)), ("skip", (0, 0, 0, 0))])
def test_unscored_steps(policy, expected):
    assert step_counts(arrays([1, -1]), arrays([NAN, NAN]), unscored=policy) == expected


def test_unknown_policy():
    with pytest.raises(UnknownNameError, match="unknown policy for unscored steps 'mis': did you mean 'miss'"):
        step_counts(arrays([1]), arrays([1]), unscored="mis")
    with pytest.raises(UnknownNameError, match="policy"):
        earliest_error(arrays([1]), arrays([1]), unscored="mis")


def test_earliest_error_by_hand():
    labels = arrays([1, -1, NAN], [1, -1, -1], [-1, NAN], [1, 1], [1, 1, 1], [NAN, NAN])
    scores = arrays(
        [1, -1, 1],  # named: hit
        [-1, -1, 1],  # the one before was named: miss
        [1, -1],  # the one after: miss
        [1, 1],  # none named: hit
        [1, 1, -1],  # one named: miss
        [1, 1],  # no label: left out
    )
    found = earliest_error(labels, scores)
    assert found[1:] == (1 / 3, 1 / 2, 3, 2, 0)
    assert found.f1 == pytest.approx(2 / (3 + 2))  # harmonic mean of 1/3 and 1/2


def test_a_solution_labelled_in_part_is_neither_right_nor_wrong():
    """Nobody has said that the rest is right, or that the error is the first; ProcessBench's unscored rest is another thing."""
    labels = arrays([1, NAN, NAN], [1, 1], [1, NAN, -1], [1, -1, NAN], [NAN, NAN])
    assert [has_error(label) for label in labels] == [None, False, None, True, None]
    scores = arrays([1, -1, 1], [1, 1], [1, 1, -1], [1, -1, 1], [1, 1])
    assert earliest_error(labels, scores) == (1, 1, 1, 1, 1, 2)


def test_an_unscored_step_before_the_objection_is_a_miss():
    labels = arrays([1, -1, NAN], [1, -1, NAN], [1, 1], [1, 1])
    scores = arrays([1, -1, NAN], [NAN, -1, 1], [1, 1], [1, NAN])
    assert earliest_error(labels, scores)[:3] == (0.5, 0.5, 0.5)
    assert earliest_error(labels, scores, unscored="right")[:3] == (1, 1, 1)


def test_auc_counts_ties_half():
    labels = arrays([1, 1, -1], [-1, NAN])
    scores = arrays([0.5, 0, 0], [-1, 1])
    # pairs right > wrong: 0.5 beats 0 and -1; 0 ties with 0 and beats -1
    assert step_auc(labels, scores) == (1 + 1 + 0.5 + 1) / 4


def test_class_balanced_calibration_by_hand():
    # confidence 0.95 of eight right steps and of one wrong one, 0.05 of one wrong one
    labels = arrays([1] * 8 + [-1, -1])
    scores = arrays([0.9] * 8 + [0.9, -0.9])
    # plain: top bin holds 9 of 10 steps, 8 of 9 right, confidence 0.95; low bin 1 step, 0 right, confidence 0.05
    plain = 0.9 * abs(8 / 9 - 0.95) + 0.1 * 0.05
    assert calibration_error(labels, scores, balanced=False) == pytest.approx(plain, abs=1e-6)
    # balanced: right steps weigh 1/16 each, wrong ones 1/4 each: top bin 1/2 + 1/4, right share 2/3; low bin 1/4
    assert calibration_error(labels, scores) == pytest.approx(0.75 * abs(2 / 3 - 0.95) + 0.25 * 0.05, abs=1e-6)
    curve = reliability(labels, scores)
    np.testing.assert_allclose(curve.confidence, [0.05, 0.95], atol=1e-6)
    np.testing.assert_allclose(curve.accuracy, [0, 2 / 3])
    np.testing.assert_allclose(curve.weight, [0.25, 0.75])


def test_being_sure_of_everything_is_half_wrong():
    labels = arrays([1] * 9 + [-1])
    assert calibration_error(labels, arrays([1] * 10)) == pytest.approx(0.5)
    assert calibration_error(labels, arrays([1] * 10), balanced=False) == pytest.approx(0.1)


def test_a_certain_score_falls_into_the_last_bin():
    assert reliability(arrays([1, -1]), arrays([1, -1]), bins=2).confidence.tolist() == [0, 1]


def test_kappa_by_hand():
    one = np.array([True] * 6 + [False] * 4)
    other = np.array([True] * 5 + [False] * 3 + [True] * 2)
    # both yes 5, both no 2: agree 0.7... by chance 0.6 * 0.7 + 0.4 * 0.3
    assert cohen_kappa(one, other) == pytest.approx(((5 + 2) / 10 - 0.54) / (1 - 0.54))
    assert cohen_kappa(one, one) == 1
    assert np.isnan(cohen_kappa(np.ones(3, bool), np.ones(3, bool)))
    assert cohen_kappa(one, np.ones(10, bool)) == 0


def test_spearman_by_hand():
    assert spearman(np.array([1, 2, 3]), np.array([10, 20, 300])) == pytest.approx(1)
    assert spearman(np.array([1, 2, 3, 4]), np.array([2, 1, 4, 3])) == pytest.approx(1 - 6 * 4 / (4 * 15))
    # ties: ranks 1.5, 1.5, 3 against 1, 2, 3
    assert spearman(np.array([5, 5, 7]), np.array([1, 2, 3])) == pytest.approx(1.5 / np.sqrt(1.5 * 2))
    assert np.isnan(spearman(np.array([1, 1]), np.array([1, 2])))


def test_aggregation_by_hand():
    scores = np.array([1, NAN, 0, 0.5], np.float32)
    assert aggregate(scores, "min") == 0
    assert aggregate(scores, "mean") == 0.5
    assert aggregate(scores, "last") == 0.5
    assert aggregate(scores, "product") == 1 * 0.5 * 0.75
    assert np.isnan(aggregate(np.array([NAN], np.float32), "min"))
    with pytest.raises(UnknownNameError, match="unknown aggregator 'max'"):
        aggregate(scores, "max")


def test_best_of_n_by_hand():
    problems = ["a", "a", "a", "b", "b", "c", "d", "d"]
    outcomes = [1, 0, 0, 0, 1, 1, NAN, 1]
    values = [0.2, 0.1, 0.2, 0.9, NAN, 1, 1, 1]
    found = best_of_n(problems, outcomes, values)
    # a: a tie of a right and a wrong one; b: the wrong one, since the other is unscored; c and d: only one of known outcome
    assert found == ((0.5 + 0) / 2, (1 / 3 + 1 / 2) / 2, 1.0, 2, 5)
    assert np.isnan(best_of_n(["a"], [1], [1]).accuracy)


def test_aggregation_has_to_fit_what_labels_mean():
    """A value-like PRM: one dip on the way to a right answer; a correctness-like one: one false step."""
    outcomes, values = [1.0, 0.0], arrays([0.9, -0.8, 0.9], [0.4, 0.4, -0.6])
    picked = {how: best_of_n("pp", outcomes, [aggregate(v, how) for v in values]).accuracy for how in ("min", "last")}
    assert picked == {"min": 0, "last": 1}


def test_a_fitted_threshold_separates():
    labels, scores = arrays([1, 1, -1], [1, 1]), arrays([0.6, 0.5, 0.2], [0.5, 0.6])
    threshold = fitted_threshold(labels, scores)
    assert 0.2 < threshold <= 0.5
    assert earliest_error(labels, scores, threshold).f1 == 1
    # without right solutions the pooled score decides
    assert step_counts(labels[:1], scores[:1], fitted_threshold(labels[:1], scores[:1])).score == 1
    assert fitted_threshold(labels, arrays([NAN] * 3, [NAN] * 2)) == 0


def test_shapes_are_checked():
    with pytest.raises(ValueError, match=r"record 1 has labels of shape \(2,\) and scores of shape \(1,\)"):
        step_counts(arrays([1], [1, 1]), arrays([1], [1]))


label = st.sampled_from([-1.0, -0.5, 0.0, 1.0, NAN])
steps = st.lists(st.tuples(label, st.one_of(st.just(NAN), st.floats(-1, 1, width=32))), min_size=1, max_size=6)


@settings(max_examples=200, deadline=None)
@given(st.lists(steps, min_size=1, max_size=6))
def test_properties(pairs):
    labels = arrays(*([label for label, _ in record] for record in pairs))
    scores = arrays(*([score for _, score in record] for record in pairs))
    counts = step_counts(labels, scores)
    assert sum(counts) == sum((~np.isnan(one)).sum() for one in labels)
    perfect = [np.where(one < 0, -1, 1).astype(np.float32) for one in labels]
    best = step_counts(labels, perfect)
    assert best.fp == best.fn == 0
    found = earliest_error(labels, perfect)
    assert all(share == 1 or np.isnan(share) for share in found[:3])
    assert counts.score <= 1 or np.isnan(counts.score)
    generous = step_counts(labels, scores, unscored="right")
    assert generous.tp >= counts.tp, "an unscored step is never worth more than no objection to a right one"
    error = calibration_error(labels, scores)
    assert np.isnan(error) or -1e-9 <= error <= 1
    backwards = step_auc(labels, [-one for one in scores])
    assert np.isnan(backwards) or step_auc(labels, scores) == pytest.approx(1 - backwards)
