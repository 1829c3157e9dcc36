"""Statistics over runs and tasks: by hand, and beside what rliable 1.2.0 gave for the same scores.

The scores are `np.random.default_rng(7)`'s, rounded: X (5 runs x 3 tasks), then Y (4 runs x 3 tasks).
"""

from __future__ import annotations

import math

import numpy as np
import pytest

from reasongym.metrics.aggregate import (
    area_under_curve,
    bootstrap,
    iqm,
    mean,
    median_time,
    performance_profile,
    probability_of_improvement,
)

X = [[0.63, 0.9, 0.78], [0.23, 0.3, 0.87], [0.01, 0.82, 0.8], [0.47, 0.3, 0.28], [0.25, 0.45, 0.5]]
Y = [[0.6, 1.0, 0.81], [0.66, 0.99, 0.29], [0.24, 0.65, 0.14], [0.13, 0.56, 0.52]]


def by_task(runs):
    """(R, M) scores as rliable takes them, by task."""
    return np.array(runs).T.tolist()


def test_iqm_leaves_out_a_quarter_at_either_end():
    assert iqm([[0, 1, 2, 3], [4, 5, 6, 100]]) == pytest.approx((2 + 3 + 4 + 5) / 4)
    assert iqm([[1, 2, 9]]) == pytest.approx(4), "three runs: a quarter of them is no whole run"
    assert mean([[0, 1], [1, 1, 1, 1]]) == pytest.approx(0.75), "tasks weigh alike"


def test_values_of_rliable():
    x, y = by_task(X), by_task(Y)
    assert iqm(x) == pytest.approx(0.5011111111111111)
    assert iqm(y) == pytest.approx(0.5466666666666667)
    assert probability_of_improvement(x, y) == pytest.approx(0.4166666666666667)
    assert probability_of_improvement(y, x) == pytest.approx(0.5833333333333334)
    np.testing.assert_allclose(performance_profile(x, [0, 0.25, 0.5, 0.75]), [1.0, 0.8, 0.4, 1 / 3])
    np.testing.assert_allclose(performance_profile(y, [0, 0.25, 0.5, 0.75]), [1.0, 0.75, 2 / 3, 0.25])


def test_intervals_of_rliable():
    """Its own are of 50,000 repetitions (of the comparison 20,000): ours agree to what 5,000 tell."""
    x, y = by_task(X), by_task(Y)
    close = {"abs": 0.015}
    assert bootstrap(iqm, x, repetitions=5_000)[1:] == pytest.approx((0.34777778, 0.66888889), **close)
    assert bootstrap(iqm, x, tasks=True, repetitions=5_000)[1:] == pytest.approx((0.28444444, 0.74666667), **close)
    found = bootstrap(probability_of_improvement, x, y, repetitions=5_000)
    assert found.value == pytest.approx(0.4166666666666667)
    assert found[1:] == pytest.approx((0.21666667, 0.63333333), **close)


def test_probability_of_improvement_by_hand():
    assert probability_of_improvement([[1, 2]], [[0, 2]]) == pytest.approx((1 + 0 + 1 + 0.5) / 4)
    assert probability_of_improvement([[1], [0, 0]], [[0], [1]]) == pytest.approx(0.5), "won one task, lost the other"


def test_runs_are_drawn_within_their_tasks():
    """Two tasks without any spread have no interval, however far they lie apart; drawing tasks gives them one."""
    runs = [[0.1] * 5, [0.9] * 5]
    assert bootstrap(mean, runs, repetitions=200) == pytest.approx((0.5, 0.5, 0.5))
    assert bootstrap(mean, runs, tasks=True, repetitions=200)[1:] == pytest.approx((0.1, 0.9))


def test_the_same_seed_draws_the_same():
    assert bootstrap(iqm, by_task(X), repetitions=100, seed=3) == bootstrap(iqm, by_task(X), repetitions=100, seed=3)


def test_area_under_a_curve():
    assert area_under_curve([0, 10], [0.5, 0.5], 10) == pytest.approx(0.5)
    assert area_under_curve([10], [1.0], 10) == pytest.approx(0.5), "it rises from (0, 0)"
    assert area_under_curve([5], [1.0], 10) == pytest.approx((2.5 + 5) / 10), "it stays where it ended"
    assert area_under_curve([0, 10, 30], [0, 1, 3], 20) == pytest.approx((5 + 15) / 20), "it is cut at the horizon"


def test_a_median_with_runs_that_never_reached_it():
    assert median_time([1, 2, 3], [True, True, True]) == 2
    assert median_time([1, 5, 9, 9], [True, True, False, False]) == 5
    assert median_time([1, 5, 9, 9], [True, False, False, False]) == math.inf
    # of 4, one at 1 (3/4 go on); one is lost at 2; of 2 left one at 3 (3/8 go on)
    assert median_time([1, 2, 3, 4], [True, False, True, False]) == 3
    assert median_time([math.inf, 4, math.inf], [False, True, False]) == math.inf
    assert median_time([], []) == math.inf


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: probability_of_improvement([[1]], [[1], [2]]), "same tasks, got 1 and 2"),
        (lambda: bootstrap(iqm, [[1.0], []]), r"at least one run, got \[1, 0\]"),
        (lambda: area_under_curve([2, 1], [0, 0], 1), "do not fall"),
        (lambda: area_under_curve([], [], 1), "got 0 places"),
        (lambda: area_under_curve([0], [1], 0), "horizon 0"),
    ],
)
def test_what_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
