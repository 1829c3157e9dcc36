"""Rules that keep units: which slot gives way, worked by hand, and what they reach."""

from __future__ import annotations

import numpy as np
import pytest

from agents.base import evaluate
from agents.baselines import make
from agents.baselines.keeping import Answers, Keeper, chain, overlap
from reasongym.adapters.sb3 import make_vec_env
from reasongym.audit.policies import Situation

ID = "ReasonGym-bAbI-qa1-v0"


class Rare:
    """Every token weighs 1."""

    idf = np.ones(50)
    idf[0] = 0.0

    def nearness(self, questions, texts):
        shared = (texts[:, :, :, None] == questions[:, None, None, :]).any(3) & (texts > 0)
        return shared.sum(2) / np.sqrt(np.maximum((texts > 0).sum(2) * (questions > 0).sum(1)[:, None], 1))


def situation(slots, positions, desk, question=(1, 2, 0), step=5):
    """One environment whose two slots of one unit (three tokens) are held."""
    memory = np.array([slots])
    observation = {
        "unit": np.array([desk]),
        "question": np.array([question]),
        "memory": memory,
        "memory_positions": np.array(positions, float)[None, :, None],
        "memory_features": np.concatenate([np.ones((1, 2, 1)), np.zeros((1, 2, 6))], 2),
        "progress": np.array([[0.5, 0.5, 1.0, 1.0]]),
        "action_mask": np.array([[1, 1, 1, 1, 1, 1, 1, 0]]),
    }
    return Situation(None, observation, np.zeros(1, np.int64), np.full(1, step), 0, 0)


OLD, NEW = [1, 5, 6], [7, 8, 9]


@pytest.mark.parametrize(
    ("rule", "desk", "action"),
    [
        ("fifo", [3, 4, 5], 1),  # slot 1 holds the older unit
        ("lifo", [3, 4, 5], 2),
        ("tf-idf", [3, 4, 5], 2),  # nothing in common with the question, nor has slot 2: the new unit is no farther
        ("tf-idf", [1, 2, 3], 2),
        ("lru", [1, 5, 6], 2),  # the desk is what slot 1 holds: slot 1 was used
        ("lru", [7, 8, 9], 1),
    ],
)
def test_which_slot_gives_way(rule, desk, action):
    keeper = Keeper(Rare(), rule, None)
    assert keeper(situation([OLD, NEW], [0.2, 0.4], desk)).tolist() == [action]


def test_tf_idf_keeps_what_is_nearer():
    keeper = Keeper(Rare(), "tf-idf", None)
    assert keeper(situation([[1, 2, 9], [1, 5, 6]], [0.2, 0.4], [7, 8, 9])).tolist() == [0]  # NEXT


def test_uniform_overwrites_every_slot_about_equally():
    keeper = Keeper(Rare(), "uniform", None)
    taken = [keeper(situation([OLD, NEW], [0.2, 0.4], [3, 4, 5], step=step)).item() for step in range(400)]
    assert set(taken) == {1, 2}
    assert np.mean(np.array(taken) == 1) == pytest.approx(0.5, abs=0.08)


def test_overlap_and_chain_by_hand():
    """Two of the question's words against one; then what shares most with that; of equals the later."""
    assert overlap(Rare(), np.array([[1, 2, 2]]), np.array([[[1, 2, 3], [2, 2, 0], [4, 5, 0]]])).tolist() == [[2.0, 1.0, 0.0]]
    units = [(1, 7), (1, 2, 8), (8, 9), (7, 3), (8, 4)]
    assert chain(Rare(), (1, 2), units, 2) == [(1, 2, 8), (8, 4)]


def test_counted_answers_find_the_rule():
    """Task 1: the latest unit about the person; one unit recalled answers, and two would not answer better."""
    env = make_vec_env(ID, 2, seed=0, num_problems=1_000)
    from reasongym.audit.readers import Rarity

    source = env.batch.source
    answers = Answers(source, Rarity(source), 0)
    assert answers.hops == 1


def test_what_rules_reach():
    """Nothing is lost with K = 10: recall by shared words answers task 1. With K = 1, keeping by nearness beats first come."""
    keywords = {"difficulty": {"max_units": 6}}
    env = make_vec_env(ID, 2, seed=0, **keywords)
    shares = {}
    for rule in ("random", "majority", "tf-idf"):
        shares[rule] = evaluate(make(rule, env).learn(1), ID, problems=100, num_envs=50, **keywords).accuracy
    assert shares["tf-idf"] > 0.95
    assert max(shares["random"], shares["majority"]) < 0.4
    few = {**keywords, "memory_slots": 1}
    env = make_vec_env(ID, 2, seed=0, **few)
    kept = {rule: evaluate(make(rule, env).learn(1), ID, problems=100, num_envs=50, **few) for rule in ("tf-idf", "lifo")}
    assert kept["tf-idf"].accuracy > 0.95
    assert kept["tf-idf"].rates["capture"] > 0.95


def test_a_rule_that_was_not_taught_says_so():
    env = make_vec_env(ID, 2, seed=0)
    with pytest.raises(RuntimeError, match=r"needs the training problems: call learn\(\)"):
        make("fifo", env).act(env.reset())
