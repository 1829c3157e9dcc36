"""Minari data sets: what is loaded is what was played, bit for bit, and plays again."""

from __future__ import annotations

import json
import runpy
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest

import reasongym  # noqa: F401
from reasongym.errors import UnknownNameError
from reasongym.registration import ENTRY_POINT
from reasongym.wrappers import FlattenTokens

minari = pytest.importorskip("minari", reason="minari is not installed")
pytest.importorskip("h5py", reason="h5py is not installed")
from minari.data_collector import EpisodeBuffer  # noqa: E402

from reasongym.adapters.minari import MinariRecorder, load, record, save  # noqa: E402

ARRAYS, TEXT = "ReasonGym-bAbI-qa1-v0", "ReasonGymText-bAbI-qa1-v0"
SHORT = {"difficulty": {"max_units": 4}, "memory_slots": 2}
PRM = """
import numpy as np

class Halves:
    criteria, needs_annotation, version, default_beta = ("half/full", "größe", ".", ""), False, "halves-1", {}

    def score(self, steps):
        third = np.float32(1 / 3) * (1 + steps.kind)
        return np.stack([np.where(steps.kind == 0, np.nan, third / 6), -third / 6, np.full(len(steps), np.nan), third / 9], 1)
"""
REPLIES = (
    "",
    "größer: 漢字 😀\nnext",
    "store 1: Ünders\u2028tood",
    "\x00",
    "\x10",
    "\x100000 \x10\x00",
    "\ud800next",
    " \r\n",
    "next",
)


@pytest.fixture(autouse=True)
def _own_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "datasets"))
    (tmp_path / "datasets").mkdir()


def bits(value):
    """Whatever it is, with every bit, and no two things alike that are not."""
    if isinstance(value, dict):
        return {key: bits(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [bits(item) for item in value]
    if isinstance(value, (np.ndarray, np.generic)):
        return value.dtype.str, value.shape, value.tobytes()
    return type(value), value


def episode_bits(episode):
    fields = ("observations", "actions", "rewards", "terminations", "truncations", "infos", "seed", "options")
    return {name: bits(getattr(episode, name)) for name in fields}


def played(env, reset, actions):
    """The episode that these actions make, gathered here from what Gymnasium returns."""
    observation, _ = env.reset(**reset)
    observations, steps = [observation], []
    for action in actions:
        observation, *result = env.step(action)
        observations.append(observation)
        steps.append(result)
    rewards, terminations, truncations, infos = zip(*steps, strict=True)
    if isinstance(observation, dict):
        observations = {key: np.array([o[key] for o in observations]) for key in observation}
        actions = np.array(actions, np.int64)
    columns = {
        block: {name: np.array([info[block][name] for info in infos], np.float64) for name in infos[0][block]}
        for block in ("prm_scores", "reward_terms")
    }
    right = np.array([info.get("is_success", False) for info in infos])
    return EpisodeBuffer(
        seed=reset["seed"],
        options=reset["options"],
        observations=observations,
        actions=list(actions) if isinstance(actions, tuple) else actions,
        rewards=np.array(rewards, np.float64),
        terminations=np.array(terminations),
        truncations=np.array(truncations),
        infos={"is_success": right, **columns},
    )


@pytest.fixture
def prm(tmp_path):
    (tmp_path / "halves.py").write_text(PRM, encoding="utf-8")
    return f"{tmp_path / 'halves.py'}:Halves"


def test_arrays_come_back_bit_for_bit(prm):
    sent = []

    def policy(observation, info):
        sent.append(int(np.flatnonzero(info["action_mask"])[-1 if len(sent) % 3 else 0]))
        return sent[-1]

    keywords = {"prm": prm, "observer": "lexical", **SHORT}
    episodes = record(policy, ARRAYS, "mine/arrays-v0", [3, 0, 7], seed=5, **keywords)
    assert (episodes.env_id, episodes.keywords, len(episodes)) == (ARRAYS, keywords, 3)
    env, found = gym.make(ARRAYS, **keywords), list(load("mine/arrays-v0"))
    for problem, episode in zip((3, 0, 7), found, strict=True):
        actions = [sent.pop(0) for _ in range(len(episode))]
        expected = played(env, {"seed": 5, "options": {"problem": problem}}, actions)
        assert episode_bits(episode) == episode_bits(expected)
    assert not sent
    scores = np.concatenate([episode.infos["prm_scores"]["half/full"] for episode in found])
    assert np.isnan(scores).any()
    assert not np.isnan(scores).all()
    assert np.isnan(np.concatenate([episode.infos["prm_scores"]["."] for episode in found])).all()


def test_texts_come_back_bit_for_bit():
    replies = iter(REPLIES)
    keywords = {"history": 1, "max_episode_steps": len(REPLIES), **SHORT}
    record(lambda observation, info: next(replies), TEXT, "mine/text-v0", [4], **keywords)
    (episode,) = load("mine/text-v0")
    expected = played(gym.make(TEXT, **keywords), {"seed": 0, "options": {"problem": 4}}, REPLIES)
    assert episode_bits(episode) == episode_bits(expected)
    assert episode.actions == list(REPLIES)
    assert episode.truncations.tolist() == [False] * (len(REPLIES) - 1) + [True]
    assert "漢字 😀" in episode.observations[2]


@pytest.mark.parametrize("env_id", [ARRAYS, TEXT, "ReasonGym-SQuAD2-v0"])
def test_episodes_play_again_in_the_environment_that_is_made(env_id):
    record("random", env_id, "mine/random-v0", problems=3, seed=2, memory_slots=3, max_episode_steps=30)
    episodes = load("mine/random-v0")
    assert episodes.keywords == {"memory_slots": 3, "max_episode_steps": 30}
    env = episodes.make()
    for episode in episodes:
        actions = tuple(episode.actions) if isinstance(episode.actions, list) else episode.actions
        again = played(env, {"seed": episode.seed, "options": episode.options}, actions)
        assert episode_bits(again) == episode_bits(episode)


def test_without_slots_or_chain():
    for name in ("memory_slots", "chain_length"):
        with pytest.raises(ValueError, match=rf"shape \(0, 12\): record with .*{name}"):
            record("random", ARRAYS, "empty-v0", problems=1, **{name: 0})
    record("random", TEXT, "empty-v0", problems=2, memory_slots=0)
    assert [episode.actions[-1].split()[0] for episode in load("empty-v0")] == ["answer", "answer"]


def test_the_expert_is_always_right_and_minari_reads_it():
    about = {"author": "A. N. Other", "description": "größer"}
    episodes = record("expert", TEXT, "mine/expert-v0", problems=5, about=about, **SHORT)
    assert all(episode.infos["is_success"][-1] and episode.actions[-1].startswith("answer ") for episode in episodes)
    dataset = minari.load_dataset("mine/expert-v0")
    assert dataset.total_steps == sum(map(len, episodes))
    assert dataset.storage.metadata["author"] == {"A. N. Other"}
    assert [e.actions for e in dataset] == [e.actions for e in episodes]
    assert dataset.recover_environment().unwrapped.batch.shapes.slots == 2


def test_an_id_that_was_registered_with_an_object():
    source = runpy.run_path(str(Path(__file__).parents[2] / "examples" / "add_a_task.py"))["ShellGame"]()
    gym.register("OwnTask-v0", ENTRY_POINT, kwargs={"dataset": source})
    try:
        episodes = record("expert", "OwnTask-v0", "own-task-v0", problems=2, memory_slots=4)
        assert episodes.keywords == {"memory_slots": 4}
        assert episodes.make().unwrapped.source.name == source.name
    finally:
        del gym.registry["OwnTask-v0"]


def test_parts_load_and_are_written_again():
    record("random", ARRAYS, "mine/all-v0", problems=8, **SHORT)
    whole = list(load("mine/all-v0"))
    chosen = minari.load_dataset("mine/all-v0").filter_episodes(lambda episode: episode.id % 3 == 0)
    part = load(chosen)
    kept = whole[::3]
    assert len(part) == 3
    assert [*map(episode_bits, part)] == [*map(episode_bits, kept)]
    again = save(list(part), part.make(), "mine/part-v0")
    assert [*map(episode_bits, again)] == [*map(episode_bits, load("mine/part-v0"))] == [*map(episode_bits, kept)]


def test_a_loop_of_ones_own_drops_what_did_not_end():
    env = MinariRecorder(gym.make(ARRAYS, **SHORT))
    env.reset(seed=1)
    env.step(0)
    env.reset()
    ended = False
    while not ended:
        _, _, ended, _, info = env.step(env.unwrapped.expert_action())
    (episode,) = save(env.episodes, env, "own-v0")
    assert episode.seed is None
    assert episode.options == {"problem": info["problem"]}
    assert episode.infos["is_success"][-1]


class Counter:
    """An agent that counts the steps of its episode in its state."""

    def __init__(self):
        self.seen = []

    def act(self, observation, state=None, episode_start=None, deterministic=True):
        state = 0 if state is None else state
        self.seen.append((state, bool(episode_start[0])))
        return observation["action_mask"].argmax(1), state + 1


def test_agents_begin_each_episode_anew():
    agent = Counter()
    episodes = record(agent, ARRAYS, "agent-v0", problems=2, **SHORT)
    assert agent.seen == [(step, step == 0) for episode in episodes for step in range(len(episode))]


def edited(dataset_id, change):
    path = minari.load_dataset(dataset_id).storage.data_path / "metadata.json"
    metadata = json.loads(path.read_text())
    change(metadata)
    path.write_text(json.dumps(metadata))


def test_data_sets_that_do_not_fit():
    record("random", ARRAYS, "mine/one-v0", problems=1, **SHORT)
    with pytest.raises(ValueError, match=r"'mine/one-v0' is there already, in .*delete it first"):
        record("random", ARRAYS, "mine/one-v0", problems=1)
    with pytest.raises(UnknownNameError, match="did you mean 'mine/one-v0'"):
        load("mine/ona-v0")
    for malformed in ("mine/one", "../one-v0", "-v0", "a b-v0"):
        with pytest.raises(ValueError, match="name-v0', got"):
            record("random", ARRAYS, malformed, problems=1)
    edited("mine/one-v0", lambda metadata: metadata["reasongym"].update(fingerprint="other"))
    with pytest.raises(ValueError, match=r"fingerprint 'other'.* the data have changed"):
        load("mine/one-v0").make()
    assert load("mine/one-v0").make(split="validation").unwrapped.source.split == "validation"
    edited("mine/one-v0", lambda metadata: metadata["reasongym"].update(format=2))
    with pytest.raises(ValueError, match=r"of format 2, .* reads format 1"):
        load("mine/one-v0")
    edited("mine/one-v0", lambda metadata: metadata.pop("reasongym"))
    with pytest.raises(ValueError, match="was not written by reasongym"):
        load("mine/one-v0")


class Reader(Counter):
    def attach(self, env):
        pass


class Thrift:
    criteria, needs_annotation, version, default_beta = ("thrift",), False, "thrift-1", {}

    def score(self, steps):
        return np.zeros((len(steps), 1), np.float32)


@pytest.mark.parametrize(
    ("policy", "env_id", "keywords", "error", "message"),
    [
        ("expart", ARRAYS, {}, UnknownNameError, "unknown policy 'expart': did you mean 'expert'"),
        (7, ARRAYS, {}, TypeError, "a policy is a function .*, got 7"),
        (Reader(), ARRAYS, {}, TypeError, "Reader reads the environments"),
        ("random", "CartPole-v1", {}, TypeError, "recorded of ReasonGym environments"),
        ("random", ARRAYS, {"prm": Thrift()}, TypeError, "prm=.* cannot be written .* by name"),
        ("random", ARRAYS, {"about": {"autor": "I"}}, UnknownNameError, "did you mean 'author'"),
        ("random", ARRAYS, {"problems": []}, ValueError, "no episodes"),
    ],
)
def test_what_cannot_be_recorded(policy, env_id, keywords, error, message, tmp_path):
    with pytest.raises(error, match=message):
        record(policy, env_id, "bad-v0", **{"problems": 1, **keywords})
    assert not (tmp_path / "datasets" / "bad-v0").exists()


def test_wrappers_go_around_the_recorder():
    with pytest.raises(TypeError, match="put FlattenTokens around MinariRecorder"):
        MinariRecorder(FlattenTokens(gym.make(ARRAYS)))


def test_a_data_set_is_written_whole_or_not_at_all(tmp_path):
    env = gym.make(ARRAYS, **SHORT)
    episodes = list(record("random", ARRAYS, "good-v0", problems=1, **SHORT))
    broken = EpisodeBuffer(observations=object(), actions=np.zeros(1), infos=episodes[0].infos)
    with pytest.raises((TypeError, AssertionError, ValueError)):
        save([*episodes, broken], env, "half-v0")
    assert not (tmp_path / "datasets" / "half-v0").exists()
