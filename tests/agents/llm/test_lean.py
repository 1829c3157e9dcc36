"""How readily a model says one thing rather than another, and leaning."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("transformers")

import torch

from agents.base import evaluate
from agents.llm import LLMAgent, LocalModel
from agents.llm.lean import lean_to, log_odds
from agents.llm.sampling import Sampling
from tests.agents.llm.conftest import KEYWORDS


@pytest.fixture
def local(model_folder) -> LocalModel:
    return LocalModel(model_folder, device="cpu", batch_size=5)


@pytest.fixture
def chats(turns):
    return [turn.chat for episode in turns for turn in episode][:23]


def test_log_odds_are_those_of_the_replies_first_tokens(local, chats):
    found = log_odds(local, chats, "store 1", "next")
    one, other = (local.encode(text)[0] for text in ("store 1", "next"))
    for chat, odds in zip(chats, found, strict=True):
        logits = local.model(torch.tensor([local.prompter(chat)])).logits[0, -1]
        assert odds == pytest.approx((logits[one] - logits[other]).item(), abs=1e-4)
    assert np.allclose(log_odds(local, chats, "next", "store 1"), -found)
    with pytest.raises(ValueError, match="begin with the same token"):
        log_odds(local, chats, "next", "next")


def test_it_says_it_as_often_as_was_wanted(local, chats):
    odds = log_odds(local, chats, "store 1", "next")
    one, other = (local.encode(text)[0] for text in ("store 1", "next"))
    far = tuple((token, -1e4) for token in range(local.model.config.vocab_size) if token not in (one, other))
    for share in (0.2, 0.5, 0.9):
        lean = lean_to(odds, share)
        assert np.mean(odds + lean > 0) == pytest.approx(share, abs=1 / len(odds))
        said = local.sample([local.prompter(chat) for chat in chats], Sampling(0.0, 1.0, 1, (*far, (one, lean))))
        assert [reply.tokens[0] == one for reply in said] == (odds + lean > 0).tolist()


def test_it_leans_where_a_reply_begins_and_nowhere_else(local, chats):
    prompt = local.prompter(chats[0])
    plain = local.sample([prompt], Sampling(0.0, 1.0, 6))[0].tokens
    leaning = local.sample([prompt], Sampling(0.0, 1.0, 6, ((plain[0], 50.0),)))[0].tokens
    assert leaning == plain


@pytest.mark.parametrize(("odds", "share"), [([], 0.5), ([1.0], 0.0), ([1.0], 1.0)])
def test_a_share_of_nothing_is_refused(odds, share):
    with pytest.raises(ValueError, match="share in"):
        lean_to(np.array(odds), share)


def test_an_agent_leans(model_folder, tmp_path):
    arguments = {"model": str(model_folder), "device": "cpu", "constrained": True, "instructions": "none"}
    agent = LLMAgent(**arguments, lean={"store 1": 100.0})
    rates = evaluate(agent, "ReasonGym-bAbI-qa1-v0", problems=8, num_envs=8, **KEYWORDS).rates
    assert rates["capture"] == 1.0
    agent.save(tmp_path / "agent.json")
    assert LLMAgent.load(tmp_path / "agent.json", device="cpu").sampling == agent.sampling
    against = LLMAgent(**arguments, lean={"store 1": -100.0, "store 2": -100.0})
    assert evaluate(against, "ReasonGym-bAbI-qa1-v0", problems=8, num_envs=8, **KEYWORDS).rates["capture"] == 0.0
    with pytest.raises(ValueError, match="lean= needs the model in this process"):
        LLMAgent(model="served", url="http://localhost:1/v1", lean={"next": 1.0})
