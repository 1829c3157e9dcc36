"""Span answers: START, END and ABSTAIN in the state machine, and the compiled scores against the metrics on strings."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reasongym.engine.batch import Batch
from reasongym.engine.layout import INVALID_REASONS
from reasongym.engine.pieces import hash_word, hash_words
from reasongym.engine.settings import Settings
from reasongym.envs import ReasonGymEnv
from reasongym.metrics import exact_match, f1, rouge_l
from tests.engine.span_source import SpanTexts

TEXT = ("The cat of Dr. Who sat.", "It was born in New York City.", "Nobody knows why.")
QUESTION = "Where was the cat born?"


def env(answers=("New York City",), support=(1,), **keywords):
    source = SpanTexts([(TEXT, QUESTION, answers, support)], **keywords.pop("source", {}))
    made = ReasonGymEnv(dataset=source, memory_slots=3, units_per_slot=2, **keywords)
    made.reset(seed=0)
    return made


def after_reading(made, keep=(1,)):
    """Reads the text, keeping some units in slots of their own."""
    slot = 0
    for unit in range(3):
        made.step(1 + slot if unit in keep else 0)
        slot += unit in keep
    return made


def position(made, word, which=0):
    """Token index of a word in unit 1 of the text."""
    encoding = made.source.encode(TEXT[1])
    return [a for a in range(len(encoding)) if TEXT[1][encoding.starts[a] :].startswith(word)][which]


def test_a_right_answer_is_recalled_started_and_ended():
    made = after_reading(env())
    first, width = 1 + 3 * 3, made.source.unit_tokens
    observation, reward, ended, *_ = made.step(1 + 2 * 3)
    assert reward == pytest.approx(0.3)  # the supporting unit enters the chain
    start, end = position(made, "New"), position(made, "City")
    observation, reward, ended, _, info = made.step(first + start)
    assert (reward, ended) == (0, False)
    assert observation["span_start"].tolist() == pytest.approx([1, (start + 1) / (2 * width)])
    legal = np.flatnonzero(observation["action_mask"]) - first - 2 * width
    assert {position(made, word) for word in ("New", "York", "City", ".")} == set(legal.tolist())
    observation, reward, ended, _, info = made.step(first + 2 * width + end)
    assert ended
    assert (info["answer"], info["gold"], info["is_success"], info["f1"]) == ("New York City", "New York City", True, 1.0)
    assert reward == pytest.approx(1 + 0.2)


def test_an_answer_that_overlaps_earns_its_f1():
    made = after_reading(env())
    made.step(1 + 2 * 3)
    first, width = 1 + 3 * 3, made.source.unit_tokens
    made.step(first + position(made, "York"))
    _, reward, _, _, info = made.step(first + 2 * width + position(made, "City"))
    assert info["f1"] == pytest.approx(2 * 2 / (2 + 3))  # two words of two, two words of three
    assert not info["is_success"]
    assert reward == pytest.approx(0.8 - 0.2)  # and the proof was there: logic -1


def test_abstaining_is_right_where_there_is_no_answer_and_wrong_elsewhere():
    for answers, support, right in (((), (), True), (("New York City",), (1,), False)):
        made = after_reading(env(answers, support), keep=())
        assert np.flatnonzero(made.action_masks()).tolist() == [made.action_space.n - 1]
        _, reward, ended, _, info = made.step(made.action_space.n - 1)
        assert (ended, info["is_success"], info["answer"], reward) == (True, right, "", float(right))


def test_tokens_inside_a_word_cannot_be_pointed_at():
    made = env(source={"max_length": 30})
    encoding = made.source.encode(TEXT[2])  # "Nobo" "dy" ...
    assert TEXT[2][encoding.starts[1] : encoding.ends[1]] == "dy"
    after_reading(made, keep=(2,))
    observation, *_ = made.step(1 + 2 * 3)
    first = 1 + 3 * 3
    assert observation["action_mask"][first] == 1
    assert observation["action_mask"][first + 1] == 0
    _, _, ended, _, info = made.step(first + 1)
    assert not ended
    assert info["invalid_action"] == INVALID_REASONS[12]
    made.step(first)
    made.step(first + 2 * made.source.unit_tokens)
    assert (
        made.batch.table.text_between(*(int(made.batch.result.outcome[0][key]) for key in ("unit", "start", "end"))) == "Nobody"
    )


def test_what_is_illegal_says_why():
    made = after_reading(env(source={"max_length": 2}), keep=(0, 1))
    first, positions = 1 + 3 * 3, 2 * made.source.unit_tokens
    reasons = lambda action: made.step(action)[4].get("invalid_action")  # noqa: E731
    assert reasons(first) == INVALID_REASONS[11]
    assert reasons(first + positions) == INVALID_REASONS[13]
    made.step(1 + 2 * 3)
    assert reasons(first + made.source.unit_tokens) == INVALID_REASONS[12]  # the link holds one unit
    made.step(first + 2)
    for action in (0, 1, 4, 1 + 2 * 3 + 1, first + 2, first + 2 * positions):
        assert reasons(action) == INVALID_REASONS[10]
    assert reasons(first + positions) == INVALID_REASONS[14]  # before the start
    assert reasons(first + positions + 5) == INVALID_REASONS[14]  # too far
    assert made.step(first + positions + 4)[2]


def test_the_expert_answers_from_the_best_span_recalled_last():
    texts = [
        (TEXT, QUESTION, ("New York City", "New York State"), (0, 1)),
        (TEXT, "Who?", ("Nobody at all",), (2,)),
        (TEXT, "What?", (), ()),
    ]
    made = ReasonGymEnv(dataset=SpanTexts(texts), memory_slots=2, units_per_slot=1)
    for problem, (answer, score) in enumerate((("New York City", 1.0), ("Nobody", 0.5), ("", 1.0))):
        made.reset(seed=0, options={"problem": problem})
        ended = False
        while not ended:
            action = made.expert_action()
            assert made.action_masks()[action]
            _, _, ended, _, info = made.step(action)
        assert (info["answer"], info["f1"]) == (answer, pytest.approx(score))


WORDS = st.sampled_from(
    ["the", "a", "An", "cat", "Cat", "U.S.", "a.n", "don't", "1,200", "naïve", "–", "x–a–y", "«the»", "_", "", "“", "Dr."]
)


@settings(max_examples=150, deadline=None)
@given(
    unit=st.lists(WORDS, min_size=1, max_size=7).map(" ".join).filter(lambda text: any(c.isalnum() for c in text)),
    answers=st.lists(st.lists(WORDS, min_size=1, max_size=4).map(" ".join), max_size=3),
    metric=st.sampled_from(["f1", "rouge_l"]),
)
def test_compiled_scores_are_those_of_the_metrics(unit, answers, metric):
    source = SpanTexts([((unit,), "What?", tuple(answers), (0,) if answers else ())], metric=metric)
    made = ReasonGymEnv(dataset=source, memory_slots=1, units_per_slot=1, utility="none")
    first, width = 1 + 3, source.unit_tokens
    made.reset(seed=0)
    made.step(1)
    made.step(3)
    state = made.get_state()
    for start in np.flatnonzero(made.action_masks()[first : first + width]):
        made.step(first + start)
        started = made.get_state()
        for end in np.flatnonzero(made.action_masks()[first + width : first + 2 * width]):
            info = made.step(first + width + end)[4]
            score = f1(info["answer"], answers) if metric == "f1" else rouge_l(info["answer"], answers or [""])
            assert info[metric] == pytest.approx(score, abs=1e-6), (unit, info["answer"], answers)
            if metric == "f1":
                assert info["is_success"] == exact_match(info["answer"], answers)
            assert info["answer"] in unit
            made.set_state(started)
        made.set_state(state)


@given(st.lists(st.text(min_size=1, max_size=40), max_size=8))
def test_words_are_hashed_alike_alone_and_together(words):
    hashes, powers = hash_words(words)
    assert list(zip(hashes.tolist(), powers.tolist(), strict=True)) == [hash_word(word) for word in words]


def test_a_source_of_spans_needs_memory():
    with pytest.raises(ValueError, match="point into recalled slots: memory_slots must be at least 1"):
        Batch(SpanTexts([(TEXT, QUESTION, (), ())]), Settings(memory_slots=0), 1)


@pytest.mark.parametrize("endless", [False, True])
def test_a_table_that_starts_over_changes_no_trajectory(endless, monkeypatch):
    texts = [((f"Unit {i} of many.", f"Another one, number {i}."), f"Which is {i}?", (f"number {i}",), (1,)) for i in range(60)]

    def played(most):
        monkeypatch.setattr("reasongym.engine.table.MOST_SENTENCES", most)
        source = SpanTexts(texts)
        if endless:
            source.num_problems = None
            plain = source.problem
            source.problem = lambda index: plain(index % 60)  # type: ignore[method-assign]
        batch = Batch(source, Settings(memory_slots=2, units_per_slot=1, prm="lexical"), 5)
        batch.seed(np.arange(5), np.full(5, 3), np.arange(5))
        batch.reset(np.ones(5, bool))
        rng, seen = np.random.default_rng(0), []
        for _ in range(300):
            mask = batch.observation.action_mask
            actions = np.array([rng.choice(np.flatnonzero(row)) for row in mask])
            batch.step(actions)
            seen.append((batch.arena.bytes.copy(), batch.result.reward.copy(), batch.memory.state["problem"].copy()))
        return seen, batch.table

    (often, small), (never, _) = played(12), played(1000)
    assert small.generation > 5
    assert len(small.sentences.texts) < 40
    for (a, b, c), (x, y, z) in zip(often, never, strict=True):
        assert (a == x).all()
        assert (b == y).all()
        assert (c == z).all()
