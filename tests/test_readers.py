"""Scripted readers of natural text: legal, blind to what they may not see, and worse than the expert."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from reasongym.audit import policies
from reasongym.audit.play import make, play, sample
from reasongym.audit.readers import Rarity, readers
from reasongym.envs import build


@pytest.fixture(scope="module")
def known():
    return readers(build("squad2", (), {"num_problems": 300})[0])


def test_readers_play_legal_actions_and_stay_below_the_expert(known):
    env = make("ReasonGym-SQuAD2-v0", 100, split="validation", memory_slots=3)
    problems = sample(env.batch.source.num_problems, 100)
    abstain = 2 * env.batch.shapes.positions

    def legal(policy):
        def act(s):
            actions = policy(s)
            ended = s.env.batch.memory.state["ended"] == 1
            assert (s.mask[np.arange(len(actions)), actions] | ended).all()
            return actions

        return act

    right = {}
    for name, policy in {**known, "expert": policies.expert}.items():
        right[name] = play(env, legal(policy), problems, guess=abstain).success.mean()
    assert right["expert"] == 1
    assert 0.35 < right["abstain"] < 0.65
    assert right["last units"] < 0.2
    assert right["tf-idf"] < 0.3


def test_nearness_by_hand():
    class Words:
        vocabulary, num_problems = ("a", "b", "c", "d"), 2

        def tokenize(self, text):
            return [self.vocabulary.index(word) + 1 for word in text.split()]

        def problem(self, index):
            story = SimpleNamespace(units=(("a b", "a c"), ("a d", "a b"))[index])
            return SimpleNamespace(num_units=2, story=story)

    rarity = Rarity(Words())
    assert rarity.idf[1:] == pytest.approx(np.log(5 / np.array([5, 3, 2, 2])))  # a in all four units, b in two, c and d in one
    question, texts = np.array([[2, 3]]), np.array([[[2, 0], [3, 1], [4, 1]]])
    b, c = rarity.idf[2], rarity.idf[3]
    norm = np.hypot(b, c)
    assert rarity.nearness(question, texts)[0] == pytest.approx([b / norm, c / norm, 0])
