"""Splits share no story, whatever the task, and an epoch plays every problem once."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from reasongym.engine.order import problem_at
from reasongym.envs import ReasonGymEnv
from reasongym.seeding import BUCKETS
from reasongym.tasks import babi

SAMPLE = 300


def canonical(problem):
    """The story by its events, not its wording, up to the question."""
    world = babi.WORLDS[problem.task]
    return tuple(world.parse_unit(unit) for unit in problem.story.units[: problem.num_units])


@pytest.mark.parametrize("task", babi.WORLDS)
def test_splits_share_no_story(task):
    sources = {split: babi.load((task,), split=split) for split in BUCKETS}
    stories = {
        split: {canonical(source.problem(i)) for i in range(min(SAMPLE, source.num_problems))}
        for split, source in sources.items()
    }
    for split, own in stories.items():
        for other, theirs in stories.items():
            assert other == split or own.isdisjoint(theirs), (split, other)


@pytest.mark.parametrize("n", [1, 2, 3, 16, 17, 1000])
@pytest.mark.parametrize("seed", [0, 5])
def test_every_epoch_is_a_permutation(n, seed):
    orders = [[problem_at(seed, stream, epoch * n + i, n) for i in range(n)] for stream in (0, 1) for epoch in (0, 1)]
    for order in orders:
        assert sorted(order) == list(range(n))
    if n == 1000:
        assert len(set(map(tuple, orders))) == 4
        for order in orders:
            assert abs(np.corrcoef(order, np.arange(n))[0, 1]) < 0.15
            assert abs(np.corrcoef(order, orders[0])[0, 1]) < 0.15 or order is orders[0]


def test_first_problems_are_uniform():
    """Over environments and seeds, any problem is as likely as another to come first (chi-square, 9 degrees of freedom)."""
    counts = Counter(problem_at(seed * 7919 + 13, stream, 0, 10) for seed in range(50) for stream in range(100))
    assert sum((counts[i] - 500) ** 2 / 500 for i in range(10)) < 27.9


def test_endless_problems_do_not_repeat():
    indices = {problem_at(3, stream, episode, 0) for stream in range(20) for episode in range(1000)}
    assert len(indices) == 20_000
    assert 0 <= min(indices) < max(indices) < 2**62


def test_an_environment_plays_each_problem_once_an_epoch():
    env = ReasonGymEnv(tasks=(1,), num_problems=12, max_steps=1)
    env.reset(seed=0)
    epochs = []
    for _ in range(2):
        seen = []
        for _ in range(12):
            *_, info = env.step(0)
            seen.append(info["problem"])
            env.reset()
        epochs.append(seen)
        assert sorted(seen) == list(range(12))
    assert epochs[0] != epochs[1]
