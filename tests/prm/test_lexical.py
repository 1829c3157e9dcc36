"""`lexical` against numbers worked out by hand from the formulas in its docstring."""

from __future__ import annotations

import numpy as np
import pytest

from reasongym.prm import lexical
from reasongym.prm.base import check_prm, checked_scores
from reasongym.prm.lexical import LexicalPRM
from reasongym.prm.reading import read

MILK = "Where is the milk?"
TOOK, KITCHEN, GARDEN = "John took the milk.", "John went to the kitchen.", "John went to the garden."
MARY = "Mary went to the office."
LOGIC, COHERENCE, GOAL = range(3)


def score(batch, **arguments):
    prm = LexicalPRM(**arguments)
    check_prm(prm)
    return checked_scores(prm, prm.score(batch), len(batch))[0]


@pytest.mark.parametrize(
    ("text", "subjects", "thing", "place", "mentions"),
    [
        (TOOK, "john", "milk", "", ("john", "milk")),
        (KITCHEN, "john", "", "kitchen", ("john", "kitchen")),
        ("Mary is no longer in the kitchen.", "mary", "", "kitchen", ("mary", "kitchen")),
        ("Bill gave the football to Fred.", "bill", "football", "", ("bill", "football", "fred")),
        ("Then she moved to the garden.", "", "", "", ("garden",)),
        ("Mice are afraid of wolves.", "mouse", "", "", ("mouse", "wolf")),
        ("The triangle is to the left of the pink rectangle.", "triangle", "", "", ("triangle", "pink", "rectangle")),
        ("Yesterday Julie went to the office.", "julie", "", "", ("julie", "office")),
        ("Mary and Daniel went to the bathroom.", "mary daniel", "", "bathroom", ("mary", "daniel", "bathroom")),
        ("Fred is either in the school or the park.", "fred", "", "park", ("fred", "school", "park")),
        ("Tesla sold the motor in Paris.", "tesla", "", "", ("tesla", "motor", "paris")),
    ],
)
def test_reading_a_sentence(text, subjects, thing, place, mentions):
    reading = read(text)
    assert (" ".join(reading.subjects), reading.thing, reading.place, reading.mentions) == (subjects, thing, place, mentions)


def test_content_words_of_questions_need_no_capital():
    assert read("Where will yann go?").content == ("yann",)
    assert read("Where was the apple before the office?").past


def test_first_and_second_hop(steps):
    memory = [{1: TOOK}, {2: KITCHEN}, {3: MARY}]
    got = score(
        steps(
            {"action": "recall 1", "question": MILK, "memory": memory},
            {"action": "recall 2", "question": MILK, "memory": memory, "chain": [{1: TOOK}]},
            {"action": "recall 3", "question": MILK, "memory": memory, "chain": [{1: TOOK}]},
        )
    )
    # milk of {john, milk} is asked for, john is new: 1/2, and min(1, 2·1/2) = 1
    # john of {john, kitchen} is in the chain, kitchen is new: half of that
    np.testing.assert_allclose(got, [[0, 0.5, 1], [0, 0.25, 0.5], [0, -1, -0.5]])


def test_a_later_fact_makes_an_earlier_one_stale_wherever_it_is_seen(steps):
    question = "Where is John?"
    stale = {"action": "recall 1", "question": question}
    cases = [
        {**stale, "memory": [{2: KITCHEN}, {5: GARDEN}]},
        {**stale, "memory": [{2: KITCHEN}], "chain": [{5: GARDEN}]},
        {**stale, "memory": [{2: KITCHEN}], "desk": GARDEN, "units_read": 7},
        {**stale, "memory": [{2: KITCHEN}, {5: "John is no longer in the kitchen."}]},
        {**stale, "memory": [{2: TOOK}, {5: "John dropped the milk there."}]},
        {**stale, "memory": [{2: KITCHEN}, {5: "Mary and John moved to the garden."}]},
    ]
    fresh = [
        {**stale, "memory": [{5: KITCHEN}, {2: GARDEN}]},
        {**stale, "memory": [{2: KITCHEN}, {5: MARY}]},
        {**stale, "memory": [{2: "Mary and John moved to the garden."}, {5: KITCHEN}]},
        {**stale, "memory": [{2: KITCHEN}, {5: "John is no longer in the garden."}]},
        {**stale, "memory": [{2: KITCHEN}, {5: "This morning John went to the garden."}]},
        {**stale, "memory": [{2: TOOK}, {5: "John took the apple."}]},
        {**stale, "memory": [{2: "The office is north of the park."}, {5: "The office is east of the hallway."}]},
        {**stale, "question": "Where was the milk before the garden?", "memory": [{2: KITCHEN}, {5: GARDEN}]},
    ]
    assert score(steps(*cases))[:, LOGIC].tolist() == [-1] * len(cases)
    assert score(steps(*fresh))[:, LOGIC].tolist() == [0] * len(fresh)


def test_logic_looks_at_all_that_a_slot_brings(steps):
    row = {"action": "recall 1", "question": MILK}
    got = score(
        steps(
            {**row, "memory": [{2: KITCHEN, 5: GARDEN}]},
            {**row, "memory": [{2: KITCHEN}], "chain": [{2: KITCHEN}]},
            {**row, "memory": [{2: KITCHEN, 4: TOOK}], "chain": [{2: KITCHEN}]},
            {**row, "memory": [{9: KITCHEN}], "chain": [{2: KITCHEN}]},
        )
    )
    assert got[:, LOGIC].tolist() == [0, -1, 0, 0]


def test_storing_is_scored_by_what_is_asked_and_held(steps):
    row = {"action": "store 1", "question": MILK, "units_read": 3}
    got = score(
        steps(
            {**row, "desk": TOOK},
            {**row, "desk": MARY},
            {**row, "desk": KITCHEN, "memory": [{}, {1: TOOK}]},
            {**row, "desk": KITCHEN, "chain": [{1: TOOK}], "action": "update 2", "memory": [{}, {1: MARY}]},
        ),
        relevance=1.0,
    )
    np.testing.assert_allclose(got[:, COHERENCE], [0.5, -1, 0, 0.5])
    assert np.isnan(got[:, [LOGIC, GOAL]]).all()
    assert np.isnan(score(steps({**row, "desk": TOOK}), relevance=0)).all()


def test_unscored(steps):
    memory = [{1: TOOK}]
    got = score(
        steps(
            {"action": "next", "question": MILK, "desk": TOOK},
            {"action": "answer", "question": MILK},
            {"action": "recall 1", "question": MILK, "memory": memory, "illegal": True},
            {"action": "store 1", "desk": TOOK},
            {"action": "recall 1", "memory": memory},
        )
    )
    assert np.isnan(got[:4]).all(), "nothing to compare with while the question is hidden"
    assert got[4, LOGIC] == 0
    assert np.isnan(got[4, [COHERENCE, GOAL]]).all()


def test_a_hidden_question_is_judged_by_the_chain(steps):
    got = score(steps({"action": "recall 2", "memory": [{1: TOOK}, {2: KITCHEN}], "chain": [{1: TOOK}]}))
    np.testing.assert_allclose(got, [[0, 0.25, 0.5]])


def random_batch(steps, n, seed=0):
    draw = np.random.default_rng(seed)
    names, places, things = ("John", "Mary", "Bill"), ("kitchen", "garden", "office"), ("milk", "apple")

    def sentence():
        if draw.random() < 0.5:
            return f"{draw.choice(names)} went to the {draw.choice(places)}."
        return f"{draw.choice(names)} {draw.choice(('took', 'dropped'))} the {draw.choice(things)}."

    rows = []
    for _ in range(n):
        positions = draw.permutation(12).tolist()
        slots = [{positions.pop(): sentence()} for _ in range(3)]
        chain = [{positions.pop(): sentence()} for _ in range(draw.integers(0, 3))]
        verb = draw.choice(("recall 1", "recall 2", "recall 3", "store 1", "update 2", "next"))
        rows.append({"action": str(verb), "question": MILK, "memory": slots, "chain": chain, "desk": sentence()})
    return steps(*rows)


def test_scores_do_not_depend_on_the_batch_or_on_what_came_before(steps):
    batch = random_batch(steps, 120)
    prm = LexicalPRM()
    whole = prm.score(batch)
    alone = np.concatenate([LexicalPRM().score(batch.select(np.array([i]))) for i in range(len(batch))])
    np.testing.assert_array_equal(whole, alone)
    np.testing.assert_array_equal(prm.score(batch.select(np.arange(len(batch))[::-1])), whole[::-1])
    assert ((whole[:, LOGIC] == -1).sum(), (whole[:, LOGIC] == 0).sum()) > (3, 3)


def test_chunks_give_the_same_scores(steps, monkeypatch):
    batch = random_batch(steps, 60)
    whole = LexicalPRM().score(batch)
    monkeypatch.setattr("reasongym.prm.lexical._CHUNK", 7 * 1024)
    np.testing.assert_array_equal(LexicalPRM().score(batch), whole)


def test_all_recalls_of_an_episode_earn_less_than_two(steps):
    chain, total = [], np.zeros(3)
    facts = [f"John took the thing{i}." for i in range(5)]
    for i in range(5):
        batch = steps({"action": "recall 1", "question": "What has John?", "memory": [{i: facts[i]}], "chain": chain})
        total += score(batch)[0]
        chain = [*chain, {i: facts[i]}]
    np.testing.assert_allclose(total, [0, 0.5 * (2 - 2**-4), 2 - 2**-4])


def test_relevance_is_checked():
    with pytest.raises(ValueError, match=r"relevance must lie in \[0, 1\], got 2"):
        LexicalPRM(relevance=2)


def test_readings_are_forgotten_when_there_are_too_many_and_scores_stay(steps, monkeypatch):
    row = {"action": "recall 1", "question": MILK, "memory": [{1: TOOK}, {2: KITCHEN}]}
    prm = LexicalPRM()
    first = prm.score(steps(row))
    read_so_far = len(prm._lexicon)
    monkeypatch.setattr(lexical, "MOST_TEXTS", 1)
    assert np.array_equal(prm.score(steps(row)), first, equal_nan=True)
    assert len(prm._lexicon) == read_so_far > 1
