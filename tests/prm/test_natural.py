"""`lexical` on natural text, against numbers worked out by hand from the formulas of `natural`."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from reasongym.prm.base import check_prm, checked_scores
from reasongym.prm.lexical import LexicalPRM
from reasongym.prm.natural import ASKED, NAME, NUMBER, REASON, read, stem

WHEN = "When did Nikola Tesla sell the motor?"
SOLD, PROUD, WEATHER = "Tesla sold the motor in 1888.", "He was proud of the motor.", "It rained heavily."
LOGIC, COHERENCE, GOAL = range(3)


def score(batch, **arguments):
    prm = LexicalPRM(**arguments)
    check_prm(prm)
    batch = replace(batch, choices=())  # open answers: natural text
    return checked_scores(prm, prm.score(batch), len(batch))[0]


def recall(text, question=WHEN, chain=(), **more):
    return {"action": "recall 1", "question": question, "memory": [{5: text}], "chain": list(chain), **more}


@pytest.mark.parametrize(
    ("text", "words", "names", "openers"),
    [
        (SOLD, "tesla sell motor 1888", "", "tesla"),
        ("In 1888, Tesla's motors were sold to George.", "1888 tesla motor sell georg", "tesla georg", ""),
        ('"Good day," said the Hare. Foxes ran.', "good day har fox run", "har", "good fox"),
        ("She isn't taking cakes; they stopped.", "tak cak stop", "", ""),
        ("Ärzte aßen 3.5 kg.", "ärzt aßen 3 5 kg", "", "ärzt"),
        ("?!", "", "", ""),
    ],
)  # fmt: skip
def test_reading(text, words, names, openers):
    reading = read(text)
    assert [" ".join(part) for part in (reading.content, reading.names, reading.subjects)] == [words, names, openers]


def test_stems_meet():
    groups = ("sold sell sells selling", "making makes make", "cities city", "stopped stops stop", "children child", "1888")
    assert [len({stem(word) for word in group.split()}) for group in groups] == [1] * len(groups)
    assert stem("dress") != stem("dr")


@pytest.mark.parametrize(
    ("text", "brings", "asks", "negated"),
    [
        (WHEN, 0, NUMBER, False),
        ("How many rivers are there?", 0, NUMBER, False),
        ("How did the old hare feel when the fox left, and where?", 0, 0, False),
        ("Who sold it?", 0, NAME, False),
        ("Why did the hare weep?", 0, REASON, False),
        ("The hare wept because it had two cakes.", NUMBER | REASON, 0, False),
        ("The hare didn’t weep.", 0, 0, True),
        ("Nobody wept.", 0, 0, True),
    ],
)
def test_what_a_text_brings_and_asks_for(text, brings, asks, negated):
    reading = read(text)
    assert (reading.kinds & 7, reading.kinds >> ASKED, reading.negated) == (brings, asks, negated)


def test_recalling_first(steps):
    got = score(steps(recall(SOLD), recall(PROUD), recall(WEATHER)))
    # asked: nikola, tesla (names, 1 each), sell, motor (2 each): 6. Said: tesla, sell, motor, 1888: 1 + 6 = 7; shared 5
    kin = 5 / (6**0.75 * 7**0.25)
    # said: proud, motor: 4, shared 2; no number, so 0.7 of it for goal
    proud = 2 / (6**0.75 * 4**0.25)
    expected = [[0, kin, (kin - 0.15) / 0.85], [0, proud, (0.7 * proud - 0.15) / 0.85], [0, -0.5, -0.5]]
    np.testing.assert_allclose(got, expected, rtol=1e-6)


def test_a_second_link_counts_half_and_is_linked_by_the_chain(steps):
    chain = [{4: SOLD}]
    got = score(steps(recall("In 1888 the motor broke.", chain=chain), recall("Broken glass rained.", chain=chain)))
    # asked and said: nikola, tesla, sell, motor, 1888: 8. The unit: 1888, motor, break: 6, shared 4
    kin = 4 / (8**0.75 * 6**0.25)
    np.testing.assert_allclose(got, [[0, kin / 2, (kin - 0.15) / 1.7], [0, -0.5, -0.5]], rtol=1e-6)


def test_half_way_to_nothing(steps):
    question = "Why did the old fisherman row the leaking boat home?"
    got = score(steps(recall("The shop sold boats and nets and ropes and sails.", question)))[0]
    # old fisherman row leak boat home: 12; shop sell boat net rop sail: 12, shared 2, no reason
    kin = 2 / 12
    np.testing.assert_allclose(got, [0, kin, 0.5 * 0.7 * kin / 0.15 - 0.5], rtol=1e-6)


@pytest.mark.parametrize(
    ("question", "better", "worse"),
    [
        ("Who bought the motor?", "Westinghouse bought the motor.", "They bought the motor."),
        ("How old was the motor?", "The motor was ten old years.", "The motor was some old years."),
        ("Why was the motor sold?", "The motor was sold because Tesla left.", "The motor was sold when Tesla left."),
        ("Who sold the motor?", "The motor was sold by Tesla.", "The motor was sold by tesla."),
    ],
)
def test_what_brings_the_kind_asked_for_has_the_better_goal(question, better, worse, steps):
    got = score(steps(recall(better, question), recall(worse, question)))
    assert got[0, GOAL] > got[1, GOAL]


def test_only_the_contrary_said_later_makes_stale(steps):
    first = "The old theatre opened its doors on Sunday."
    contrary = "The old theatre did not open its doors on Sunday."
    moved = ("Mary went to the kitchen.", "Mary went to the garden.")
    row = {"action": "recall 1", "question": "What did the theatre do?"}
    got = score(
        steps(
            {**row, "memory": [{2: first}, {5: contrary}]},
            {**row, "memory": [{2: first}], "desk": contrary, "units_read": 7},
            {**row, "memory": [{2: first}], "chain": [{2: first}]},
            {**row, "memory": [{5: first}, {2: contrary}]},
            {**row, "memory": [{2: first}, {5: "The theatre did not open its gates."}]},
            {**row, "memory": [{2: moved[0]}, {5: moved[1]}]},
            {**row, "memory": [{2: first}, {5: contrary}], "question": "What did the theatre do before?"},
        )
    )
    assert got[:, LOGIC].tolist() == [-1, -1, -1, 0, 0, 0, 0]


def test_storing(steps):
    row = {"action": "store 1", "question": WHEN, "units_read": 3}
    got = score(
        steps(
            {**row, "desk": SOLD},
            {**row, "desk": WEATHER},
            {**row, "desk": WEATHER, "memory": [{}, {1: "Rain fell, and it rained heavily."}]},
            {**row, "desk": "And then?"},
        ),
        relevance=1.0,
    )
    np.testing.assert_allclose(got[:3, COHERENCE], [5 / (6**0.75 * 7**0.25), -1, 0], rtol=1e-6)
    assert np.isnan(got[3]).all()
    assert np.isnan(got[:, [LOGIC, GOAL]]).all()


def test_scores_do_not_depend_on_the_batch_or_on_how_many_words_are_known(steps, monkeypatch):
    rows = [recall(text, question, chain) for text in (SOLD, PROUD, WEATHER) for question in (WHEN, None, "Who was proud?")
            for chain in ((), [{1: "Tesla was born in Smiljan."}])]  # fmt: skip
    batch = replace(steps(*rows), choices=())
    whole = LexicalPRM().score(batch)
    alone = np.concatenate([LexicalPRM().score(batch.select(np.array([i]))) for i in range(len(batch))])
    np.testing.assert_array_equal(whole, alone)
    monkeypatch.setattr("reasongym.prm.reading.FEW_WORDS", 0)
    np.testing.assert_array_equal(LexicalPRM().score(batch), whole)
    assert len(np.unique(whole[:, GOAL][~np.isnan(whole[:, GOAL])])) > 6
