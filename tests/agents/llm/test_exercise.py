"""Conversations in which a model from scratch learns to read."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

pytest.importorskip("transformers")

import torch

from agents.llm import LocalModel
from agents.llm.exercise import WORD, conversation, exercises, marked, telling_words
from agents.llm.supervised import Fitting, fit, losses_of
from agents.llm.transcripts import Turn, chosen_turns
from reasongym.envs import build

ASKED = re.compile(r"Question: (.*)\n")
DESK = re.compile(r"Desk \(sentence (\d+) of (\d+)\): (.*)$")


@pytest.fixture(scope="module")
def source():
    return build("narrativeqa", (), {"num_problems": 300, "difficulty": {"units": (30, 30), "hops": (1, 2)}})[0]


@pytest.fixture
def local(model_folder) -> LocalModel:
    return LocalModel(model_folder, device="cpu")


def test_sentences_stand_in_the_order_of_the_text_and_those_needed_are_stored(source):
    for index, chat in enumerate(exercises(source, range(40), ["cloak"], 8)):
        problem = source.problem(index)
        assert [message["role"] for message in chat] == ["user", "assistant"] * 9
        assert [message["content"] for message in chat[-2:]] == [
            "\nDesk is empty: the text is over.",
            f"answer {problem.answers[0]}",
        ]
        assert ASKED.match(chat[0]["content"])[1] == problem.question
        shown = [DESK.search(message["content"]) for message in chat[:-2:2]]
        places = [int(found[1]) - 1 for found in shown]
        assert places == sorted(set(places))
        assert [found[3] for found in shown] == [problem.story.units[place] for place in places]
        assert {int(found[2]) for found in shown} == {30}
        stored = [place for place, said in zip(places, chat[1:-2:2], strict=True) if said["content"] != "next"]
        assert set(stored) == set(problem.support)
        assert [m["content"] for m in chat[1:-2:2] if m["content"] != "next"] == [f"store {k + 1}" for k in range(len(stored))]


def test_some_of_those_not_needed_have_a_word_of_the_question(source):
    words = {word for i in range(40) for word in WORD.findall(source.problem(i).question)} - {"the", "a", "to", "of", "was"}

    def near(share: float) -> float:
        found = []
        for chat in exercises(source, range(40), words, 8, share):
            asked = words.intersection(WORD.findall(ASKED.match(chat[0]["content"])[1]))
            desks = [
                DESK.search(user["content"])[3]
                for user, said in zip(chat[::2], chat[1::2], strict=True)
                if said["content"] == "next"
            ]
            found += [not asked.isdisjoint(WORD.findall(desk)) for desk in desks]
        return sum(found) / len(found)

    assert near(0.0) < near(0.5) < near(1.0)


def test_the_choice_is_that_of_the_seed(source):
    first, again, other = (list(exercises(source, range(5), (), 6, seed=seed)) for seed in (1, 1, 2))
    assert first == again != other


def test_a_text_of_few_sentences_gives_what_it_has(source):
    assert len(next(exercises(source, [0], (), 500))) == 2 * 31


def test_problems_of_unknown_support_are_refused(source):
    class Unknown:
        name = "unknown"

        def problem(self, index):
            return replace(source.problem(index), support=None)

    with pytest.raises(ValueError, match="problem 3 of unknown has no support"):
        next(exercises(Unknown(), [3], ()))


def test_a_conversation_is_its_prompts_and_replies(local):
    chat = conversation(
        "Where is it?", [(0, "It is here.", True), (4, "It rains.", False), (6, "It is there.", True)], 9, "there"
    )
    ids, said = local.prompter.conversation(chat)
    assert len(ids) == len(said)
    for k in (1, 3, 5, 7):
        prompt = local.prompter(chat[:k])
        reply = [*local.prompter.plain(chat[k]["content"]), local.prompter.end]
        assert ids[: len(prompt) + len(reply)] == [*prompt, *reply]
        assert said[len(prompt) : len(prompt) + len(reply)] == [True] * len(reply)
    assert sum(said) == sum(len(local.prompter.plain(m["content"])) + 1 for m in chat[1::2])
    with pytest.raises(ValueError, match="ends with a reply"):
        local.prompter.conversation(chat[:-1])


def test_what_others_say_in_between_carries_no_loss(local):
    (prompt, rest), weights = marked(
        conversation("Who?", [(0, "Ann ran.", False), (1, "Bo sat.", True)], 2, "Bo"), local.prompter
    )
    loss, told = losses_of(local.model, [(prompt, rest, weights), ([5, 6], [7, 4], 1.0)], local.pad)
    wanted = []
    for tokens, carries in ((prompt + rest, [0.0] * len(prompt) + weights), ([5, 6, 7, 4], [0.0, 0.0, 1.0, 1.0])):
        logits = local.model(torch.tensor([tokens])).logits[0].log_softmax(-1)
        wanted += [-logits[k - 1, token] for k, (token, here) in enumerate(zip(tokens, carries, strict=True)) if here]
    assert loss.item() == pytest.approx(torch.stack(wanted).mean().item(), abs=1e-4) == told


@pytest.mark.parametrize("weights", [[1.0], [1.0, 1.0, 1.0], [1.0, -1.0], [1.0, float("nan")]])
def test_weights_of_tokens_are_checked(local, weights):
    with pytest.raises(ValueError, match="weights"):
        fit(local.model, [([5, 6], [7, 4])], Fitting(), local.pad, weights=[weights])


def test_the_commonest_words_tell_nothing(source):
    problems = list(map(source.problem, range(50)))
    all_of_them, some = telling_words(problems, 0), telling_words(problems, 60)
    assert some < all_of_them
    assert len(all_of_them) - len(some) == 60
    said = WORD.findall(" ".join(text for problem in problems for text in (*problem.story.units, problem.question)))
    assert min(said.count(word) for word in all_of_them - some) >= max(map(said.count, some))


def read(sentence: str, reply: str = "next") -> Turn:
    return Turn([{"role": "user", "content": f"Question: Where is the lamp?\nDesk (sentence 1 of 9): {sentence}"}], reply)


def test_of_the_turns_that_read_on_so_many_are_chosen_and_so_many_of_them_near():
    far = [read(f"Rain fell on day {day}.") for day in range(40)]
    near = [read(f"A lamp of kind {kind} broke.") for kind in range(40)]
    acts = [read("The lamp is here.", "store 1"), read("", "recall 1")]
    episode = [*far, *near, *acts]
    chosen, bare = chosen_turns([episode, acts], 3.0, {"lamp", "fell"}, 0.5, seed=1)
    assert [turn for turn in chosen if turn.reply != "next"] == bare == acts
    assert (sum(turn in near for turn in chosen), sum(turn in far for turn in chosen)) == (3, 3)
    assert chosen_turns([episode], 3.0, {"lamp"}, 0.5, seed=1) == [chosen]
    assert chosen_turns([episode], 3.0, {"lamp"}, 0.5, seed=2) != [chosen]
    assert all(turn in episode for turn in chosen_turns([episode], 1e6, {"lamp"}, 1.0)[0])
    assert len(chosen_turns([episode], 1e6)[0]) == len(episode)


@pytest.mark.parametrize(("reading", "near"), [(-1.0, 0.0), (float("nan"), 0.0), (1.0, 1.5)])
def test_a_choice_that_cannot_be_made_is_refused(reading, near):
    with pytest.raises(ValueError, match="near lie in"):
        chosen_turns([], reading, (), near)
