"""`LLMAgent` plays what every other agent plays, in words."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest

pytest.importorskip("transformers")

from agents.base import evaluate
from agents.episodes import record_episodes
from agents.llm import LLMAgent
from agents.llm.models import Said
from reasongym.adapters.sb3 import make_vec_env
from reasongym.errors import UnknownNameError
from tests.agents.llm.conftest import KEYWORDS

ID = "ReasonGym-bAbI-qa1-v0"


@pytest.fixture
def agent(model_folder) -> LLMAgent:
    return LLMAgent(model=str(model_folder), device="cpu", constrained=True, instructions="none")


def expert_speaks(agent: LLMAgent, monkeypatch, thought: str = "") -> None:
    """Puts the expert's command in the place of the model's replies."""
    from reasongym.engine.expert import expert_action

    rows = range(0)
    ask = agent.reply

    def asked(chats, which, deterministic):
        nonlocal rows
        rows = which
        return ask(chats, which, deterministic)

    def reply(chats, sampling, tries=None):
        batch, commands = agent.interface.batch, agent.interface.commands
        return [Said(thought + commands.of(expert_action(batch, i))) for i in rows]

    monkeypatch.setattr(agent, "reply", asked)
    monkeypatch.setattr(agent.backend, "reply", reply)


@pytest.mark.parametrize("env_id", [ID, "ReasonGym-SQuAD2-v0"])
def test_what_it_says_is_what_is_done(agent, monkeypatch, env_id):
    expert_speaks(agent, monkeypatch, thought="Let me see.\n")
    found = evaluate(agent, env_id, problems=20, num_envs=7)
    assert found.accuracy == 1.0
    assert found.rates["use"] == 1.0


def test_nobody_is_asked_in_episodes_that_no_longer_count(agent, monkeypatch):
    """Replies are the steps of the problems, whatever the number of environments: a server is paid for no others."""
    expert_speaks(agent, monkeypatch)
    for num_envs in (1, 5, 8):
        before = agent.ledger["replies"]
        found = evaluate(agent, ID, problems=13, num_envs=num_envs)
        assert agent.ledger["replies"] - before == round(found.mean_length * 13)
        assert found.accuracy == 1.0


def test_constrained_replies_are_legal_commands(agent):
    found = evaluate(agent, ID, problems=12, num_envs=5, deterministic=False, **KEYWORDS)
    assert found.problems == 12
    assert agent.ledger["no_command"] == 0
    assert agent.ledger["replies"] > 12
    assert agent.ledger["tokens_in"] > 20 * agent.ledger["replies"]


def test_free_replies_may_be_nothing(model_folder):
    agent = LLMAgent(model=str(model_folder), device="cpu", instructions="none", max_new_tokens=3)
    found = evaluate(agent, ID, problems=4, num_envs=4, **KEYWORDS)
    assert found.accuracy == 0.0
    assert agent.ledger["no_command"] == agent.ledger["replies"]  # counted, each a no-op


def test_in_words_and_by_number_it_is_the_same_play(agent):
    """The agent in environments by number, and by hand in the text environments."""
    env = make_vec_env(ID, 3, seed=5, **KEYWORDS)
    agent.attach(env)
    observation, state, start, by_number = env.reset(), None, np.ones(3, bool), []
    for _ in range(12):
        actions, state = agent.act(observation, state, start)
        observation, rewards, start, _ = env.step(actions)
        by_number.append(rewards)
    words = gym.make_vec("ReasonGymText-bAbI-qa1-v0", num_envs=3, instructions="none", **KEYWORDS, autoreset_mode="SameStep")
    agent.interface, agent.legal = words.unwrapped.interface, agent.legal.__class__(words.interface, agent.backend.encode)
    _, info = words.reset(seed=5)
    for rewards in by_number:
        said = agent.reply(info["messages"], range(3), deterministic=True)
        _, told, _, _, info = words.step([one.text for one in said])
        assert told == pytest.approx(rewards)


def test_the_prompt_does_not_grow_with_the_text(agent, monkeypatch):
    """f(X, WM_t): at 2,000 units it is as long as at 10, but for the digits of larger numbers."""
    expert_speaks(agent, monkeypatch)
    longest = {}
    for units in (10, 2000):
        knobs = {"max_units": units, "rounds": (units // 2, units // 2)}
        env = make_vec_env(ID, 1, seed=0, difficulty=knobs, memory_slots=3)
        agent.attach(env)
        observation, start, lengths = env.reset(), np.ones(1, bool), []
        for _ in range(units + 3):
            actions, _ = agent.act(observation, (), start)
            lengths.append(len(agent.backend.prompter(agent.interface.messages(0))))
            observation, _, start, _ = env.step(actions)
        longest[units] = max(lengths)
    digits = 2 * (4 - 2) * (2 + 3 + 1)  # of two numbers in each mention of a unit: desk, progress, three slots
    slots = 3 * 30  # which the short text may have left empty
    assert longest[2000] <= longest[10] + digits + slots
    assert longest[2000] < 300


def test_episodes_are_recorded_in_words(agent, tmp_path):
    episodes = record_episodes(agent, ID, tmp_path / "episodes.jsonl", problems=2, **KEYWORDS)
    step = episodes[0]["steps"][0]
    assert step["prompt"].startswith("Question: ")
    assert step["command"] in step["prompt"] or step["command"].split()[0] in ("next", "store")
    assert json.loads((tmp_path / "episodes.jsonl").read_text().splitlines()[0])["agent"] == "LLMAgent"


def test_saved_and_loaded_it_is_the_same(agent, venv, tmp_path):
    agent.save(tmp_path / "agent.json")
    again = LLMAgent.load(tmp_path / "agent.json", venv, device="cpu")
    assert again.arguments == agent.arguments
    assert "key" not in (tmp_path / "agent.json").read_text()


def test_what_cannot_be_is_refused(model_folder, agent, venv):
    with pytest.raises(ValueError, match="attach"):
        agent.act(venv.reset())
    with pytest.raises(ValueError, match="constrained replies need environments"):
        agent.reply([[{"role": "user", "content": "x"}]])
    with pytest.raises(ValueError, match="reply takes a list of chats, got one chat"):
        agent.reply([{"role": "user", "content": "x"}])
    with pytest.raises(UnknownNameError, match="unknown dtype 'bfloat': did you mean 'bfloat16'"):
        LLMAgent(model=str(model_folder), dtype="bfloat")
    with pytest.raises(ValueError, match="template must be a mapping"):
        LLMAgent(model=str(model_folder), template=3)
    with pytest.raises(ValueError, match=r"temperature must not be negative, .* got nan"):
        LLMAgent(model=str(model_folder), device="cpu", temperature=float("nan"))
    with pytest.raises(ValueError, match="env must be environments by number, as make_vec_env makes them, got OrderEnforcing"):
        agent.attach(gym.make("ReasonGymText-bAbI-qa1-v0"))
    with pytest.raises(ValueError, match="problems must be at least 1"):
        evaluate(agent, "ReasonGym-bAbI-qa1-v0", problems=0)
    with pytest.raises(TypeError, match="timeout: for models behind a url only"):
        LLMAgent(model=str(model_folder), timeout=3)
    with pytest.raises(UnknownNameError, match="unknown keyword of LLMAgent 'constraned': did you mean 'constrained'"):
        LLMAgent(model=str(model_folder), constraned=True)
    with pytest.raises(TypeError, match="dtype, template: for models in this process only"):
        LLMAgent(model="m", url="http://127.0.0.1:9/v1", dtype="bfloat16", template={"enable_thinking": False})
    with pytest.raises(ValueError, match="a server cannot be held"):
        LLMAgent(model="m", url="http://127.0.0.1:9/v1", constrained=True)
    with pytest.raises(ValueError, match="on_failure must be"):
        LLMAgent(model=str(model_folder), on_failure="ignore")


def _talking():
    path = Path(__file__).resolve().parents[2] / "prm" / "judge" / "talking.py"
    spec = importlib.util.spec_from_file_location("talking_to_agents", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.Talking()


@pytest.fixture
def talking():
    pytest.importorskip("openai")
    server = _talking()
    yield server
    server.stop()


def test_a_server_plays(talking):
    def reply(asked: str) -> str:
        return "I read on.\nnext" if "next;" in asked or "now: next" in asked else "answer kitchen"

    talking.reply = reply
    agent = LLMAgent(model="m", url=talking.url)
    found = evaluate(agent, ID, problems=6, num_envs=6, **KEYWORDS)
    assert found.problems == 6
    assert agent.ledger["no_command"] == 0
    assert agent.ledger["tokens_in"] == 100 * agent.ledger["replies"]
    assert "Choices: " not in talking.asked[0]  # rules and worked episode stand in the system turn
    assert talking.asked[0].startswith("Question: ")


def test_a_server_is_told_how_to_sample(talking):
    talking.reply = lambda asked: "next"
    agent = LLMAgent(model="m", url=talking.url, temperature=0.7, top_p=0.9, request={"seed": 5})
    agent.reply([[{"role": "user", "content": "x"}]])
    assert {name: talking.last.get(name) for name in ("temperature", "top_p", "seed")} == {
        "temperature": 0.7, "top_p": 0.9, "seed": 5,
    }  # fmt: skip


def test_a_server_that_dies_is_counted_or_raises(talking):
    talking.die_after = 0
    talking.reply = lambda asked: "next"
    strict = LLMAgent(model="m", url=talking.url, max_retries=0)
    with pytest.raises(Exception, match="no connection"):
        evaluate(strict, ID, problems=2, num_envs=2, **KEYWORDS)
    lenient = LLMAgent(model="m", url=talking.url, max_retries=0, on_failure="no-op")
    found = evaluate(lenient, ID, problems=2, num_envs=2, **KEYWORDS)
    assert found.accuracy == 0.0
    assert lenient.ledger["failed"] == lenient.ledger["replies"] > 0


def test_a_server_that_lies_does_no_harm(talking):
    talking.reply = lambda asked: "store 99\nanswer \x00" + "x" * 5000
    agent = LLMAgent(model="m", url=talking.url)
    assert evaluate(agent, ID, problems=2, num_envs=2, **KEYWORDS).accuracy == 0.0
