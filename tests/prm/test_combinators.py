"""Combinators against sums worked out by hand."""

from __future__ import annotations

import pickle

import gymnasium as gym
import numpy as np
import pytest

import reasongym  # noqa: F401
from reasongym.errors import PRMError
from reasongym.prm.base import Scores, carry_size, check_prm, checked_scores
from reasongym.prm.combinators import Clipped, PotentialDifference, SoftMinimum, WeightedSum
from reasongym.prm.lexical import LexicalPRM
from reasongym.prm.weights import Reweighted

NAN = np.nan


class Fixed:
    """A PRM that says what it was told to say; with `weights`, per-step weights."""

    needs_annotation = False
    version = "fixed"

    def __init__(self, criteria=("a",), beta=None, rows=(), weights=None, reads_gold=False):
        self.criteria, self.default_beta, self.rows, self.weights = tuple(criteria), dict(beta or {}), rows, weights
        self.needs_annotation = reads_gold

    def score(self, steps):
        if self.needs_annotation:
            assert steps.annotation is not None
        values = np.asarray(self.rows, np.float32).reshape(len(steps), len(self.criteria))
        return values if self.weights is None else Scores(values, np.asarray(self.weights, np.float32))


def paid(prm, batch):
    """Reward of each step under the PRM's default weights, unscored = 0."""
    values, weights = checked_scores(prm, prm.score(batch), len(batch))
    beta = np.array([prm.default_beta[c] for c in prm.criteria])
    return (np.nan_to_num(values) * (1 if weights is None else weights) * beta).sum(1)


def play(prm, inner, steps, episode, ends=True):
    """Payments for an episode given as the inner PRM's scores."""
    carry = np.zeros((1, carry_size(prm)))
    out = []
    for i, value in enumerate(episode):
        inner.rows = [[value]]
        out.append(paid(prm, steps({"action": "next", "terminated": ends and i == len(episode) - 1}, carry=carry))[0])
    return np.array(out)


def test_weighted_sum_keeps_criteria_apart_and_pays_the_sum(steps):
    batch = steps({"action": "next"}, {"action": "next"}, {"action": "next"})
    one = Fixed(("a", "b"), {"a": 0.5, "b": 1}, [[1, -1], [0.5, NAN], [NAN, NAN]])
    two = Fixed(("b", "c"), {"b": 2}, [[0.5, 1], [0.25, 0], [NAN, 1]])
    both = check_prm(WeightedSum(one, two, weights=(2, 0.5)))
    assert both.criteria == ("a", "b", "c")
    assert both.default_beta == {"a": 1.0, "b": 3.0, "c": 0.5}
    values, _ = both.score(batch)
    np.testing.assert_allclose(values[:, 0], [1, 0.5, NAN])
    np.testing.assert_allclose(values[:, 1], [(2 * -1 + 1 * 0.5) / 3, 0.25, NAN])
    np.testing.assert_allclose(paid(both, batch), 2 * paid_by(one) + 0.5 * paid_by(two), atol=1e-6)


def paid_by(part):
    beta = np.array([part.default_beta.get(c, 1.0) for c in part.criteria])
    return (np.nan_to_num(np.array(part.rows)) * beta).sum(1)


def test_per_step_weights_survive_a_sum(steps):
    batch = steps({"action": "next"})
    one = Fixed(("a",), {"a": 0.5}, [[-1]], weights=[[3]])
    two = Fixed(("a",), {"a": 1}, [[0.5]])
    np.testing.assert_allclose(paid(WeightedSum(one, two), batch), [-1.5 + 0.5], atol=1e-6)


def test_clipped_never_pays_and_keeps_the_scale(steps):
    batch = steps(*[{"action": "next"}] * 4)
    inner = Fixed(("a", "b"), {"a": 0.3, "b": 0.1}, [[1, 1], [-1, 1], [-1, -1], [NAN, NAN]])
    prm = check_prm(Clipped(inner))
    assert prm.criteria == ("combined",)
    np.testing.assert_allclose(paid(prm, batch), [0, -0.2, -0.4, 0], atol=1e-6)
    assert np.isnan(prm.score(batch)[3, 0])
    np.testing.assert_allclose(paid(Clipped(inner, threshold=0.5), batch), [0, -0.4, -0.6, 0], atol=1e-6)
    np.testing.assert_allclose(paid(Clipped(inner, beta={"b": 0}), batch), [0, -0.3, -0.3, 0], atol=1e-6)


def test_differences_telescope_to_zero_or_to_the_last_score(steps):
    inner = Fixed(("a",), {"a": 0.5})
    episode = [0.2, 1.0, NAN, -0.4]
    np.testing.assert_allclose(play(PotentialDifference(inner), inner, steps, episode), [0.1, 0.4, 0, -0.5], atol=1e-6)
    np.testing.assert_allclose(
        play(PotentialDifference(inner, terminal="keep"), inner, steps, episode), [0.1, 0.4, 0, -0.7], atol=1e-6
    )


@pytest.mark.parametrize("gamma", [1.0, 0.9])
def test_the_discounted_sum_of_differences_is_zero(steps, gamma):
    inner = Fixed(("a",), {"a": 1})
    episode = [0.5, NAN, -1.0, 0.25, NAN]
    payments = play(PotentialDifference(inner, gamma=gamma), inner, steps, episode)
    assert (gamma ** np.arange(5) * payments).sum() == pytest.approx(0, abs=1e-6)
    assert np.abs(payments).max() > 0.4


def test_truncation_leaves_the_potential_standing(steps):
    inner = Fixed(("a",), {"a": 1})
    assert play(PotentialDifference(inner), inner, steps, [0.2, 0.7], ends=False).sum() == pytest.approx(0.7)


def test_soft_minimum_adds_up_to_that_of_the_episode(steps):
    inner = Fixed(("a",), {"a": 0.5})
    episode = [0.9, NAN, 0.3, -0.2, 1.0]
    p = np.array([0.9, 0.3, -0.2, 1.0])
    weights = np.exp(-p / 0.1) / np.exp(-p / 0.1).sum()
    payments = play(SoftMinimum(inner), inner, steps, episode)
    assert payments.sum() == pytest.approx(0.5 * (weights * p).sum(), abs=1e-6)
    assert payments[0] == pytest.approx(0.45, abs=1e-6)
    assert payments[3] == pytest.approx(-0.25, abs=0.01), "from 0.3 down to -0.2, times 0.5"
    cold = play(SoftMinimum(inner, temperature=0.01), inner, steps, [1.0, -1.0, 1.0])
    np.testing.assert_allclose(cold, [0.5, -1, 0], atol=1e-5)


@pytest.mark.parametrize("make", [PotentialDifference, SoftMinimum])
def test_environments_of_a_batch_do_not_meet(steps, make):
    inner = Fixed(("a",), {"a": 1})
    episodes = np.array([[0.1, 0.5, -0.3], [1.0, -1.0, 0.2]])
    alone = [play(make(inner), inner, steps, list(e), ends=False) for e in episodes]
    prm = make(inner)
    carry = np.zeros((2, carry_size(prm)))
    together = []
    for t in range(3):
        inner.rows = episodes[:, t : t + 1]
        together.append(paid(prm, steps({"action": "next"}, {"action": "next"}, carry=carry)))
    np.testing.assert_array_equal(np.array(together).T, alone)
    carry[0] = 0  # the first environment starts a new episode
    inner.rows = [[0.1], [0.4]]
    assert paid(prm, steps({"action": "next"}, {"action": "next"}, carry=carry))[0] == alone[0][0]


def test_nesting_splits_the_carry(steps):
    inner, other = Fixed(("a",), {"a": 1}), Fixed(("b",), {"b": 1}, [[0.5]])
    nested = WeightedSum(other, SoftMinimum(PotentialDifference(inner, terminal="keep")))
    assert (nested.carry_size, nested.criteria) == (3, ("b", "combined"))
    carry = np.zeros((1, 3))
    for value in (0.2, 0.6):
        inner.rows = [[value]]
        nested.score(steps({"action": "next"}, carry=carry))
    assert carry[0, 2] == pytest.approx(0.6)
    assert (carry[0, :2] != 0).all()


def test_a_part_sees_gold_only_when_it_declares_so(steps):
    class Peeks(Fixed):
        def score(self, steps):
            return np.zeros((len(steps), 1)) * steps.annotation.gold

    both = WeightedSum(Fixed(reads_gold=True, rows=[[0]]), Peeks())
    assert both.needs_annotation
    batch = steps({"action": "next"})
    object.__setattr__(batch, "_annotation", object())
    with pytest.raises(PRMError, match="declares needs_annotation = False"):
        both.score(batch)


def test_missing_carry_says_what_to_pass(steps):
    with pytest.raises(PRMError, match=r"SoftMinimum keeps 2 .* carry=np.zeros\(\(n, 2\)\)"):
        SoftMinimum(Fixed(rows=[[0]])).score(steps({"action": "next"}))
    with pytest.raises(PRMError, match="PotentialDifference keeps 1 numbers"):
        WeightedSum(PotentialDifference(Fixed(rows=[[0]]))).score(steps({"action": "next"}))


def test_around_the_lexical_prm(steps):
    batch = steps(
        {"action": "recall 1", "question": "Where is Mary?", "memory": [{1: "John went to the garden."}]},
        {"action": "recall 1", "question": "Where is John?", "memory": [{1: "John went to the garden."}]},
    )
    np.testing.assert_allclose(paid(Clipped(LexicalPRM()), batch), [-0.25, 0], atol=1e-6)
    copy = pickle.loads(pickle.dumps(SoftMinimum(LexicalPRM())))
    assert copy.version == "softmin(temperature=0.1)[lexical-2(relevance=0.25); logic=0.2, coherence=0.1, goal=0.3]"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: WeightedSum(), "at least one PRM"),
        (lambda: WeightedSum(Fixed(), weights=(1, 2)), "2 weights for 1 PRMs"),
        (lambda: WeightedSum(Fixed(), weights=(-1,)), "positive finite number, got -1"),
        (lambda: WeightedSum(Fixed(beta={"a": -1})), "default_beta is not negative"),
        (lambda: Clipped(Fixed(), threshold=3), r"threshold must lie in \[-1, 1\], got 3"),
        (lambda: Clipped(Fixed(("logic",)), beta={"logik": 1}), "'logik': did you mean 'logic'"),
        (lambda: Clipped(Fixed(), beta={"a": NAN}), r"beta\['a'\] must be a finite number"),
        (lambda: Clipped(Fixed(), beta={"a": 0}), "needs a weight other than 0 among a"),
        (lambda: PotentialDifference(Fixed(), gamma=0), r"gamma must lie in \(0, 1\], got 0"),
        (lambda: PotentialDifference(Fixed(), terminal="null"), "unknown terminal potential 'null'"),
        (lambda: SoftMinimum(Fixed(), temperature=0), r"temperature must lie in \[0.01, inf\), got 0"),
    ],
)
def test_bad_arguments(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_not_a_prm():
    with pytest.raises(TypeError, match="Clipped='lexical' is no process reward model"):
        Clipped("lexical")


class Changing:
    """A PRM whose scores change, and its version with them, as a judge's do when it is calibrated."""

    criteria, needs_annotation, default_beta, value = ("x",), False, {"x": 1.0}, 0.5

    @property
    def version(self):
        return f"changing-{self.value}"

    def score(self, steps):
        return np.full((len(steps), 1), self.value, np.float32)


@pytest.mark.parametrize("around", [WeightedSum, Clipped, Reweighted, lambda prm: Clipped(Reweighted(WeightedSum(prm)))])
def test_no_score_of_an_older_version_is_served(around):
    inner = Changing()
    inner.value = -0.25
    prm, paid = around(inner), []
    env = gym.make_vec("ReasonGym-bAbI-qa1-v0", num_envs=2, prm=prm, num_problems=1)
    for inner.value in (-0.25, -0.75):
        env.reset(seed=0)
        paid.append(sum(env.step(np.zeros(2, int))[4]["reward_terms"][prm.criteria[0]]))
    assert paid == pytest.approx([-0.5, -1.5])
