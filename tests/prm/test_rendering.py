"""Steps in words: what each kind reads like, and that nothing invisible is in it."""

from __future__ import annotations

import numpy as np
import pytest

import reasongym  # noqa: F401
from reasongym.audit import policies
from reasongym.audit.collect import collect
from reasongym.prm.rendering import UNASKED, prompt_text, step_text

MILK, HOME, LATER = "Mary got the milk there.", "Mary went to the kitchen.", "Then she moved to the garden."


@pytest.mark.parametrize(
    ("row", "text"),
    [
        ({"action": "next", "desk": HOME, "units_read": 2}, "pass over 3: Mary went to the kitchen."),
        ({"action": "store 1", "desk": MILK, "units_read": 3}, "note 4: Mary got the milk there."),
        (
            {"action": "store 2", "desk": MILK, "units_read": 3, "memory": [{0: HOME}, {1: LATER}]},
            "note 4: Mary got the milk there., dropping 2: Then she moved to the garden.",
        ),
        (
            {"action": "update 1", "desk": MILK, "units_read": 3, "memory": [{0: HOME}]},
            "add 4: Mary got the milk there. to 1: Mary went to the kitchen.",
        ),
        ({"action": "recall 1", "memory": [{3: MILK}]}, "recall 4: Mary got the milk there."),
        (
            {"action": "recall 2", "memory": [{}, {3: MILK, 5: HOME}], "chain": [{0: LATER}, {1: HOME}]},
            "recall 4: Mary got the milk there. 6: Mary went to the kitchen. (chain: 1, 2)",
        ),
        ({"action": "answer", "chain": [{3: MILK}]}, "answer: kitchen (chain: 4)"),
        ({"action": "next", "illegal": True}, "pass over nothing (no effect)"),
        ({"action": "store 1", "desk": MILK, "units_read": 3, "illegal": True}, "note 4: Mary got the milk there. (no effect)"),
        ({"action": "recall 1", "illegal": True, "chain": [{0: HOME}]}, "recall nothing (chain: 1) (no effect)"),
    ],
)
def test_each_kind_of_step(steps, row, text):
    assert step_text(steps(row), 0) == text


def test_a_pronoun_is_explained_where_the_chain_says_whom_it_means(steps):
    memory = [{4: LATER}, {3: HOME}]
    assert step_text(steps({"action": "recall 1", "memory": memory}), 0) == f"recall 5: {LATER}"
    other = steps({"action": "recall 1", "memory": memory, "chain": [{2: MILK}]})
    assert "(Mary)" not in step_text(other, 0)  # the sentence in the chain is not the one before
    known = steps({"action": "recall 1", "memory": memory, "chain": [{3: HOME}]})
    assert step_text(known, 0) == "recall 5: Then she (Mary) moved to the garden. (chain: 4)"
    together = steps({"action": "recall 1", "memory": [{3: "Mary and John went home.", 4: "They slept."}]})
    assert step_text(together, 0) == "recall 4: Mary and John went home. 5: They (Mary and John) slept."


def test_a_question_that_comes_late_stands_before_the_first_step_that_sees_it(steps):
    batch = steps({"action": "next", "desk": HOME, "units_read": 0}, {"action": "next", "desk": HOME, "question": "Where?"})
    assert prompt_text(batch, 0) == UNASKED
    assert prompt_text(batch, 1) == "Where?"
    assert step_text(batch, 0, asked=False) == "pass over 1: Mary went to the kitchen."
    assert step_text(batch, 1, asked=False) == "question: Where? pass over 21: Mary went to the kitchen."


@pytest.mark.parametrize("question_at", ["start", "end"])
def test_what_is_not_visible_is_not_in_the_words(question_at):
    """Numbers of what has not been read, hidden questions, slots: in no step of random episodes."""
    ids = np.arange(20)
    for record in collect("ReasonGym-bAbI-qa1-v0", policies.random, ids, question_at=question_at):
        read = 0
        asked = question_at == "start"
        assert (record.prompt == UNASKED) == (question_at == "end")
        for text, kind in zip(record.steps, record.meta["kinds"], strict=True):
            reading = kind in ("next", "store", "update") and "(no effect)" not in text
            read += reading
            numbers = [
                int(part)
                for part in text.replace("(chain:", " ").replace(",", " ").replace(")", " ").split()
                if part.isdecimal()
            ]
            numbers += [int(part[:-1]) for part in text.split() if part[:-1].isdecimal() and part.endswith(":")]
            assert all(1 <= number <= read for number in numbers), text
            asked |= text.startswith("question: ")
            assert asked or kind in ("next", "store", "update")
            assert "slot" not in text


def test_own_words_are_shown_as_such():
    import gymnasium as gym

    seen = []

    class Reader:
        criteria, needs_annotation, version, default_beta = ("seen",), False, "reader-1", {}

        def score(self, steps):
            seen.extend(step_text(steps, i) for i in range(len(steps)))
            return np.zeros((len(steps), 1), np.float32)

    env = gym.make("ReasonGymText-bAbI-qa1-v0", prm=Reader())
    env.reset(seed=0)
    env.step("I had better keep this in mind.\nstore 1: Zoe is here")
    env.step("nonsense that is no command")
    assert seen[0].endswith(" as: Zoe is here")
    assert "mind" not in seen[0]  # thoughts are not shown
    assert "nonsense" not in seen[1]
