"""Own words: what they take, what they count for, how long they stay."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import ListedSource, tiny

from reasongym.engine.layout import INVALID_REASONS, WORDS
from reasongym.prm.annotated import AnnotatedPRM
from reasongym.tasks import babi
from reasongym.tasks.worlds import lexicon
from reasongym.text.env import ReasonGymTextEnv
from reasongym.text.words import Facts, count_tokens
from tests.engine.span_source import SpanTexts

UNITS = (
    "Mary went to the kitchen.",
    "John moved to the garden.",
    "Mary journeyed to the office.",
    "Mary travelled to the kitchen.",
)
TASK1 = babi.load((1,), num_problems=8)


class Tale(ListedSource):
    """A list of problems with the worlds that parse their sentences."""

    def __init__(self, like, problems):
        super().__init__(like, problems)
        self.worlds, self.tasks = like.worlds, like.tasks


def env(support=(2,), units=UNITS, **keywords):
    problem = tiny(units, "Where is Mary?", support)
    made = ReasonGymTextEnv(dataset=Tale(TASK1, [problem]), instructions="none", **{"memory_slots": 2, **keywords})
    made.reset(seed=0)
    return made


def play(made, *replies):
    """(rewards, last observation, last info)."""
    rewards = []
    for reply in replies:
        observation, reward, _, _, info = made.step(reply)
        rewards.append(round(reward, 5))
    return rewards, observation, info


@pytest.mark.parametrize(
    ("words", "unit"),
    [
        ("Mary journeyed to the office.", 2),
        ("mary went to the OFFICE", 2),  # the same event in another wording and case
        ('"Mary moved to the office"', 2),
        ("I think this matters! Mary went back to the office", 2),
        ("Mary travelled to the kitchen.", 3),  # the unit read last that says so
        ("John moved to the garden", 1),
        ("Mary is in the office.", None),
        ("John moved to the office.", None),
        ("Where is Mary?", None),
        ("everything", None),
        ("office", None),
    ],
)
def test_a_fact_counts_exactly_when_it_can_be_read_off_the_words(words, unit):
    for support in range(4):
        made = env((support,))
        rewards, observation, info = play(made, "next", "next", "next", f"store 1: {words}")
        assert "invalid_action" not in info
        assert f'"{words}"' in observation
        assert rewards[-1] == pytest.approx(0.3 * (unit == support))
        held = made.batch.memory.held[0, 0]
        assert held["unit"][0] == (WORDS if unit is None else unit)
        assert held["needed"].tolist() == [int(unit == support), 0]
        rewards, _, info = play(made, "recall 1")
        assert info["prm_scores"]["goal"] == (1 if unit == support else -0.5)


def test_what_was_not_read_yet_cannot_be_recovered():
    made = env((2,))
    rewards, _, _ = play(made, "next", "store 1: Mary journeyed to the office")
    assert rewards[-1] == 0
    rewards, _, _ = play(made, "store 1: Mary journeyed to the office")  # on the desk now
    assert rewards[-1] == pytest.approx(0.3)


def test_words_take_the_places_of_their_tokens_and_hold_a_fact_a_place_at_most():
    made = env((0, 1, 2))
    said = "Mary went to the kitchen. John moved to the garden. Mary went to the office."
    assert count_tokens(made.source, said) == 15
    width = made.batch.shapes.unit_tokens
    assert width == 6
    _, _, info = play(made, "next", "next", f"store 1: {said}")
    assert info["invalid_action"] == "the words take 15 tokens, but a slot holds 12"
    assert info["prm_scores"]["validity"] == -1
    assert made.batch.memory.state["cursor"][0] == 2
    rewards, _, _ = play(made, "store 1: Mary went to the kitchen. John moved to the garden.")
    assert rewards == [pytest.approx(0.2)]
    made = env((0, 1, 2), unit_tokens=12, units_per_slot=2)
    rewards, _, _ = play(made, "next", "next", f"store 1: {said}")
    assert made.batch.memory.slots["held"][0, 0] == 2
    assert rewards[-1] == pytest.approx(0.2)  # three facts, two places


def test_glued_words_are_not_one_token():
    made = env()
    assert count_tokens(made.source, "a" * 500) == 50
    assert count_tokens(made.source, "." * 500) == 50
    _, _, info = play(made, "store 1: " + "marywenttothekitchen" * 20)
    assert "a slot holds 12" in info["invalid_action"]


@pytest.mark.parametrize("task", range(1, 21))
def test_every_unit_of_every_world_is_recovered_from_itself(task):
    source = babi.load((task,), num_problems=10)
    made = ReasonGymTextEnv(dataset=source, instructions="none", memory_slots=1, units_per_slot=1)
    facts = Facts(made.batch)
    for index in range(min(5, source.num_problems)):
        problem = source.problem(index)
        made.reset(seed=0, options={"problem": index})
        for unit, text in enumerate(problem.story.units[: problem.num_units]):
            assert count_tokens(source, text) <= made.batch.shapes.unit_tokens
            events = [made.source.worlds[0].parse_unit(other) for other in problem.story.units[: unit + 1]]
            latest = max(u for u, event in enumerate(events) if event == events[unit])
            for said in (text, text.lower(), text.upper().rstrip(".")):
                assert facts.recovered(0, said, 1) == [latest], (task, said)
            made.step("next")


@settings(max_examples=150, deadline=None)
@given(
    st.integers(1, 20),
    st.lists(st.sampled_from((*lexicon.VOCABULARY, ".", "!", "Then", "Mary", "\x00", "漢")), max_size=12).map(" ".join)
    | st.text(max_size=80),
)
def test_any_words_are_parsed_without_harm(task, words):
    if task not in FACTS:
        made = ReasonGymTextEnv(tasks=(task,), instructions="none")
        made.reset(seed=0)
        FACTS[task] = Facts(made.batch)
    assert set(FACTS[task].recovered(0, words, 2)) <= {0}


FACTS = {}


def test_update_drops_own_words_at_once_and_keeps_them_while_there_is_room():
    made = env((0, 3))
    play(made, "next", "store 1: Mary went to the kitchen. I saw it there")  # two places
    slot = made.batch.memory.slots[0, 0]
    assert (slot["held"], slot["noted"]) == (2, 2)
    _, observation, _ = play(made, "update 1")
    slot = made.batch.memory.slots[0, 0]
    assert (slot["held"], slot["noted"]) == (1, 0)
    assert "own words" not in observation
    assert "1. Mary journeyed to the office. (sentence 3 of 4)" in observation
    made = env((0, 3))
    play(made, "next", "store 1: Mary went to the kitchen")  # one place
    _, observation, _ = play(made, "update 1")
    assert '"Mary went to the kitchen" (written at sentence 2 of 4) Mary journeyed' in observation
    assert made.batch.memory.slots["noted"][0, 0] == 1
    rewards, observation, _ = play(made, "update 1")  # full: the words go, the units stay
    assert "own words" not in observation
    assert made.batch.memory.held["unit"][0, 0].tolist() == [2, 3]
    assert rewards[-1] == pytest.approx(0.15 - 0.15)  # unit 3 comes, unit 0 goes


def test_recalled_words_stay_in_the_chain_when_the_slot_is_written_over():
    made = env((0, 3), reason_when="any")
    _, observation, _ = play(made, "store 1: hello there", "recall 1", "store 1: something else", "recall 1", "store 1")
    assert 'own words: "hello there" (written at sentence 1 of 4)' in observation
    assert 'own words: "something else" (written at sentence 2 of 4)' in observation
    assert "1. Mary journeyed to the office. (sentence 3 of 4)" in observation
    assert made.batch.memory.chain[0, :2, 0].tolist() == [WORDS, WORDS]


def test_hidden_memory_hides_own_words():
    _, observation, _ = play(env(memory_view="recalled"), "store 1: hello there")
    assert "hello" not in observation
    assert "1. own words, hidden (written at sentence 1 of 4)" in observation


def test_words_without_any_fact_still_occupy_a_slot():
    made = env()
    _, _, info = play(made, "store 1: hello")
    assert made.batch.memory.state["occupied"][0] == 1
    assert info["action_mask"].tolist()[:7] == [1, 1, 1, 1, 0, 0, 0]
    rewards, _, info = play(made, "next", "next", "next", "recall 1")
    assert info["prm_scores"]["logic"] == 0
    assert rewards[-1] == pytest.approx(-0.1 - 0.15)


def test_the_compiled_scores_are_those_of_the_prm_as_an_object():
    class Same(AnnotatedPRM):
        """Not recognised by the engine, and asked for every step."""

    draw = np.random.default_rng(0)
    for task in (1, 2, 3, 6, 8, 14, 15, 20):
        keywords = {"tasks": (task,), "memory_slots": 2, "instructions": "none", "reason_when": "any", "units_per_slot": 3}
        a, b = ReasonGymTextEnv(**keywords), ReasonGymTextEnv(**keywords, prm=Same())
        for episode in range(8):
            seed = 1 if episode == 0 else None
            a.reset(seed=seed), b.reset(seed=seed)
            units = list(a.source.problem(int(a.batch.memory.state["problem"][0])).story.units)
            ended = False
            while not ended:
                said = " ".join(draw.choice(units, draw.integers(1, 4))) if draw.random() < 0.7 else "something of my own"
                reply = str(draw.choice([
                    f"store {draw.integers(1, 3)}: {said}", f"update {draw.integers(1, 3)}", f"recall {draw.integers(1, 3)}",
                    "next", "store 1", "answer rubbish" if draw.random() < 0.2 else "nothing at all",
                ]))  # fmt: skip
                x, y = a.step(reply), b.step(reply)
                assert x[0] == y[0]
                assert x[1] == pytest.approx(y[1], abs=1e-6), (task, reply)
                for key, value in x[4]["prm_scores"].items():
                    assert y[4]["prm_scores"][key] == pytest.approx(value, abs=1e-6), (task, reply, key)
                ended = x[2]


class Reader:
    """A PRM that keeps what it is shown."""

    criteria, needs_annotation, version, default_beta, cacheable = ("seen",), False, "1", {}, True

    def __init__(self):
        self.texts = []

    def score(self, steps):
        self.texts += [steps.text(i) for i in range(len(steps))]
        assert steps.sentence_tokens.shape[0] >= len(steps.sentences)
        return np.zeros((len(steps), 1), np.float32)


def test_a_prm_reads_own_words_instead_of_the_unit():
    reader = Reader()
    made = env(prm=reader, utility="none")
    play(made, "store 1: I met Mary", "update 1", "next", "mumble mumble", "next", "recall 1", "answer a palace")
    last = reader.texts[-1].split("\n")
    assert last == [
        "question: Where is Mary?",
        "chain 1, own words at sentence 1: I met Mary",
        "chain 1, sentence 2: John moved to the garden.",
        "slot 1, own words at sentence 1: I met Mary",
        "slot 1, sentence 2: John moved to the garden.",
        "desk empty",
        "action: answer a palace",
    ]
    assert any(text.endswith("\nillegal action: reply without command: mumble mumble") for text in reader.texts)
    assert reader.texts[0].endswith("\naction: store 1 in own words: I met Mary")
    seen = len(reader.texts)
    made.reset(seed=0)
    play(made, "store 1: I met Mary", "update 1")
    assert len(reader.texts) == seen  # cached
    made.reset(seed=0)
    play(made, "store 1: I met John", "update 1")
    assert len(reader.texts) == seen + 2  # other words, other content


def test_a_unit_of_natural_text_is_recovered_only_where_the_words_contain_it():
    text = ("The cat sat, purring.", "It was BORN in New York.", "No.", "...")
    source = SpanTexts([(text, "Where was it born?", ("New York",), (1,))])
    made = ReasonGymTextEnv(dataset=source, memory_slots=1, units_per_slot=4, instructions="none")
    made.reset(seed=0)
    for _ in range(3):
        made.step("next")
    facts = Facts(made.batch)
    for words, found in {
        "it was born in new york": [1],
        "Note: it was born -- in 'New  York'! And: the cat sat purring": [1, 0],
        "born in New York": [],
        "it was born in New Yorkshire": [],
        "no": [2],
        "nobody": [],
        "!!!": [],
    }.items():
        assert facts.recovered(0, words, 4) == found, words


def test_own_words_cannot_be_pointed_at():
    source = SpanTexts([(("It was born in New York.", "Nobody knows."), "Where?", ("New York",), (0,))])
    made = ReasonGymTextEnv(dataset=source, memory_slots=1, units_per_slot=3, instructions="none")
    made.reset(seed=0)
    made.step("store 1: It was born in New York")
    made.step("update 1")
    assert made.batch.memory.held["unit"][0, 0].tolist() == [0, 1, -1]  # recovered, and still no place to point at
    noted = int(made.batch.memory.slots["noted"][0, 0])
    observation, *_ = made.step("recall 1")
    first = noted * source.unit_tokens + 1
    assert f"Positions in the last link: {first} Nobody, " in observation
    *_, info = made.step("start 1")
    assert info["invalid_action"] == INVALID_REASONS[12]
    assert made.expert_action() == "abstain"
    made.step(f"start {first}")
    *_, info = made.step(f"end {first}")
    assert info["answer"] == "Nobody"


@pytest.mark.parametrize("metric", ["f1", "rouge_l"])
@pytest.mark.parametrize(
    ("words", "score"), [("New York", 1.0), ("the new york!", None), ("York", 2 / 3), ("Paris", 0.0), ("", None)]
)
def test_a_written_answer_earns_its_score(metric, words, score):
    source = SpanTexts([(("It was born in New York.",), "Where?", ("New York", "NY"), (0,))], metric=metric, right_at=0.6)
    made = ReasonGymTextEnv(dataset=source, memory_slots=1, instructions="none")
    made.reset(seed=0)
    made.step("store 1")
    _, reward, ended, _, info = made.step(f"answer {words}")
    if not words:
        assert not ended
        assert "no line of the reply is a command" in info["invalid_action"]
        return
    score = {"f1": 1.0, "rouge_l": 0.8}[metric] if score is None else score
    assert ended
    assert info["answer"] == words
    assert info[metric] == pytest.approx(score)
    assert info["prm_scores"]["outcome"] == pytest.approx(score)
    assert info["is_success"] == (score >= 0.6)


def test_right_means_exact_where_the_threshold_is_one():
    source = SpanTexts([(("New York City.",), "Where?", ("New York",), (0,)), (("Rain.",), "Why?", (), ())])
    made = ReasonGymTextEnv(dataset=source, memory_slots=1, instructions="none")
    for problem, answer, right in ((0, "York New", False), (0, "The New York.", True), (1, "rain", False), (1, "the", True)):
        made.reset(seed=0, options={"problem": problem})
        made.step("next")
        *_, info = made.step(f"answer {answer}")
        assert info["is_success"] == right, answer
    made.reset(seed=0, options={"problem": 1})
    made.step("next")
    *_, info = made.step("answer none")
    assert (info["answer"], info["is_success"]) == ("", True)


def test_an_answer_that_is_no_choice_is_wrong():
    made = env()
    rewards, _, info = play(made, "next", "next", "store 1", "next", "recall 1", "answer a palace of my own")
    assert (info["answer"], info["is_success"], info["gold"]) == ("a palace of my own", False, "office")
    assert info["prm_scores"] == {"logic": -1, "coherence": -1, "goal": 0, "outcome": 0, "validity": 0}
    made = env()
    *_, info = play(made, "answer a palace")
    assert info["invalid_action"] == INVALID_REASONS[2]  # the text is not over: as by number
