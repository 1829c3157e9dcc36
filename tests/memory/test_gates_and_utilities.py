"""Gates, salience and utilities by worked examples."""

from __future__ import annotations

import numpy as np
import pytest
from reference import ListedSource, tiny

from reasongym.envs import ReasonGymEnv, ReasonGymVectorEnv
from reasongym.registration import IDS
from reasongym.tasks import babi

TASKS = sorted({task for kwargs in IDS.values() for task in kwargs.get("tasks", ())})
UNITS = ("Mary went to the office.", "John went to the kitchen.", "Sandra went to the garden.", "Daniel went to the hallway.")


@pytest.fixture(scope="module")
def source():
    return ListedSource(babi.load((1,), num_problems=1), [tiny(UNITS, "Where is Mary?", (0, 2))])


def play(env, *actions):
    """Rewards' memory terms and the last observation, from a fresh start."""
    observation, _ = env.reset(seed=0)
    terms = []
    for action in actions:
        observation, _, _, _, info = env.step(action)
        terms.append(round(info["reward_terms"]["memory"], 6))
    return terms, observation


STORE1, STORE2, UPDATE1, RECALL1 = 1, 2, 3, 5


@pytest.mark.parametrize(
    ("utility", "expected"),
    [
        ("coverage", [0.15, -0.15, 0.15, 0.0, 0.0]),
        ("balance", [0.15, -0.3, 0.15, 0.0, 0.0]),
        ("level", [0.15, 0.0, 0.15, 0.15, 0.15]),
        ("use", [0.0, 0.0, 0.0, 0.0, 0.15]),
        ("none", [0.0, 0.0, 0.0, 0.0, 0.0]),
    ],
)
def test_utilities(source, utility, expected):
    """Mary is stored, replaced by John, Sandra stored beside him, Daniel put aside; then one of the two slots is recalled."""
    env = ReasonGymEnv(dataset=source, memory_slots=2, units_per_slot=1, utility=utility)
    assert play(env, STORE1, STORE1, STORE2, 0, RECALL1)[0] == expected


def test_balance_charges_what_is_passed_over(source):
    """Mary is passed over, John stored for nothing, replaced by Sandra, and Daniel passed over, whom nobody needs."""
    env = ReasonGymEnv(dataset=source, memory_slots=2, units_per_slot=1, utility="balance", utility_weight=1.0)
    assert play(env, 0, STORE1, STORE1, 0)[0] == [-0.5, 0.0, 0.5, 0.0]


def test_use_counts_units_not_slots(source):
    env = ReasonGymEnv(dataset=source, memory_slots=2, units_per_slot=2, utility="use", reason_when="any", utility_weight=1.0)
    assert play(env, STORE1, RECALL1, UPDATE1, RECALL1, UPDATE1)[0] == [0.0, 1.0, -0.5, 0.5, -0.5]


def test_answerability_is_paid_once_and_taken_back():
    problem = tiny(("Mary went to the office.", "John went to the kitchen."), "Where is Mary?", (0,))

    class Solving(ListedSource):
        def follows(self, index, units):
            return 0 in units

    src = Solving(babi.load((1,), num_problems=1), [problem])
    env = ReasonGymEnv(dataset=src, memory_slots=2, units_per_slot=1, utility="answerability")
    assert play(env, STORE1, STORE1)[0] == [0.3, -0.3]


@pytest.mark.parametrize("task", TASKS)
def test_answerability_by_the_worlds_solver(task):
    """Over the expert's episode it adds up to one weight: nothing follows from nothing, the gold answer from the support."""
    env = ReasonGymVectorEnv(tasks=(task,), utility="answerability", num_envs=8)
    env.reset(seed=1)
    total, ended = np.zeros(8), np.zeros(8, bool)
    while not ended.all():
        _, _, terminated, _, info = env.step(env.expert_action())
        total += np.where(ended, 0, info["reward_terms"]["memory"])
        ended |= terminated
    np.testing.assert_allclose(total, 0.3, atol=1e-6)


def test_prudence_asks_what_is_needed_so_far():
    """Mary's first place is stored while it counts, stays when it no longer does, and her second place takes its slot; what
    nobody asked for is stored for nothing; what counts is lost again."""
    units = ("Mary went to the office.", "John went to the office.", "Mary went to the garden.", "John went to the garden.")

    class Solving(ListedSource):
        def needed(self, index, read):
            return ((), (0,), (0,), (2,), (2,))[read]

    src = Solving(babi.load((1,), num_problems=1), [tiny(units, "Where is Mary?", (2,))])
    keywords = {"memory_slots": 2, "units_per_slot": 1, "utility": "prudence", "utility_weight": 1.0}
    assert play(ReasonGymEnv(dataset=src, **keywords), STORE1, STORE2, STORE1, STORE1)[0] == [1.0, 0.0, 0.0, -2.0]
    assert play(ReasonGymEnv(dataset=src, **keywords), STORE1, 0, 0, 0)[0] == [1.0, 0.0, -2.0, 0.0]


@pytest.mark.parametrize("task", TASKS)
def test_prudence_by_the_worlds_solver(task):
    """What is needed at a story's end is its support, or proves the same answer; nothing is needed of nothing."""
    source = babi.load((task,), num_problems=20)
    for index in range(20):
        problem = source.problem(index)
        assert source.follows(index, source.needed(index, problem.num_units))
        assert source.needed(index, 0) == ()


def test_salience_moves_as_documented(source):
    """Stored 0.5; untouched x 0.98; recalled + 0.2 (1 - s); feedback + 0.2 x amount is what the wrapper hands in."""
    env = ReasonGymEnv(dataset=source, memory_slots=2, reason_when="any")
    _, seen = play(env, STORE1)
    assert seen["memory_features"][0, 2] == pytest.approx(0.5)
    _, seen = play(env, STORE1, 0)
    assert seen["memory_features"][0, 2] == pytest.approx(0.49)
    _, seen = play(env, STORE1, RECALL1)
    assert seen["memory_features"][0, 2] == pytest.approx(0.6)
    env.batch.feedback(np.array([0.05]))
    assert env.batch.arena.views["memory_features"][0, 0, 2] == pytest.approx(0.65)
    env.batch.feedback(np.array([7.0]))
    assert env.batch.arena.views["memory_features"][0, 0, 2] == 1.0


def test_the_observers_scores_move_the_touched_slot(source):
    class Pleased:
        criteria, needs_annotation, version, default_beta = ("a", "b", "c"), False, "1", {}

        def score(self, steps):
            return np.tile([[1.0, 0.5, np.nan]], (len(steps), 1))

    env = ReasonGymEnv(dataset=source, memory_slots=2, observer=Pleased())
    _, seen = play(env, STORE1, STORE2)
    assert seen["memory_features"][:, 2] == pytest.approx([0.65 * 0.98, 0.65])
    assert seen["scores"].tolist() == [1.0, 0.5, 0.0]
    assert seen["scored"].tolist() == [1, 1, 0]
    assert env.observation_space["scores"].shape == (3,)


def test_the_salience_gate_protects_and_forgets(source):
    """All read, two slots full: p = 0, so 0.6 protects and 0.15 forgets; neither closes everything."""
    from reasongym.memory.gates import SALIENCE

    env = ReasonGymEnv(dataset=source, memory_slots=2, gate="salience", salience_rate=0.0)
    env.reset(seed=0)
    assert env.batch.config["gate"][0] == SALIENCE
    for action in (STORE1, STORE2, 0, 0):
        env.step(action)
    for saliences, store, recall in (
        ((0.7, 0.5), (0, 1), (1, 1)),
        ((0.7, 0.8), (1, 0), (1, 1)),
        ((0.1, 0.5), (1, 1), (0, 1)),
        ((0.1, 0.05), (1, 1), (1, 0)),
    ):
        env.batch.memory.slots["salience"][0] = saliences
        env.batch.memory.state["touched"][0] = -1
        env.batch.feedback(np.zeros(1))
        seen = env.batch.arena.views["memory_features"][0]
        assert tuple(seen[:, 4]) == store
        assert tuple(seen[:, 6]) == recall


def test_a_gate_of_ones_own(source):
    class FirstSlotOnly:
        needs_annotation = False
        seen = ()

        def masks(self, view):
            self.seen = (view.units[0].tolist(), view.units_read.tolist(), view.num_units.tolist())
            masks = np.zeros((len(view.problem), 3, 2), bool)
            masks[:, :, 0] = True
            return masks

    gate = FirstSlotOnly()
    env = ReasonGymEnv(dataset=source, memory_slots=2, units_per_slot=2, gate=gate)
    _, seen = play(env, STORE1, STORE2)
    assert gate.seen == ([[0, -1], [1, -1]], [2], [4])
    assert seen["action_mask"][:7].tolist() == [1, 1, 0, 1, 0, 0, 0]
    *_, info = env.step(STORE2)
    assert info["invalid_action"] == "the gate keeps the slot closed"


def test_a_utility_of_ones_own_with_support(source):
    class HeldFacts:
        needs_annotation = True

        def value(self, view):
            m, bits = view.support
            return np.array([bin(b).count("1") for b in bits]) / m

    env = ReasonGymEnv(dataset=source, memory_slots=2, utility=HeldFacts(), utility_weight=1.0, prm="lexical")
    assert play(env, STORE1, 0, STORE2)[0] == [0.5, 0.5, 1.0]
