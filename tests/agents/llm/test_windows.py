"""Models that are shown as much of a text as fits a window."""

from __future__ import annotations

import pytest

pytest.importorskip("transformers")

from agents.base import evaluate
from agents.llm import LocalModel
from agents.llm.models import Said
from agents.llm.windows import Window, WindowAgent, window_turns
from reasongym.audit.readers import Rarity
from reasongym.envs import build


@pytest.fixture(scope="module")
def source():
    return build("narrativeqa", (), {"num_problems": 300})[0]


@pytest.fixture
def local(model_folder) -> LocalModel:
    return LocalModel(model_folder, device="cpu")


def test_the_last_units_that_fit_are_shown(local, source):
    units = [f"Sentence {i}." for i in range(40)]
    window = Window(local.prompter, 150, "last")
    content = window.chat(source, "What happened?", units)[0]["content"]
    shown = [line for line in content.splitlines() if " of 40: " in line]
    assert 2 < len(shown) < 40
    assert shown == [f"{i + 1} of 40: Sentence {i}." for i in range(40 - len(shown), 40)]
    length = len(local.prompter(window.chat(source, "What happened?", units)))
    left = 40 - len(shown)
    assert 150 - len(local.prompter.plain(f"{left} of 40: Sentence {left - 1}.\n")) < length <= 150


def test_the_nearest_units_that_fit_are_shown_in_the_order_of_the_text(local, source):
    problem = source.problem(0)
    units = problem.story.units[: problem.num_units]
    rarity = Rarity(source)
    content = Window(local.prompter, 500, "tf-idf", rarity).chat(source, problem.question, units)[0]["content"]
    numbers = [int(line.split(" of ")[0]) for line in content.splitlines() if f" of {len(units)}: " in line]
    assert numbers == sorted(numbers)
    first = Window(local.prompter, 500, "tf-idf", rarity)._order(source, problem.question, units)[0]
    assert first + 1 in numbers
    asked = set(source.tokenize(problem.question))
    assert asked & set(source.tokenize(units[first]))


def test_turns_end_in_the_answer(local, source):
    window = Window(local.prompter, 400, "last")
    turn = next(window_turns(source, [5], window))
    assert turn.reply == f"answer {source.problem(5).answers[0]}"


def test_it_reads_to_the_end_and_answers_in_words(local, source, monkeypatch):
    """The model's reply is the gold answer here: everything else is the agent's."""
    window = Window(local.prompter, 400, "last")
    gold = {}

    def reply(chats, sampling, tries=None):
        return [Said(f"answer {gold[chat[0]['content']]}") for chat in chats]

    held_out = build("narrativeqa", (), {"split": "validation"})[0]
    for i in range(6):
        problem = held_out.problem(i)
        units = problem.story.units[: problem.num_units]
        gold[window.chat(held_out, problem.question, units)[0]["content"]] = problem.answers[0]
    monkeypatch.setattr(local, "reply", reply)
    agent = WindowAgent(local, window)
    found = evaluate(agent, "ReasonGym-NarrativeQA-v0", problems=range(6), num_envs=3)
    assert found.accuracy == 1.0
    assert agent.ledger["replies"] >= 6


def test_what_cannot_be_is_refused(local, source):
    with pytest.raises(ValueError, match="unknown selection"):
        Window(local.prompter, 100, "first")
    with pytest.raises(ValueError, match="needs to know how rare"):
        Window(local.prompter, 100, "tf-idf")
    with pytest.raises(ValueError, match="no room for the question"):
        Window(local.prompter, 5, "last").chat(source, "What happened?", ["It rained."])
