"""The text twin does what the array twin does: same problems, rewards, terms and ends, and it shows the same."""

from __future__ import annotations

import copy
import pickle

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode

import reasongym  # noqa: F401
from reasongym.envs import ReasonGymEnv
from reasongym.registration import TEXT_IDS
from reasongym.text.env import ReasonGymTextEnv
from reasongym.text.vector import ReasonGymTextVectorEnv
from tests.engine.span_source import SpanTexts

SPANS = [
    (("The cat of Dr. Who sat.", "It was born in New York City.", "Nobody knows why."), "Where?", ("New York City",), (1,)),
    (("Rain fell.", "It was cold in May."), "Why?", (), ()),
    (("One two.", "Three four five.", "Six."), "What?", ("four five", "five"), (1, 2)),
]
VARIANTS = {
    "qa2": {"tasks": (2,)},
    "joint": {"tasks": tuple(range(1, 21)), "memory_slots": 3},
    "hidden": {"tasks": (3,), "memory_view": "recalled", "question_at": "end", "reason_when": "any", "memory_slots": 2},
    "observer": {"tasks": (2,), "observer": "lexical", "gate": "salience", "memory_slots": 2, "units_per_slot": 1},
    "lexical": {"tasks": (1,), "prm": "lexical", "utility": "coverage", "memory_slots": 2},
    "no slots": {"tasks": (15,), "memory_slots": 0, "chain_length": 0},
    "spans": {"dataset": SpanTexts(SPANS), "memory_slots": 2, "units_per_slot": 2, "chain_length": 3},
    "squad2": {"dataset": "squad2", "memory_slots": 3},
    "narrativeqa": {"dataset": "narrativeqa", "memory_slots": 2, "memory_view": "recalled", "max_steps": 150},
    "rouge": {"dataset": SpanTexts(SPANS, metric="rouge_l", right_at=0.5), "memory_slots": 2, "reason_when": "any"},
}


def pick(arrays, draw):
    """The expert's action, a legal or any action."""
    kind = draw.random()
    if kind < 0.3:
        return int(arrays.expert_action())
    legal = np.flatnonzero(arrays.action_masks())
    if kind < 0.85 and len(legal):
        early = legal[legal <= 3 * arrays.batch.shapes.slots]
        return int(draw.choice(early if len(early) and draw.random() < 0.8 else legal))
    return int(draw.integers(arrays.action_space.n))


def assert_shown(text, arrays, observation):
    """What the array observation holds is in the text, in words."""
    batch = arrays.batch
    words = lambda row: " ".join(arrays.vocabulary[t - 1] for t in row if t)  # noqa: E731
    plain = lambda line: " ".join(  # noqa: E731
        words(np.array(arrays.source.tokenize(sentence))) for sentence in [line] if sentence
    )
    lines = text.split("\n")
    asked = observation["question"].any()
    question = lines[0].removeprefix("Question: ")
    assert (plain(question) if asked else "") == words(observation["question"])
    if observation["progress"][2]:
        assert plain(lines[2].split(": ", 1)[1]) == words(observation["unit"])
    else:
        assert not observation["unit"].any()
        assert lines[2].startswith("Desk is empty")
    n = int(batch.memory.state["num_units"][0])
    for head, tokens, positions in (("Memory", "memory", "memory_positions"), ("Chain", "chain", "chain_positions")):
        begin = next((i for i, line in enumerate(lines) if line.startswith(f"{head} (")), None)
        for k in range(len(observation[tokens])):
            places = np.rint(observation[positions][k][observation[positions][k] > 0] * n).astype(int)
            if not len(places):
                continue
            line = lines[begin + 1 + k]
            assert line.startswith(f"  {k + 1}. ")
            parts = line[len(f"  {k + 1}. ") :].split(f" of {n})")[: len(places)]
            assert [int(part.rsplit("(sentence ", 1)[1]) for part in parts] == places.tolist()
            said = [part.rsplit(" (sentence ", 1)[0].strip() for part in parts]
            if observation[tokens][k].any():
                width = batch.shapes.unit_tokens
                shown = [words(observation[tokens][k][j * width : (j + 1) * width]) for j in range(len(places))]
                assert [plain(sentence) for sentence in said] == shown
            else:
                assert set(said) == {"hidden"}
    if batch.settings.observer_model is not None:
        salience = [line for line in lines if "salience" in line]
        features = observation["memory_features"]
        for row, line in zip(features[features[:, 0] > 0], salience, strict=True):
            assert f"salience {row[2]:.2f}" in line
        for name, value in zip(batch.settings.observer_model.criteria, observation["scores"], strict=True):
            assert f"{name} {value:+.2f}" in text or f"{name} unscored" in text


@pytest.mark.parametrize("name", VARIANTS)
def test_the_same_step_by_step(name):
    arrays, text = ReasonGymEnv(**VARIANTS[name]), ReasonGymTextEnv(**VARIANTS[name], instructions="none")
    draw, steps = np.random.default_rng(7), 0
    for episode in range(14):
        seed = 5 if episode == 0 else None
        observation, info = arrays.reset(seed=seed)
        shown, told = text.reset(seed=seed)
        ended = False
        while not ended:
            assert shown in text.observation_space
            assert_shown(shown, arrays, observation)
            assert np.array_equal(info["action_mask"], told["action_mask"])
            action = pick(arrays, draw)
            assert text.expert_action() == text.command(arrays.expert_action())
            observation, reward, ended, _, info = arrays.step(action)
            command = text.command(action)
            shown, again, over, truncated, told = text.step(f"I think.\n{command}")
            assert (again, over, truncated) == (reward, ended, False)
            assert told.pop("thought") == "I think."
            assert told.pop("command") == command
            assert [message["role"] for message in told.pop("messages")] == ["user"]
            assert list(info) == list(told)
            for key in info:
                np.testing.assert_equal(told[key], info[key])
            steps += 1
        assert shown.endswith("The episode is over.")
    assert steps > 14 * 3


def trajectory(env, steps, replies):
    out = []
    observation, info = env.reset(seed=3)
    for t in range(steps):
        reply = replies(observation, t)
        following, reward, terminated, _, info = env.step(reply)
        out.append((observation, reward, terminated, info["reward_terms"], info["command"], info["messages"]))
        observation = following
        if terminated:
            out[-1] += (observation, info["answer"])
            observation, info = env.reset()
    return out


def scripted(observation, t):
    """Replies that depend on nothing but what is shown."""
    legal = observation.rsplit("Commands now: ", 1)[1]
    options = ["next", "store 1: Mary moved to the kitchen", "recall 1", "gibberish", "store 2", "answer kitchen"]
    fits = [reply for reply in options if reply.split()[0] in legal] + ["gibberish"]
    return fits[len(observation) % len(fits)]


@pytest.mark.parametrize("mode", list(AutoresetMode))
@pytest.mark.parametrize(("history", "by_name"), [(0, True), (2, False)])
def test_a_vector_is_its_environments(mode, history, by_name):
    keywords = {"tasks": (1, 2), "memory_slots": 2, "history": history}
    vector, steps = ReasonGymTextVectorEnv(num_envs=3, autoreset_mode=mode.value if by_name else mode, **keywords), 60
    observations, info = vector.reset(seed=3)
    assert observations in vector.observation_space
    rows, resetting = [[] for _ in range(3)], np.zeros(3, bool)
    while min(map(len, rows)) < steps:
        replies = [scripted(text, 0) if not r else "ignored" for text, r in zip(observations, resetting, strict=True)]
        following, reward, terminated, _, info = vector.step(replies)
        told = info.get("final_info", info)
        last = info.get("final_obs", following)
        for i in np.flatnonzero(~resetting):
            terms = {k: v[i] for k, v in told["reward_terms"].items() if not k.startswith("_")}
            entry = (observations[i], reward[i], terminated[i], terms, told["command"][i], told["messages"][i])
            rows[i].append(entry + ((last[i], told["answer"][i]) if terminated[i] else ()))
        assert not info["_thought"][resetting].any()
        resetting = terminated & (mode == AutoresetMode.NEXT_STEP)
        observations = following
        if mode == AutoresetMode.DISABLED and terminated.any():
            observations, _ = vector.reset(options={"reset_mask": terminated})
    for i in range(3):
        single = ReasonGymTextEnv(**keywords)
        single.reset(seed=3, options={"env_index": i})
        reset, first = single.reset, [True]

        def patched(seed=None, reset=reset, first=first, i=i):
            begin, first[0] = first[0], False
            return reset(seed=3, options={"env_index": i}) if begin else reset()

        single.reset = patched
        alone = trajectory(single, steps, scripted)
        assert [entry[:3] for entry in alone] == [entry[:3] for entry in rows[i][:steps]]
        assert [entry[4:] for entry in alone] == [entry[4:] for entry in rows[i][:steps]]
        for a, b in zip(alone, rows[i], strict=False):
            assert a[3] == pytest.approx(b[3])


def as_told(env, i, command):
    return command


def written(env, i, command):
    """The expert's command, but for spans, in whose place the gold answer is written."""
    batch = env.unwrapped.batch
    gold = batch.source.problem(int(batch.memory.state["problem"][i])).answers
    pointed = command.split()[0] in ("start", "end", "abstain")
    if not gold or not pointed:
        return command
    return f'answer "{gold[0]}"' if gold[0].lower() == "none" else f"answer {gold[0]}"


def played_by_the_expert(env_id, problems, say=as_told, **keywords):
    """(P,) whether the expert's answers in words were right, and (P,) what it earned."""
    n = len(problems)
    env = gym.make_vec(env_id, num_envs=n, instructions="none", autoreset_mode="Disabled", **keywords)
    env.reset(seed=1, options={"problem": np.asarray(problems)})
    ended, right, total = np.zeros(n, bool), np.zeros(n, bool), np.zeros(n)
    for _ in range(600):
        _, reward, terminated, _, info = env.step(tuple(say(env, i, c) for i, c in enumerate(env.unwrapped.expert_action())))
        total += reward * ~ended
        if terminated.any():
            right[terminated] |= info["is_success"][terminated] & ~ended[terminated]
            ended |= terminated
            if ended.all():
                break
            env.reset(options={"reset_mask": terminated})
    assert ended.all()
    return right, total


@pytest.mark.parametrize("env_id", [i for i in TEXT_IDS if "-qa" in i])
def test_the_expert_is_always_right_in_words(env_id):
    right, total = played_by_the_expert(env_id, range(50))
    assert right.all()
    np.testing.assert_allclose(total, 1.8, atol=1e-5)


def test_the_expert_is_always_right_in_words_on_passages():
    for say in (as_told, written):
        right, _ = played_by_the_expert("ReasonGymText-SQuAD2-v0", range(200), say)
        assert right.all()


def test_the_expert_writes_every_answer_of_the_real_development_set(data_file):
    """Also the ten that no span of one unit reaches."""
    dev = str(data_file("squad/dev-v2.0-a.json.gz"))
    count = 6_142
    for begin in range(0, count, 500):
        problems = range(begin, min(begin + 500, count))
        right, _ = played_by_the_expert("ReasonGymText-SQuAD2-v0", problems, written, source=dev, split="validation")
        assert right.all()


def test_state_pickle_and_copy_resume_exactly():
    env = ReasonGymTextEnv(tasks=(2,), history=2, memory_slots=2, prm="lexical", reason_when="any")
    env.reset(seed=4)
    for reply in ("store 1: Mary is the best", "update 1", "recall 1", "hm", "store 2: apple milk"):
        env.step(reply)
    state = env.get_state()
    others = [pickle.loads(pickle.dumps(env)), copy.deepcopy(env), ReasonGymTextEnv(
        tasks=(2,), history=2, memory_slots=2, prm="lexical", reason_when="any")]  # fmt: skip
    others[2].set_state(state)
    ahead = [env.step(reply) for reply in ("recall 2", "next", "store 1", "answer nonsense")]
    env.set_state(state)
    for other in (env, *others):
        assert other.batch is other.interface.batch
        for reply, (observation, reward, ended, _, info) in zip(
            ("recall 2", "next", "store 1", "answer nonsense"), ahead, strict=True
        ):
            again = other.step(reply)
            assert again[:3] == (observation, reward, ended)
            assert again[4]["messages"] == info["messages"]
        assert again[4]["answer"] == "nonsense"


@pytest.mark.parametrize("mode", list(AutoresetMode))
def test_a_vector_pickles_and_copies(mode):
    env = ReasonGymTextVectorEnv(num_envs=3, tasks=(1, 2), history=1, memory_slots=2, autoreset_mode=mode)
    env.reset(seed=0)
    env.step(("store 1: hi", "next", "recall 1"))
    others = [pickle.loads(pickle.dumps(env)), copy.deepcopy(env)]
    for replies in (("update 1", "store 1: x y", "hm"), ("next", "update 1", "store 1")):
        observations, reward, *_ = env.step(replies)
        for other in others:
            again, earned, *_ = other.step(replies)
            assert again == observations
            assert (earned == reward).all()
