"""Text environments as tools: what TRL sees of them, and that they play as the text environments do."""

from __future__ import annotations

import inspect
import pickle

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.error import ResetNeeded
from reference import other_labels

from reasongym.adapters.trl import RULES, MemoryTools, call_of, environment_factory, problem_rows
from reasongym.errors import UnknownNameError
from reasongym.tasks import babi
from reasongym.text.env import ReasonGymTextEnv
from tests.engine.span_source import SpanTexts
from tests.text.test_own_words import Tale

CLOSED, SPANS = "ReasonGymText-bAbI-qa2-v0", "ReasonGymText-SQuAD2-v0"
KEYWORDS = {"memory_slots": 2, "units_per_slot": 1, "chain_length": 3, "difficulty": {"max_units": 6}}
TEXTS = [(("Rain fell in May.", "Snow fell in June."), "When did it snow?", answers, (1,)) for answers in (("June",), ("May",))]


def tools_of(environment):
    """What TRL 1.16 takes for tools, in its own words."""
    members = [name for name, _ in inspect.getmembers(type(environment), predicate=inspect.isfunction)]
    return {name for name in members if name not in ("reset", "get_reward") and not name.startswith("_")}


def play(environment, call):
    name, arguments = call
    return getattr(environment, name)(**arguments)


@pytest.mark.parametrize(
    ("env_id", "keywords", "tools"),
    [
        (CLOSED, {}, {"next", "store", "update", "recall", "answer"}),
        (CLOSED, {"memory_slots": 0}, {"next", "answer"}),
        (SPANS, {}, {"next", "store", "update", "recall", "answer", "start", "end"}),
    ],
)
def test_the_tools_are_the_commands_and_nothing_else(env_id, keywords, tools):
    schema = pytest.importorskip("transformers.utils").get_json_schema
    environment = environment_factory(env_id, **keywords)()
    assert tools_of(environment) == tools
    assert not isinstance(environment, gym.Env)
    for name in tools:
        told = schema(getattr(environment, name))["function"]
        assert told["name"] == name
        assert told["description"]
        assert told["return"] == {"type": "string"}
        for argument in told["parameters"]["properties"].values():
            assert argument["type"] in ("integer", "string")
            assert argument["description"]


def test_only_what_a_tool_needs_is_required():
    schema = pytest.importorskip("transformers.utils").get_json_schema
    environment = environment_factory(CLOSED, **KEYWORDS)()
    required = [schema(getattr(environment, name))["function"]["parameters"].get("required") for name in ("next", "store")]
    assert required == [None, ["slot"]]


CALLS = [
    ("next", {}, "next"),
    ("store", {"slot": 1}, "store 1"),
    ("store", {"slot": 2, "words": "John is in the garden"}, "store 2: John is in the garden"),
    ("store", {"slot": "1"}, "store 1"),
    ("store", {"slot": 7}, "store 7"),
    ("store", {"slot": None}, "nothing that parses"),
    ("update", {"slot": 1}, "update 1"),
    ("recall", {"slot": 1}, "recall 1"),
    ("recall", {"slot": 2}, "recall 2"),
    ("answer", {"words": "kitchen"}, "answer kitchen"),
]


@pytest.mark.parametrize("env_id", [CLOSED, SPANS])
def test_an_episode_is_that_of_the_text_environment(env_id):
    keywords = {name: value for name, value in KEYWORDS.items() if env_id == CLOSED or name != "difficulty"}
    environment = environment_factory(env_id, **keywords)()
    text = gym.make(env_id, instructions="none", **keywords)
    draw, ended, rewards = np.random.default_rng(0), 0, []
    for problem in range(12):
        situation, _ = text.reset(options={"problem": problem})
        assert environment.reset(problem=problem, prompt=[]) == situation
        rewards = []
        for choice in draw.integers(len(CALLS) - (problem % 2), size=40).tolist():
            name, arguments, reply = CALLS[choice]
            situation, reward, terminated, truncated, _ = text.step(reply)
            rewards.append(float(reward))
            assert play(environment, (name, arguments)) == situation
            assert environment.over == (terminated or truncated)
            if environment.over:
                break
        assert environment.rewards == rewards
        assert environment.get_reward() == sum(rewards)
        ended += environment.over
    assert ended >= 4


@pytest.mark.parametrize("env_id", [CLOSED, SPANS, "ReasonGymText-bAbI-qa8-v0"])
def test_the_expert_plays_through_tools(env_id):
    environment = environment_factory(env_id)()
    text = environment.env.unwrapped
    for problem in range(6):
        environment.reset(problem=problem)
        while not environment.over:
            play(environment, call_of(text.expert_action()))
        assert environment.info["is_success"]
        assert all(environment.commands)


def test_no_words_of_a_model_become_a_command_of_their_own():
    environment = environment_factory(CLOSED, **KEYWORDS)()
    environment.reset(problem=0)
    environment.store(1, "a note\nanswer kitchen")
    environment.store("1\nnext")
    environment.next()
    environment.answer("nowhere\rnext")
    assert environment.commands == ["store 1: a note answer kitchen", "", "next", "answer nowhere next"]


def test_nothing_that_is_shown_depends_on_gold():
    closed = babi.load((2,), num_problems=8)
    problems = [closed.problem(i) for i in range(8)]
    twins = [other_labels(problem, closed.choices) for problem in problems]
    sides = [(Tale(closed, problems), Tale(closed, twins), 8), (SpanTexts(TEXTS[:1]), SpanTexts(TEXTS[1:]), 1)]
    for source, other, count in sides:
        environments = [
            MemoryTools(ReasonGymTextEnv(dataset=one, memory_slots=2, instructions="none")) for one in (source, other)
        ]
        draw, paid, calls = np.random.default_rng(1), [], [*CALLS, ("answer", {"words": "June"}, "")]
        for problem in [*range(count)] * 6:
            first, second = (environment.reset(problem=problem) for environment in environments)
            assert first == second
            while not environments[0].over:
                name, arguments, _ = calls[draw.integers(len(calls))]
                first, second = (play(environment, (name, arguments)) for environment in environments)
                assert first == second
            assert environments[1].over
            paid.append(environments[0].rewards != environments[1].rewards)
        assert any(paid)  # the other labels are others indeed


def test_a_call_outside_an_episode_is_no_step():
    environment = environment_factory(CLOSED, **KEYWORDS)()
    with pytest.raises(ResetNeeded, match="reply without calling a tool"):
        environment.next()
    environment.reset(problem=0)
    with pytest.raises(TypeError):
        environment.store(place=1)
    assert environment.rewards == []
    environment.env.unwrapped.batch.memory.state["cursor"] = environment.env.unwrapped.batch.memory.state["num_units"]
    environment.answer("kitchen")
    assert environment.over
    with pytest.raises(ResetNeeded, match="over"):
        environment.next()
    assert len(environment.rewards) == 1
    environment.reset(problem=1)
    assert (environment.rewards, environment.commands, environment.over) == ([], [], False)


def test_a_time_limit_ends_an_episode():
    environment = environment_factory(CLOSED, max_episode_steps=2, **KEYWORDS)()
    environment.reset(problem=0)
    environment.next()
    assert not environment.over
    environment.next()
    assert environment.over


def test_what_cannot_be_played_is_refused():
    with pytest.raises(TypeError, match="tools need a text id"):
        environment_factory("ReasonGym-bAbI-qa2-v0")
    with pytest.raises(UnknownNameError, match="memory_slots"):
        environment_factory(CLOSED, memory_slot=2)
    environment = environment_factory(CLOSED)()
    with pytest.raises(ValueError, match="column 'problem'"):
        environment.reset(prompt=[])
    with pytest.raises(IndexError):
        environment.reset(problem=10**9)
    with pytest.raises(ValueError, match="is no command"):
        call_of("hello")


def test_a_factory_can_be_sent_to_another_process():
    environment = pickle.loads(pickle.dumps(environment_factory(CLOSED, **KEYWORDS)))()
    assert "Question" in environment.reset(problem=1)


def test_rows_hold_the_problem_and_a_prompt_to_append_to():
    pytest.importorskip("datasets")
    rows = problem_rows(np.arange(3, 5), environment="two hops")
    assert rows["problem"][:] == [3, 4]
    assert rows[0]["environment"] == "two hops"
    assert rows[0]["prompt"] == [{"role": "system", "content": RULES}, {"role": "user", "content": ""}]
    assert problem_rows([0], rules="")[0]["prompt"] == [{"role": "user", "content": ""}]
