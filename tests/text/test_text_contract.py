"""The contract of the text ids: Gymnasium's checker, spaces, vectors of all kinds, prompts, bad input."""

from __future__ import annotations

import pickle
import re
import warnings

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.error import ResetNeeded
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AsyncVectorEnv, SyncVectorEnv

import reasongym  # noqa: F401
from reasongym.errors import UnknownNameError
from reasongym.registration import IDS, TEXT_IDS
from reasongym.tasks.prose.source import passages
from reasongym.text.commands import read
from reasongym.text.env import ReasonGymTextEnv
from reasongym.text.spaces import Prose
from reasongym.text.vector import ReasonGymTextVectorEnv
from reasongym.wrappers import RecordTrajectories
from tests.engine.span_source import SpanTexts

ID = "ReasonGymText-bAbI-qa1-v0"
SPANS = SpanTexts([(("The cat of Dr. Who sat.", "It was born in New York."), "Where?", ("New York",), (1,))])


def test_every_id_has_a_twin():
    assert [env_id.replace("Text", "", 1) for env_id in TEXT_IDS] == list(IDS)
    assert [env_id for env_id in gym.registry if env_id.startswith("ReasonGymText-")] == list(TEXT_IDS)


@pytest.mark.parametrize("env_id", TEXT_IDS)
def test_gymnasium_checker(env_id):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(gym.make(env_id, disable_env_checker=True).unwrapped, skip_render_check=True)


def test_gymnasium_checker_where_answers_are_spans_and_with_history():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(ReasonGymTextEnv(dataset=SPANS, memory_slots=2, history=3), skip_render_check=True)
        check_env(gym.make(ID, render_mode="ansi").unwrapped)


@pytest.mark.parametrize("env_id", ["ReasonGymText-bAbI-v0", ID])
def test_make_vec(env_id):
    env = gym.make_vec(env_id, num_envs=3)
    assert isinstance(env.unwrapped, ReasonGymTextVectorEnv)
    observation, info = env.reset(seed=1)
    assert observation in env.observation_space
    assert info["system"][0] == info["messages"][0][0]["content"]
    for _ in range(5):
        observation, reward, *_ = env.step(env.action_space.sample())
        assert observation in env.observation_space
    assert reward.dtype == np.float64


def test_vectors_of_gymnasium():
    sync = gym.make_vec(ID, num_envs=2, vectorization_mode="sync")
    assert isinstance(sync.unwrapped, SyncVectorEnv)
    observation, _ = sync.reset(seed=[4, 5])
    alone = gym.make(ID)
    assert observation[1] == alone.reset(seed=5)[0]
    assert sync.step(("next", "next"))[0][1] == alone.step("next")[0]


def test_processes_need_no_shared_memory():
    envs = [lambda: gym.make(ID, instructions="none")] * 2
    with pytest.raises(ValueError, match="shared_memory=False"):
        AsyncVectorEnv(envs)
    env = AsyncVectorEnv(envs, shared_memory=False)
    try:
        observation, _ = env.reset(seed=[4, 5])
        assert observation[0] == gym.make(ID).reset(seed=4)[0]
        observation, *_ = env.step(("store 1", "gibberish"))
        assert "1 of" in observation[0]
    finally:
        env.close()


def test_the_space_of_prose():
    space = Prose(10, ["next", "store 1"], seed=0)
    assert "naïve 漢\x00" in space
    assert "" in space
    assert "x" * 11 not in space
    assert 3 not in space
    assert {space.sample() for _ in range(50)} == {"next", "store 1"}
    again = pickle.loads(pickle.dumps(space))
    assert again == space
    assert [again.sample() for _ in range(9)] == [space.sample() for _ in range(9)]
    assert space != Prose(11, ["next", "store 1"])
    with pytest.raises(ValueError, match="neither mask nor probability"):
        space.sample(mask=(None, None))


@pytest.mark.parametrize("env_id", TEXT_IDS)
def test_prompts_hold_rules_and_a_worked_episode(env_id):
    env = gym.make(env_id, split="test", memory_slots=3).unwrapped
    _, info = env.reset(seed=0)
    system = info["system"]
    assert "slot K (1 to 3)" in system
    assert all(choice in system for choice in env.choices)
    replies = [part.split("\n\n")[0] for part in system.split("[reply]\n")[1:]]
    commands = [read(reply, spans=False)[1] for reply in replies]
    assert commands[-1].verb == "answer"
    assert "recall" in {command.verb for command in commands}
    assert not env.choices or env.interface.commands.choice(commands[-1].words) is not None
    assert [message["role"] for message in info["messages"]] == ["system", "user"]
    assert "system" not in gym.make(env_id, instructions="none").reset(seed=0)[1]["messages"][0].values()


def test_the_worked_passage_where_answers_are_spans():
    system = ReasonGymTextEnv(dataset=SPANS, memory_slots=2, units_per_slot=1).reset(seed=0)[1]["system"]
    question = re.findall(r"Question: (.*)", system)[0]
    source = passages(num_problems=20)
    problem = next(problem for problem in map(source.problem, range(20)) if problem.question == question)
    assert len(problem.support) == 2
    assert system.endswith(f"[reply]\nNow the answer follows.\nanswer {problem.answers[0]}")
    assert "Choices" not in system
    assert "[situation]" in ReasonGymTextEnv(tasks=(1,), memory_slots=0).reset(seed=0)[1]["system"]


def test_history_repeats_turns_and_is_forgotten_at_reset():
    env = ReasonGymTextEnv(tasks=(1,), history=2, instructions="none")
    first, info = env.reset(seed=0)
    assert len(info["messages"]) == 1
    second, *_ = env.step("Hm.\nnext")
    assert second.startswith(f"[1 turn ago]\n{first}\n> Hm.\n> next\n\n[now]\nQuestion")
    env.step("Commands now: answer garden.\nQuestion: fake")
    observation, *_, info = env.step("next")
    assert [message["role"] for message in info["messages"]] == ["user", "assistant", "user", "assistant", "user"]
    assert info["messages"][1]["content"] == "Commands now: answer garden.\nQuestion: fake"
    assert "> Commands now: answer garden.\n> Question: fake" in observation
    assert observation in env.observation_space
    assert len(env.reset()[1]["messages"]) == 1


def test_a_long_reply_does_not_break_the_space_with_history():
    env = ReasonGymTextEnv(tasks=(1,), history=3)
    env.reset(seed=0)
    for reply in ("\n" * 1_000_000, "x" * 1_000_000, "x\n" * 9_000):
        observation, *_ = env.step(reply)
        assert observation in env.observation_space


@pytest.mark.parametrize(
    ("keywords", "error", "message"),
    [
        ({"history": -1}, ValueError, "history must be a whole number"),
        ({"history": True}, ValueError, "history must be a whole number"),
        ({"instructions": "ful"}, UnknownNameError, "did you mean 'full'"),
        ({"render_mode": "rgb_array"}, UnknownNameError, "unknown render mode"),
        ({"memory_slot": 3}, UnknownNameError, "did you mean 'memory_slots'"),
    ],
)
def test_bad_keywords(keywords, error, message):
    with pytest.raises(error, match=message):
        ReasonGymTextEnv(tasks=(1,), **keywords)


def test_bad_actions():
    env = ReasonGymTextEnv(tasks=(1,))
    with pytest.raises(ResetNeeded):
        env.step("next")
    env.reset(seed=0)
    with pytest.raises(TypeError, match="an action is a string such as 'next' or 'store 1', got 3"):
        env.step(3)
    vector = ReasonGymTextVectorEnv(num_envs=2, tasks=(1,), autoreset_mode="Disabled", max_steps=1)
    with pytest.raises(ResetNeeded):
        vector.step(("next", "next"))
    vector.reset(seed=0)
    for bad, got in (("next", "'next'"), (("next",), "1 actions")):
        with pytest.raises(ValueError, match=f"expected 2 strings, one an environment, got {got}"):
            vector.step(bad)
    vector.step(("next", "next"))
    with pytest.raises(ResetNeeded, match=r"environments \[0, 1\] have ended"):
        vector.step(("next", "next"))


def test_truncation_from_outside():
    single = gym.make(ID, max_episode_steps=3)
    vector = gym.make_vec(ID, num_envs=2, max_episode_steps=3)
    single.reset(seed=2), vector.reset(seed=2)
    for _ in range(3):
        a, b = single.step("hm"), vector.step(("hm", "hm"))
        assert a[:4] == (b[0][0], b[1][0], b[2][0], b[3][0])
    assert a[3]


def test_a_refused_vector_step_leaves_nothing_behind():
    vector = ReasonGymTextVectorEnv(num_envs=2, tasks=(1,), instructions="none")
    vector.reset(seed=0)
    with pytest.raises(TypeError, match="got None"):
        vector.step(("store 1: hello", None))
    assert "hello" not in vector.step(("store 1", "next"))[0][0]
    assert vector.batch.memory.slots["noted"][0, 0] == 0


def test_recording_by_number_says_what_to_do_instead(tmp_path):
    with pytest.raises(TypeError, match="keep info\\['thought'\\]"):
        RecordTrajectories(gym.make(ID), tmp_path)


def test_rendering(capsys):
    env = ReasonGymTextEnv(tasks=(1,), render_mode="human", instructions="none")
    observation, _ = env.reset(seed=0)
    assert capsys.readouterr().out == f"{observation}\n\n"
    env = ReasonGymTextEnv(tasks=(1,), render_mode="ansi")
    env.reset(seed=0)
    assert env.step("next")[0] == env.render()
