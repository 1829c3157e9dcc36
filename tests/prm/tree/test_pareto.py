"""Dominance is a strict partial order, the front is never empty, and pairs are what the report says."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from reasongym.errors import DataError
from reasongym.prm.tree.pareto import Group, dominance, pareto_front, pareto_pairs, read_pairs, without_gaps, write_pairs

NAN = float("nan")
PATIENT = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""For machines with other work to do."""


def scores_of(*criteria):
    """Scores of one to eight candidates on as many criteria."""
    shapes = st.tuples(st.integers(1, 8), st.sampled_from(criteria))
    return arrays(float, shapes, elements=st.sampled_from([-1.0, -0.5, 0.0, 0.25, 0.5, 1.0]))


SCORES = scores_of(1, 2, 3, 4)


def test_the_front_of_four_points():
    """(1, 0) and (0, 1) are the front; (0, 0) is below both, (0.5, 0) below the first alone."""
    scores = np.array([[1, 0], [0, 1], [0, 0], [0.5, 0]])
    assert pareto_front(scores).tolist() == [True, True, False, False]
    assert np.argwhere(dominance(scores)).tolist() == [[0, 2], [0, 3], [1, 2], [3, 2]]


def test_equal_candidates_do_not_dominate_one_another():
    assert not dominance(np.array([[0.5, 0.5], [0.5, 0.5]])).any()
    assert pareto_front(np.array([[0.5, 0.5], [0.5, 0.5], [0.5, 0.4]])).tolist() == [True, True, False]


@PATIENT
@given(SCORES)
def test_dominance_is_a_strict_partial_order(scores):
    beats = dominance(scores)
    assert not beats.diagonal().any()
    assert not (beats & beats.T).any()
    assert not ((beats.astype(int) @ beats.astype(int) > 0) & ~beats).any()


@PATIENT
@given(SCORES)
def test_the_front_is_never_empty_and_covers_the_rest(scores):
    front = pareto_front(scores)
    assert front.any()
    assert dominance(scores)[front][:, ~front].any(axis=0).all()  # what is not in it is dominated by one in it


def test_a_gap_has_no_order():
    with pytest.raises(ValueError, match="gaps"):
        dominance(np.array([[NAN, 1.0]]))


def group(scores, problem="p", kind="", names=None, prefix=("one",)):
    scores = np.asarray(scores, dtype=float)
    names = names or [f"step {i}" for i in range(len(scores))]
    criteria = tuple("abcd"[: scores.shape[1]])
    return Group("Where?", prefix, tuple(names), criteria, scores, problem, kind)


def test_a_pair_by_hand():
    (pair,), report = pareto_pairs([group([[1, 0.5, 0], [0, 0.5, 0], [-1, 1, 0]])])
    assert (pair.chosen, pair.rejected) == ("step 0", "step 1")
    assert pair.margin == pytest.approx(1 / 3)
    assert (pair.chosen_scores, pair.rejected_scores) == ((1, 0.5, 0), (0, 0.5, 0))
    assert pair.to_row()["prompt"] == "Where?\none\n"
    assert pair.to_row()["question"] == "Where?"
    assert (report.pairs, report.problems, report.front_share) == (1, 1, pytest.approx(2 / 3))


def test_a_sum_would_choose_what_dominance_does_not():
    """(1, 1, -1) has the higher sum than (0, 0, 0), and fails a criterion: no pair."""
    pairs, report = pareto_pairs([group([[1, 1, -1], [0, 0, 0]])])
    assert pairs == []
    assert report.no_dominance == 1


def test_a_gap_drops_the_criterion_for_the_group():
    """On a the second would win; b and c, which all have, say otherwise."""
    (pair,), report = pareto_pairs([group([[NAN, 1, 1], [1, 0, 0], [0, -1, 0]])])
    assert (pair.chosen, pair.criteria, report.criteria_dropped) == ("step 0", ("b", "c"), 1)
    scores, kept = without_gaps(np.array([[NAN, 1, 1], [1, 0, 0]]))
    assert kept.tolist() == [False, True, True]
    assert scores.shape == (2, 2)


def test_fewer_than_two_criteria_give_no_pair():
    pairs, report = pareto_pairs([group([[NAN, 1], [1, 0]]), group([[1.0], [0.0]], problem="q")])
    assert (pairs, report.too_few_criteria, report.groups_seen, report.problems_seen) == ([], 2, 2, 2)


def test_the_rejected_is_dominated_by_the_chosen():
    """step 3 is dominated by step 1, not by step 0: (step 0, step 3) is no pair."""
    pairs, _ = pareto_pairs([group([[1, 0], [0, 1], [0.5, -0.5], [-0.5, 0.5]])], per_group=9, per_problem=9)
    assert {(pair.chosen, pair.rejected) for pair in pairs} == {("step 0", "step 2"), ("step 1", "step 3")}


def test_the_chosen_is_in_the_front():
    """step 1 dominates step 2, but is dominated itself."""
    pairs, _ = pareto_pairs([group([[1, 1], [0, 0], [-1, -1]])], per_group=9, per_problem=9)
    assert [(pair.chosen, pair.rejected) for pair in pairs] == [("step 0", "step 2"), ("step 0", "step 1")]


def test_the_margin():
    close = group([[0.1, 0], [0, 0]])
    assert pareto_pairs([close], margin=0.05)[1].pairs == 1
    pairs, report = pareto_pairs([close], margin=0.06)
    assert (pairs, report.below_margin) == ([], 1)
    with pytest.raises(ValueError, match="margin"):
        pareto_pairs([close], margin=0)


def test_caps_keep_what_is_furthest_apart():
    wide, narrow = [[1, 1], [-1, -1]], [[0.5, 0.5], [0, 0]]
    groups = [group(narrow, "p", "easy"), group(wide, "p", "easy"), group(narrow, "q", "easy"), group(wide, "r", "hard")]
    pairs, report = pareto_pairs(groups, per_problem=1)
    assert [(pair.problem, pair.margin) for pair in pairs] == [("p", 2), ("q", 0.5), ("r", 2)]
    assert (report.pairs, report.problems, report.capped, report.by_kind) == (3, 3, 1, {"easy": 2, "hard": 1})
    pairs, report = pareto_pairs(groups, per_kind=1)
    assert [(pair.kind, pair.margin) for pair in pairs] == [("easy", 2), ("hard", 2)]
    assert report.capped == 2
    assert pareto_pairs([group([[1, 1], [0, 0], [-1, -1]])], per_group=1)[1].pairs == 1
    assert pareto_pairs([group([[1, 1], [0, 0], [-1, -1]])], per_group=2)[1].pairs == 2
    with pytest.raises(ValueError, match="per_group"):
        pareto_pairs(groups, per_group=0)


def test_a_step_that_occurs_twice_is_one_candidate():
    pairs, report = pareto_pairs([group([[1, 1], [0, 0], [1, 1]], names=["a", "b", "a"])], per_group=9, per_problem=9)
    assert report.pairs == 1
    assert report.front_share == pytest.approx(0.5)
    assert pairs[0].chosen == "a"


@PATIENT
@given(st.lists(scores_of(2), max_size=6), st.integers(1, 3), st.integers(1, 3))
def test_no_cap_is_broken_and_every_pair_dominates(all_scores, per_group, per_problem):
    groups = [group(scores, problem=str(i % 2), prefix=(str(i),)) for i, scores in enumerate(all_scores)]
    pairs, report = pareto_pairs(groups, per_group=per_group, per_problem=per_problem)
    assert report.pairs == len(pairs)
    for pair in pairs:
        assert dominance(np.array([pair.chosen_scores, pair.rejected_scores]))[0, 1]
        assert sum(other.problem == pair.problem for other in pairs) <= per_problem
        assert sum(other.prefix == pair.prefix for other in pairs) <= per_group


def test_wrong_groups_are_refused():
    with pytest.raises(ValueError, match="candidates x criteria"):
        Group("", (), ("a",), ("x", "y"), np.zeros((2, 2)), "p")
    with pytest.raises(ValueError, match=r"\[-1, 1\]"):
        group([[2, 0]])


def test_the_file(tmp_path):
    pairs, _ = pareto_pairs([group([[1, 1], [0, 0]]), group([[1, 0], [0, -1]], "q", "hard")])
    write_pairs(pairs, tmp_path / "pairs.jsonl")
    assert read_pairs(tmp_path / "pairs.jsonl") == pairs
    (tmp_path / "broken.jsonl").write_text((tmp_path / "pairs.jsonl").read_text() + '{"prompt": 1}\n')
    with pytest.raises(DataError, match=r"broken.jsonl:3"):
        read_pairs(tmp_path / "broken.jsonl")
