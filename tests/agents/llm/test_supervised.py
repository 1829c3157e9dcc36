"""Supervised training on expert's turns, and what it is trained on."""

from __future__ import annotations

import math

import pytest

pytest.importorskip("transformers")

import torch

from agents.base import evaluate
from agents.llm import LLMAgent, LocalModel, supervised
from agents.llm.supervised import Fitting, by_length, cosine, fit, losses_of
from agents.llm.transcripts import expert_turns, tokens_of
from reasongym.envs import ReasonGymEnv
from tests.agents.llm.conftest import KEYWORDS
from tests.reference import ListedSource


@pytest.fixture
def local(model_folder) -> LocalModel:
    return LocalModel(model_folder, device="cpu")


def test_turns_are_the_experts(turns):
    for episode in turns:
        assert episode[-1].reply.startswith("answer ")
        assert all(turn.chat[-1]["content"].startswith("Question: ") for turn in episode)
        assert all(turn.reply.split()[0] in turn.chat[-1]["content"].rsplit("Commands now:", 1)[1] for turn in episode)
    problems = list(expert_turns("ReasonGymText-bAbI-qa1-v0", [3, 0], num_envs=1, instructions="none", **KEYWORDS))
    assert problems[1] == turns[0]
    assert problems[0] == turns[3]


def test_rules_stand_in_the_system_turn(local):
    episode = next(expert_turns("ReasonGymText-bAbI-qa1-v0", [0], **KEYWORDS))
    local.prompter.window = None
    prompt, reply = tokens_of(episode[0], local.prompter)
    assert local.tokenizer.decode(prompt).startswith("<|system|>You read a text")
    assert reply[-1] == local.prompter.end


def test_the_loss_is_of_replies_alone(local):
    rows = [([20, 21, 22], [30, 31, 4], 1.0), ([23], [32, 4], 1.0)]
    loss, told = losses_of(local.model, rows, local.pad)
    wanted = []
    for prompt, reply, _ in rows:
        logits = local.model(torch.tensor([prompt + reply])).logits[0]
        for k, token in enumerate(reply):
            wanted.append(-logits[len(prompt) - 1 + k].log_softmax(-1)[token])
    assert loss.item() == pytest.approx(torch.stack(wanted).mean().item(), abs=1e-4) == told
    whole, told = losses_of(local.model, rows, local.pad, prompt_loss=0.5)
    first = local.model(torch.tensor([[20, 21, 22]])).logits[0]
    of_prompts = -(first[0].log_softmax(-1)[21] + first[1].log_softmax(-1)[22]) / 2
    assert whole.item() == pytest.approx(loss.item() + 0.5 * of_prompts.item(), abs=1e-4)
    assert told == pytest.approx(loss.item(), abs=1e-4)


def test_a_turns_weight_is_that_of_its_tokens(local):
    rows = [([20, 21, 22], [30, 31, 4]), ([23], [32, 4])]
    first, second = (losses_of(local.model, [(*row, 1.0)], local.pad)[0].item() for row in rows)
    loss, _ = losses_of(local.model, [(*rows[0], 1.0), (*rows[1], 5.0)], local.pad)
    assert loss.item() == pytest.approx((3 * first + 10 * second) / 13, abs=1e-4)


def test_parts_of_like_length_are_the_whole(local):
    """Loss and gradient of an update are the same, however its turns are parted."""
    rows = [([20 + k % 7] * (1 + k * k % 23), [30 + k % 5, 4][k % 2 :], 1.0 + k % 3) for k in range(29)]
    parts = by_length(rows, least=3)
    assert len(parts) > 3
    assert sorted(map(str, (row for part in parts for row in part))) == sorted(map(str, rows))
    for part in parts:
        lengths = [len(prompt) + len(reply) for prompt, reply, _ in part]
        assert len(part) <= 3 or max(lengths) <= 1.25 * min(lengths)
    found = []
    for some in ([rows], parts):
        local.model.zero_grad()
        told = 0.0
        for part in some:
            loss, share = losses_of(local.model, part, local.pad, 0.5, rows)
            loss.backward()
            told += share
        found.append((told, local.model.lm_head.weight.grad.clone()))
    assert found[1][0] == pytest.approx(found[0][0], rel=1e-5)
    torch.testing.assert_close(found[1][1], found[0][1], rtol=1e-3, atol=1e-6)


def test_a_killed_training_goes_on_to_the_same_weights(model_folder, tmp_path):
    pairs = [([20 + k % 7] * (1 + k % 5), [30 + k % 5, 4]) for k in range(40)]
    how = Fitting(epochs=4.0, batch_size=4, learning_rate=1e-3)

    def trained(keep, killed_after=None):
        local, told = LocalModel(model_folder, device="cpu"), []

        def say(line):
            told.append(line)
            if len(told) == killed_after:
                raise KeyboardInterrupt

        return local.model, fit(local.model, pairs, how, local.pad, say, keep=keep)

    whole, losses = trained(tmp_path / "whole.pt")
    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path / "killed.pt", killed_after=7)
    again, those = trained(tmp_path / "killed.pt")
    assert those == losses
    assert len(losses) == 20
    for name, weight in whole.state_dict().items():
        assert torch.equal(weight, again.state_dict()[name]), name


def test_parts_are_of_so_many_at_most():
    rows = [([20] * 9, [4], 1.0)] * 11
    assert [len(part) for part in by_length(rows, most=4)] == [4, 4, 3]


def test_turns_of_one_name_are_learned_from_together(local, monkeypatch):
    pairs = [([20 + k], [30, 4]) for k in range(12)]
    names = ["a", "b", "b", "c", "a", "d", "e", "e", "e", "f", "g", "a"]
    seen: list[list[int]] = []

    def kept(rows):
        seen.append([prompt[0] - 20 for prompt, _, _ in rows])
        return [rows]

    monkeypatch.setattr(supervised, "by_length", kept)
    told = fit(local.model, pairs, Fitting(epochs=2, batch_size=2), local.pad, groups=names)
    assert len(seen) == 7  # of 7 names two an update, the last of a pass has one; ceil(2 * 7 / 2) updates
    assert [len({names[k] for k in turns}) for turns in seen] == [2, 2, 2, 1, 2, 2, 2]
    assert sorted(k for turns in seen[:4] for k in turns) == list(range(12))
    assert all(names.count(names[k]) == [names[j] for j in turns].count(names[k]) for turns in seen for k in turns)
    assert told[-1][0] == sum(map(len, seen))
    with pytest.raises(ValueError, match="12 turns need as many names of groups, got 5"):
        fit(local.model, pairs, Fitting(), local.pad, groups=names[:5])


def test_a_turn_cannot_be_unlearned(local):
    for weight in (-1.0, math.nan):
        with pytest.raises(ValueError, match="weights must be finite and not negative"):
            fit(local.model, [([20], [4])], Fitting(), local.pad, weights=[weight])


def test_a_prudent_expert_keeps_what_would_be_needed_if_the_text_ended():
    """Of task 1 every sentence about the person who is asked for; what it did not know to be needed, it does not recall."""
    kept = 0
    for episode in expert_turns("ReasonGymText-bAbI-qa1-v0", range(12), prudent=True, instructions="none", **KEYWORDS):
        person = episode[0].chat[-1]["content"].split("Where is ")[1].split("?")[0]
        for turn in episode:
            lines = dict(line.split(" ", 1) for line in turn.chat[-1]["content"].splitlines() if line.startswith("Desk"))
            if "(sentence" in lines["Desk"]:
                about = lines["Desk"].split("): ")[1].startswith(person)
                assert turn.reply.startswith("store" if about else "next")
                kept += about
        assert [turn.reply.split()[0] for turn in episode[-2:]] == ["recall", "answer"]
    assert kept > 12, "more than the one sentence that each needs"
    source = ReasonGymEnv(tasks=(1,)).source
    listed = ListedSource(source, [source.problem(0)])
    with pytest.raises(ValueError, match="asks a solver"):
        next(expert_turns("ReasonGymText-bAbI-qa1-v0", [0], prudent=True, dataset=listed))


def test_episodes_led_astray_hold_more_than_is_needed(turns):
    """The replies are the expert's: what was stored in passing is not recalled."""
    astray = list(expert_turns("ReasonGymText-bAbI-qa1-v0", range(12), stray=1.0, instructions="none", **KEYWORDS))
    held = [sum("\n  2. " in turn.chat[-1]["content"].partition("Chain")[0] for turn in episode) for episode in astray]
    assert sum(held) > sum(sum("\n  2. " in turn.chat[-1]["content"].partition("Chain")[0] for turn in e) for e in turns)
    for one, other in zip(turns, astray, strict=True):
        assert one[0] == other[0]
        assert one[-1].reply == other[-1].reply, "the answer"
        assert len(one) == len(other)


def test_it_learns_the_experts_turns(model_folder, local, turns):
    pairs = [tokens_of(turn, local.prompter) for episode in turns[:4] for turn in episode]
    told = fit(local.model, pairs, Fitting(epochs=90, batch_size=4, learning_rate=4e-3), local.pad)
    assert told[-1][1] < 0.2 < told[0][1]
    assert [seen for seen, _ in told] == sorted(seen for seen, _ in told)
    agent = LLMAgent(model=str(model_folder), backend=local, constrained=True, instructions="none")
    found = evaluate(agent, "ReasonGym-bAbI-qa1-v0", problems=range(4), split="train", **KEYWORDS)
    assert found.accuracy >= 0.75


def test_it_ends_in_time_and_says_what_is_wrong(local):
    pairs = [([20, 21], [30, 4])] * 50
    told = fit(local.model, pairs, Fitting(epochs=10_000, seconds=1.0, batch_size=4), local.pad)
    assert told == [] or told[-1][0] < 500_000
    with pytest.raises(ValueError, match="no turns"):
        fit(local.model, [], Fitting(), local.pad)
    torch.nn.init.constant_(next(iter(local.model.parameters())), math.nan)
    with pytest.raises(FloatingPointError, match="lower learning_rate"):
        fit(local.model, pairs, Fitting(), local.pad)


def test_the_rate_falls_along_a_cosine():
    assert cosine(0.0) == 1.0
    assert cosine(0.5) == pytest.approx(0.55)
    assert cosine(1.0) == cosine(2.0) == pytest.approx(0.1)
