"""Labels from completions: against hand-made policies whose success is known, and consensus."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("torch")

import reasongym  # noqa: F401
from agents.labels import AgentPolicy, Prover, consensus, monte_carlo
from reasongym.audit import policies
from reasongym.audit.collect import collect
from reasongym.audit.corruption import Planter
from reasongym.audit.play import make
from reasongym.prm.records import StepRecord

ID, SHORT = "ReasonGym-bAbI-qa2-v0", {"difficulty": {"max_units": 12}}


@pytest.fixture(scope="module")
def records():
    return collect(ID, Planter(rate=0.7, seed=2), np.arange(30), **SHORT)


def test_the_expert_always_gets_there_from_anywhere_but_the_end(records):
    for record, labelled in zip(records, monte_carlo(records, policies.expert, rollouts=2, **SHORT), strict=True):
        assert labelled.steps == record.steps
        assert (labelled.labels[:-1] == 1).all()  # it reads the answer
        assert (labelled.labels[-1] == 2 * record.outcome - 1).all()


def test_a_policy_that_answers_wrong_never_does(records):
    def wrong(s):
        gold = s.env.batch.table.tables.problems["gold"][s.env.batch.memory.state["row"]]
        return np.where(s.reading, 0, s.answers + (gold + 1) % 6)

    for labelled in monte_carlo(records, wrong, rollouts=3, **SHORT):
        assert (labelled.labels[:-1] == -1).all()


def test_shares_estimate_the_chance_of_success(records):
    """Guessing uniformly among six places is right once in six times, from every state."""

    def guesses(s):
        return np.where(s.reading, 0, s.answers + (policies.noise(s, 1)[:, 0] * 6).astype(np.int64))

    soft = np.concatenate([r.labels[:-1, 1] for r in monte_carlo(records, guesses, rollouts=60, **SHORT)])
    share = (soft.mean() + 1) / 2
    assert abs(share - 1 / 6) < 0.02
    assert len(np.unique(soft)) > 5  # copies and steps differ
    hard = np.concatenate([r.labels[:-1, 0] for r in monte_carlo(records, guesses, rollouts=1, **SHORT)])
    assert set(np.unique(hard)) == {-1.0, 1.0}


def test_a_prover_needs_its_chain(records):
    """Where a needed unit was passed over, only a guess can be right: the share falls at that step, and stays low."""
    missed = collect(ID, Planter(["unsupported answer"], rate=1.0, seed=2), np.arange(20), **SHORT)
    for record in monte_carlo(missed, Prover(0.0), rollouts=24, **SHORT):
        at = record.meta["missed_step"]
        assert (record.labels[:at, 1] == 1).all()
        assert (record.labels[at:-1, 1] < 0.1).all()


def test_labelling_is_a_function_of_its_arguments(records):
    a, b = (monte_carlo(records[:5], Prover(), rollouts=4, **SHORT) for _ in range(2))
    c = monte_carlo(records[:5], Prover(), rollouts=4, seed=1, **SHORT)
    assert all(np.array_equal(x.labels, y.labels) for x, y in zip(a, b, strict=True))
    assert any(not np.array_equal(x.labels, y.labels) for x, y in zip(a, c, strict=True))


def test_consensus_keeps_what_both_say():
    base = StepRecord(
        "?", ("a", "b", "c", "d"), ("correct", "other"), np.array([[1, 0], [-1, 0], [1, 0], [np.nan, 0]], np.float32)
    )
    other = replace(base, criteria=("hard",), labels=np.array([[1], [-1], [-1], [1]], np.float32))
    kept = consensus([base], [other], "correct", "hard")[0]
    assert kept.criteria == ("correct",)
    np.testing.assert_array_equal(kept.labels[:, 0], [1, -1, np.nan, np.nan])
    with pytest.raises(ValueError, match="the same episodes, but the steps differ"):
        consensus([base], [replace(other, steps=("a", "b", "c", "e"))], "correct", "hard")
    with pytest.raises(ValueError, match="not 'hart'"):
        consensus([base], [other], "correct", "hart")


def test_what_is_refused(records):
    with pytest.raises(ValueError, match="records that collect"):
        monte_carlo([StepRecord("?", ("a",), ("b",), np.zeros((1, 1), np.float32))], policies.expert)
    with pytest.raises(ValueError, match="rollouts must be at least 1, got 0"):
        monte_carlo(records, policies.expert, rollouts=0)
    with pytest.raises(ValueError, match=r"epsilon must lie in \[0, 1\]"):
        Prover(1.5)


def test_any_kind_is_legal_and_fair_by_kind():
    flags = np.array([[0, 1, 0, 1], [1, 0, 0, 0], [0, 0, 0, 0]], bool)
    assert policies.nth(flags, np.array([0.49, 0.9, 0.3])).tolist() == [1, 0, 0]
    assert policies.nth(flags, np.array([0.51, 0.1, 0.3])).tolist() == [3, 0, 0]
    records = collect(ID, lambda s: policies.any_kind(s, *policies.noise(s, 2).T), np.arange(200), **SHORT)
    assert not any("no effect" in text for record in records for text in record.steps)
    first = [record.meta["kinds"][1] for record in records]  # next, store or update
    assert min(first.count(kind) for kind in ("next", "store")) > 0.2 * len(first)


class Remembers:
    """Moves like the expert as long as it has seen every step of its episode, in order; else it answers wrong."""

    def __call__(self, s):
        begins = s.step == 0
        self.seen = np.where(begins, 0, 0 if begins.all() else self.seen)
        complete = self.seen == s.step
        self.seen = self.seen + 1
        gold = s.env.batch.table.tables.problems["gold"][s.env.batch.memory.state["row"]]
        return np.where(complete, s.env.expert_action(), np.where(s.reading, 0, s.answers + (gold + 1) % 6))

    def get_state(self):
        return self.seen

    def set_state(self, state):
        self.seen = state


def test_a_policy_that_remembers_goes_on_from_what_led_there(records):
    for labelled in monte_carlo(records, Remembers(), rollouts=2, **SHORT):
        assert (labelled.labels[:-1] == 1).all()


class Counts:
    """An agent whose answer is the number of steps that it has seen, by sixes; it reads on and keeps nothing."""

    def predict(self, observation, state=None, episode_start=None, deterministic=True):
        n = len(observation["unit"])
        seen = np.where(episode_start, 0, 0 if state is None else state[0]) + 1
        first = 1 + 3 * observation["memory_features"].shape[1]
        return np.where(observation["progress"][:, 2] > 0, 0, first + seen % 6), (seen.reshape(n),)


@pytest.mark.parametrize("rollouts", [1, 3])
def test_an_agent_s_own_state_is_that_of_the_branch(records, rollouts):
    """At its answer it has seen the steps so far, the units still to come, and the step at which it answers."""
    some = records[:8]
    source = make(ID, 1, **SHORT).batch.source
    found = monte_carlo(some, AgentPolicy(Counts()), rollouts=rollouts, **SHORT)
    right = 0
    for record, labelled in zip(some, found, strict=True):
        problem = source.problem(record.meta["problem"])
        reading = np.cumsum([kind in ("next", "store", "update") for kind in record.meta["kinds"]])
        steps = np.arange(1, len(record.steps) + 1)
        seen = steps + (problem.num_units - reading) + 1
        expected = np.where(seen % 6 == source.choice_of(problem.answers[0]), 1, -1)
        np.testing.assert_array_equal(labelled.labels[:-1, 0], expected[:-1])
        right += int((expected[:-1] == 1).sum())
    assert right, "some number is an answer"
