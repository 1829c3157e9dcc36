"""Whole episodes in words: what the viewer shows is what happened, and who wrote what is told right."""

from __future__ import annotations

import json

import gymnasium as gym
import numpy as np
import pytest

import reasongym  # noqa: F401
from reasongym.errors import PRMError
from reasongym.prm.base import ANSWER, NEXT, RECALL
from reasongym.prm.lexical import LexicalPRM
from reasongym.wrappers.episodes import EpisodeRecorder, write_episodes
from reasongym.wrappers.reasons import annotated_reasons

ID = "ReasonGym-bAbI-qa2-v0"
SMALL = {"num_problems": 50, "memory_slots": 3, "chain_length": 4, "difficulty": {"max_units": 6}}


def play(env, recorder, actions):
    """Plays the actions, then NEXT until an answer is legal, and answers; returns rewards and the episode."""
    rewards = [env.step(action)[1] for action in actions]
    answer, ended = 1 + 3 * 3 + 2, False
    while not ended:
        mask = env.unwrapped.action_masks()
        _, reward, ended, _, info = env.step(answer if mask[answer] else 0)
        rewards.append(reward)
    (episode,) = recorder.close()
    return rewards, episode, info


def test_an_episode_by_hand():
    env = gym.make(ID, **SMALL)
    env.reset(seed=0)
    recorder = EpisodeRecorder(env.unwrapped.batch, agent="me", environment=ID)
    problem = env.unwrapped.source.problem(int(env.unwrapped.batch.memory.state["problem"][0]))
    rewards, episode, info = play(env, recorder, (1, 2, 5, 1, 6))  # store 1, store 2, update 2, store 1, update 3 (illegal)
    steps = episode["steps"]
    assert (episode["agent"], episode["question"], episode["units"]) == ("me", problem.question, list(problem.story.units))
    assert [step["action"] for step in steps[:5]] == ["store 1", "store 2", "update 2", "store 1", "update 3"]
    assert [step["desk"] for step in steps[:6]] == [0, 1, 2, 3, 4, 4], "an illegal action leaves the desk as it is"
    assert steps[4]["invalid"] == steps[4]["reasons"]["validity"] == "the slot is empty: there is nothing to append to"
    assert steps[0]["slots"] == []
    assert [slot["units"] for slot in steps[3]["slots"]] == [[0], [1, 2]]
    assert steps[3]["slots"][1]["by"] == [[1, "store"], [2, "update"]], "who wrote each unit, and when"
    assert steps[4]["slots"][0]["units"] == [3]
    assert steps[4]["slots"][0]["by"] == [[3, "store"]], "what was there before is forgotten with its writer"
    assert [step["reward"] for step in steps] == pytest.approx(rewards)
    for step in steps:
        assert sum(step["terms"].values()) == pytest.approx(step["reward"], abs=1e-3)
    assert steps[-1]["desk"] is None
    assert (episode["success"], episode["answer"]) == (info["is_success"], env.unwrapped.choices[2])
    assert episode["return"] == pytest.approx(sum(rewards), abs=1e-4)
    assert episode["length"] == len(steps) == len(rewards)


def test_the_expert_recalls_what_is_needed_and_it_says_so():
    env = gym.make(ID, **SMALL)
    env.reset(seed=3)
    recorder, ended = EpisodeRecorder(env.unwrapped.batch, agent="expert"), False
    while not ended:
        ended = env.step(env.unwrapped.expert_action())[2]
    (episode,) = recorder.close()
    recalls = [t for t, step in enumerate(episode["steps"]) if step["kind"] == "recall"]
    chain = episode["end"]["chain"]
    assert [link["step"] for link in chain] == recalls
    assert [link["slot"] for link in chain] == [episode["steps"][t]["slot"] for t in recalls]
    assert {unit for link in chain for unit in link["units"]} >= set(episode["support"])
    last = episode["steps"][-1]
    assert (last["reasons"]["logic"], last["reasons"]["outcome"]) == ("right, and the chain proves the answer", "right")
    assert {step["reasons"].get("memory") for step in episode["steps"]} == {None, "more of the support is held"}


def test_salience_gate_and_observer_are_recorded():
    env = gym.make(ID, observer="lexical", gate="salience", **SMALL)
    env.reset(seed=0)
    batch, seen = env.unwrapped.batch, []
    recorder = EpisodeRecorder(batch, agent="x")
    for action in (1, 2, 1, 2):
        seen.append(batch.memory.slots["salience"][0].copy())
        _, _, ended, _, info = env.step(action)
    _, episode, _ = play(env, recorder, ())
    for step, salience in zip(episode["steps"], seen, strict=False):
        shown = [slot["salience"] for slot in step["slots"]]
        assert shown == pytest.approx(salience[: len(shown)], abs=1e-3)
    assert set(episode["steps"][0]["observed"]) == set(LexicalPRM.criteria)
    assert episode["observer"] == LexicalPRM().version


class Explaining:
    """A PRM that says why."""

    criteria = ("tidiness",)
    needs_annotation = False
    version = "explaining-1"
    default_beta = {"tidiness": 1.0}

    def score(self, steps):
        return np.where(steps.kind == NEXT, -0.5, 0.5).astype(np.float32)[:, None]

    def explain(self, steps):
        return [["put aside" if kind == NEXT else ""] for kind in steps.kind.tolist()]


def test_a_prm_that_explains_itself_is_asked():
    vector = gym.make_vec(ID, num_envs=2, autoreset_mode="Disabled", prm=Explaining(), **SMALL)
    vector.reset(seed=0)
    recorder = EpisodeRecorder(vector.batch, agent="x")
    vector.step(np.array([0, 1]))
    first, second = recorder.close()
    assert first["steps"][0]["reasons"]["tidiness"] == "put aside"
    assert "tidiness" not in second["steps"][0]["reasons"]
    assert first["steps"][0]["scores"]["tidiness"] == -0.5
    assert first["truncated"]
    assert first["success"] is None


def test_a_prm_that_explains_too_little_is_refused():
    class Silent(Explaining):
        def explain(self, steps):
            return []

    env = gym.make(ID, prm=Silent(), **SMALL)
    env.reset(seed=0)
    EpisodeRecorder(env.unwrapped.batch, agent="x")
    with pytest.raises(PRMError, match=r"Silent\.explain returned 0 rows .* for 1 steps and 1 criteria"):
        env.step(0)


def test_words_thoughts_and_own_words():
    env = gym.make(ID.replace("ReasonGym-", "ReasonGymText-"), **SMALL)
    env.reset(seed=1)
    inner = env.unwrapped
    recorder = EpisodeRecorder(inner.arrays.batch, agent="llm", interface=inner.interface, prompts=True)
    env.step("This may matter.\nstore 1: somebody has </script> the ball")
    env.step("I have no idea")
    env.step("store 1")
    (episode,) = recorder.close()
    first, second, third = episode["steps"]
    assert (first["thought"], first["command"]) == ("This may matter.", "store 1: somebody has </script> the ball")
    assert first["prompt"].startswith("Question:")
    assert second["slots"][0]["words"] == "somebody has </script> the ball"
    assert second["slots"][0]["words_by"] == [0, "store"]
    assert second["action"] == "(no command)"
    assert "no line of the reply is a command" in second["invalid"]
    assert "words" not in episode["end"]["slots"][0], "stored over"
    assert third["action"] == "store 1"


def test_autoreset_and_once():
    vector = gym.make_vec(ID, num_envs=3, **SMALL)
    _, infos = vector.reset(seed=0)
    both = {once: EpisodeRecorder(vector.batch, agent="x", once=once) for once in (True, False)}
    for once, recorder in both.items():
        vector.batch.watcher = recorder
        draws = np.random.default_rng(0)
        for _ in range(60):
            actions = np.array([draws.choice(np.flatnonzero(mask)) for mask in infos["action_mask"]])
            _, _, _, _, infos = vector.step(actions)
        episodes = [episode for episode in recorder.close() if not episode.get("truncated")]
        assert all(episode["steps"][0]["slots"] == [] for episode in episodes if episode["steps"])
        assert (len(episodes) == 3) if once else (len(episodes) > 6)
        vector.reset(seed=1)


def test_a_watched_batch_plays_as_an_unwatched_one():
    rewards = []
    for watched in (False, True):
        env = gym.make(ID, observer="lexical", **SMALL)
        env.reset(seed=5)
        recorder = EpisodeRecorder(env.unwrapped.batch, agent="x") if watched else None
        rewards.append([env.step(action)[1] for action in (1, 2, 5, 0, 7, 0)])
        assert recorder is None or recorder.close()
    assert rewards[0] == rewards[1]


def test_the_file_holds_them_all(tmp_path):
    env = gym.make(ID, **SMALL)
    env.reset(seed=0)
    recorder = EpisodeRecorder(env.unwrapped.batch, agent="x")
    play(env, recorder, (1,))
    write_episodes(tmp_path / "episodes.jsonl", recorder.episodes)
    assert [json.loads(line) for line in (tmp_path / "episodes.jsonl").read_text().splitlines()] == recorder.episodes
    assert [path.name for path in tmp_path.iterdir()] == ["episodes.jsonl"]


@pytest.mark.parametrize(
    ("kind", "scores", "m", "said"),
    [
        (RECALL, {"goal": 0.5}, 2, {"goal": "brings 1 of the 2 needed units into the chain"}),
        (RECALL, {"goal": 1.0}, 1, {"goal": "brings the needed unit into the chain"}),
        (RECALL, {"goal": -0.25, "logic": -0.5}, 2, {"goal": "brings no needed", "logic": "outdated"}),
        (RECALL, {"goal": float("nan")}, None, {"goal": "support is unknown"}),
        (ANSWER, {"logic": -1.0, "coherence": -1.0}, 2, {"logic": "wrong although", "coherence": "not of the kind"}),
        (NEXT, {"logic": 0.0}, 2, {}),
    ],
)
def test_reasons_of_the_annotated_prm(kind, scores, m, said):
    found = annotated_reasons(kind, scores, m)
    assert found.keys() == said.keys()
    assert all(said[name] in found[name] for name in said)
