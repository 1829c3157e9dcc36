"""The expert reaches the most that any sequence of actions can: proved by exhaustive search on small problems."""

from __future__ import annotations

import copy
from dataclasses import replace
from functools import cache
from itertools import product

import numpy as np
import pytest
from reference import ListedSource, Reference, tiny

from reasongym.envs import ReasonGymEnv, ReasonGymVectorEnv
from reasongym.registration import IDS
from reasongym.tasks import babi

TASKS = sorted({task for kwargs in IDS.values() for task in kwargs.get("tasks", ())})
BEST = 1.8
UNITS = ("Mary went to the office.", "John went to the kitchen.", "Sandra went to the garden.", "Daniel went to the hallway.")


@cache
def source(task):
    return babi.load((task,), num_problems=300)


def tiny_source(problem):
    base = source(1)
    kinds = dict(zip(base.choices, base.choice_kinds, strict=True))
    return ListedSource(base, [problem], choices=("office", "kitchen"), choice_kinds=(kinds["office"], kinds["kitchen"]))


def most(reference, known):
    """The highest return from here over all sequences of legal actions (an illegal one only costs)."""
    key = (
        reference.read,
        tuple((tuple(slot.units), slot.fresh, frozenset(slot.recalled)) for slot in reference.slots),
        tuple(map(tuple, reference.chain)),
    )
    if key not in known:
        best = -np.inf
        for action in np.flatnonzero(reference.legal()):
            after = copy.copy(reference)
            after.slots = [replace(slot, units=list(slot.units), recalled=set(slot.recalled)) for slot in reference.slots]
            after.chain, after.captured = [list(link) for link in reference.chain], set(reference.captured)
            reward = sum(after.step(action)[1].values())
            best = max(best, reward + (0 if after.ended else most(after, known)))
        known[key] = best
    return known[key]


def expert_return(env, index=0):
    env.reset(seed=0, options={"problem": index})
    total, ended = 0.0, False
    while not ended:
        action = env.expert_action()
        assert env.action_masks()[action]
        _, reward, ended, _, info = env.step(action)
        total += reward
    assert info["is_success"]
    return total


def random_problem(draw):
    """A tiny problem whose support is linked to the question, as in every bAbI world, with prerequisites in any order."""
    n = int(draw.integers(2, 5))
    m = int(draw.integers(0, min(n, 3) + 1))
    support = draw.choice(n, m, replace=False).tolist()
    rank = draw.permutation(m)
    needs = [sum(1 << b for b in range(m) if rank[b] < rank[a] and draw.random() < 0.6) for a in range(m)]
    entities = [1 if unit in support or draw.random() < 0.5 else 4 for unit in range(n)]
    return tiny(UNITS[:n], "Where is Mary?", support, needs, entities=entities, asked=1)


@pytest.mark.parametrize("seed", range(120))
def test_expert_is_the_maximum(seed):
    draw = np.random.default_rng([seed, 1])
    problem = random_problem(draw)
    settings = {"memory_slots": int(draw.integers(3)), "units_per_slot": int(draw.integers(1, 3))}
    settings["chain_length"] = int(draw.integers(4))
    src = tiny_source(problem)
    best = most(Reference(src, problem, **settings), {})
    assert expert_return(ReasonGymEnv(dataset=src, **settings)) == pytest.approx(best, abs=1e-5), (problem, settings)


@pytest.mark.parametrize("order", [(0, 1), (1, 0)], ids=["reading order", "reverse order"])
@pytest.mark.parametrize(("slots", "width", "links"), list(product((0, 1, 2), (1, 2), (0, 1, 2))))
def test_two_facts_in_either_order(slots, width, links, order):
    """Support 0 and 1; one is the other's prerequisite. With room for both one after the other it is always 1.8."""
    problem = tiny(UNITS[:3], "Where is Mary?", order, (0, 1))
    src, settings = tiny_source(problem), {"memory_slots": slots, "units_per_slot": width, "chain_length": links}
    best = most(Reference(src, problem, **settings), {})
    assert expert_return(ReasonGymEnv(dataset=src, **settings)) == pytest.approx(best, abs=1e-5)
    if slots == 2 and links == 2:
        assert best == pytest.approx(BEST)
    if slots == 0 or links == 0:
        assert best == pytest.approx(1 + 0.3 * min(slots * width, 2) / 2)


@pytest.mark.parametrize("task", TASKS)
def test_expert_earns_everything_by_default(task):
    """1.8 = 1 outcome + 0.2 logic + 0.3 goal + 0.3 memory, wherever there is a slot and a link for every supporting unit."""
    env, src = ReasonGymVectorEnv(dataset=source(task), num_envs=30), source(task)
    for start in (0, 30, 60):
        env.reset(seed=0, options={"problem": np.arange(start, start + 30)})
        returns = np.full(30, np.nan)
        while np.isnan(returns).any():
            _, _, terminated, _, info = env.step(env.expert_action())
            new = terminated & np.isnan(returns)
            returns[new] = info["episode_return"][new] if new.any() else 0
        for i, value in enumerate(returns):
            facts = set(src.problem(start + i).support)
            if len(facts) <= 10:
                assert value == pytest.approx(BEST, abs=1e-5), src.problem(start + i)
            else:
                assert value <= BEST + 1e-5


def test_expert_corrects_from_any_state():
    """After a random start it still ends with the right answer, and never with an illegal action."""
    draw = np.random.default_rng(0)
    for task in TASKS:
        env = ReasonGymEnv(dataset=source(task), memory_slots=3)
        for index in range(8):
            env.reset(seed=0, options={"problem": index})
            for _ in range(int(draw.integers(8))):
                legal = np.flatnonzero(env.action_masks())
                env.step(int(draw.choice(legal[legal <= 9])) if (legal <= 9).any() else 0)
            ended = False
            while not ended:
                action = env.expert_action()
                assert env.action_masks()[action]
                _, _, ended, _, info = env.step(action)
            assert info["is_success"]


@pytest.mark.parametrize("keywords", [{"prm": "lexical", "utility": "use"}, {"prm": "lexical", "utility": "none"}])
def test_expert_needs_annotation(keywords):
    env = ReasonGymEnv(tasks=(1,), **keywords)
    env.reset(seed=0)
    with pytest.raises(ValueError, match="needs support and gold answers"):
        env.expert_action()


@pytest.mark.parametrize("task", TASKS)
def test_steps_on_unneeded_units_earn_nothing(task):
    """Store, update and recall of units outside the support: no step has a positive reward, by default weights and utility."""
    env, draw = ReasonGymEnv(dataset=source(task), memory_slots=3), np.random.default_rng(task)
    touched = 0
    for index in range(25):
        env.reset(seed=0, options={"problem": index})
        problem = source(task).problem(index)
        same = problem.story.same_as
        needed = {same[unit] for unit in problem.support}
        for unit in range(problem.num_units):
            legal = np.flatnonzero(env.action_masks())
            action = 0 if same[unit] in needed else int(draw.choice(legal[legal <= 6]))
            touched += action > 0
            assert env.step(action)[1] <= 0
        for slot in range(3):
            if env.action_masks()[7 + slot]:
                touched += 1
                assert env.step(7 + slot)[1] <= 0
    assert touched or task == 17
