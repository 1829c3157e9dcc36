"""Recordings of this suite as step records: what was played, recorded and read is what `collect` tells of the same episodes."""

from __future__ import annotations

import json

import gymnasium as gym
import numpy as np
import pytest

import reasongym  # noqa: F401
from reasongym.audit import policies
from reasongym.audit.collect import collect
from reasongym.audit.policies import Situation, noise
from reasongym.errors import DataError, UnknownNameError
from reasongym.prm.annotated import AnnotatedPRM
from reasongym.prm.bench.problems import problems_of
from reasongym.prm.formats import read_records, write_records
from reasongym.prm.rendering import step_text
from reasongym.text.env import ReasonGymTextEnv
from reasongym.wrappers import VectorRecordTrajectories
from reasongym.wrappers.episodes import EpisodeRecorder, write_episodes

ID = "ReasonGym-bAbI-qa11-v0"  # "After that he went ...": pronouns to be explained
SMALL = {"memory_slots": 3, "chain_length": 4, "difficulty": {"max_units": 8}}
PROBLEMS = np.arange(6)


def play(env, policy):
    """One episode of each problem."""
    observation, _ = env.reset(seed=0, options={"problem": PROBLEMS})
    step, live = np.zeros(len(PROBLEMS), np.int64), np.ones(len(PROBLEMS), bool)
    while live.any():
        observation, _, ended, _, _ = env.step(policy(Situation(env.unwrapped, observation, PROBLEMS, step, 0, 0)))
        live &= ~ended
        step += 1


def careless(s):
    """Any action, legal or not; one in twenty is an answer."""
    draws = noise(s, 2)
    number = np.where(draws[:, 1] < 0.05, s.mask.shape[1] - s.answers, s.answers)
    return (draws[:, 0] * number).astype(np.int64) + np.where(draws[:, 1] < 0.05, s.answers, 0)


def make(**more):
    keywords = {"vectorization_mode": "vector_entry_point", **SMALL, **more}
    return gym.make_vec(ID, num_envs=len(PROBLEMS), **keywords)


def recorded(tmp_path, policy, **more):
    """The file of the episodes."""
    env = make(**more)
    env.reset(seed=0, options={"problem": PROBLEMS})
    recorder = EpisodeRecorder(env.unwrapped.batch, agent="me", environment=ID, once=True)
    play(env, policy)
    write_episodes(tmp_path / "episodes.jsonl", recorder.close())
    return tmp_path / "episodes.jsonl"


@pytest.mark.parametrize("question_at", ["start", "end"])
@pytest.mark.parametrize("policy", [policies.expert, careless])
def test_episodes_in_words_are_told_as_collect_tells_them(tmp_path, policy, question_at):
    read = read_records(recorded(tmp_path, policy, question_at=question_at))
    live = collect(ID, policy, PROBLEMS, labels=[AnnotatedPRM()], question_at=question_at, **SMALL)
    assert (read.layout, len(read)) == ("episodes", len(PROBLEMS))
    for mine, other in zip(sorted(read, key=lambda record: record.meta["problem"]), live, strict=True):
        assert (mine.prompt, mine.steps, mine.criteria) == (other.prompt, other.steps, other.criteria)
        np.testing.assert_allclose(mine.labels, other.labels, atol=1e-4)
        assert (mine.outcome, mine.meta["kinds"]) == (other.outcome, other.meta["kinds"])
        assert problems_of([mine]) == problems_of([other])
    words = " ".join(step for record in live for step in record.steps)
    assert policy is policies.expert or all(sign in words for sign in ("(no effect)", ", dropping ", " to "))
    assert " (chain: " in words


def test_labels_can_be_left_out_and_broken_episodes_are_named(tmp_path):
    path = recorded(tmp_path, policies.expert)
    bare = read_records(path, labels="none")
    assert bare[0].criteria == ("correct",)
    assert all(np.isnan(record.labels).all() for record in bare)
    with pytest.raises(UnknownNameError, match="unknown labels 'some'"):
        read_records(path, labels="some")
    whole = json.loads(path.read_text().splitlines()[0])
    for change, message in (
        ({"steps": []}, "'steps' must be a list of steps of an episode"),
        ({"format": 2}, "'format' is 2; this version reads episodes of format 1"),
        ({"end": {}}, "the episode is not whole: KeyError: 'slots'"),
    ):
        path.write_text(json.dumps({**whole, **change}) + "\n")
        with pytest.raises(DataError, match=rf"episodes.jsonl, line 1: {message}"):
            read_records(path)
    with pytest.raises(ValueError, match="a record does not hold what an episode does"):
        write_records(bare, tmp_path / "x.jsonl", "episodes")


def test_rows_of_a_recording_become_episodes(tmp_path):
    pytest.importorskip("pyarrow")
    env = VectorRecordTrajectories(make(), tmp_path)
    play(env, careless)
    env.close()
    read = read_records(tmp_path)
    live = collect(ID, careless, PROBLEMS, labels=[AnnotatedPRM()], **SMALL)
    assert read.layout == "trajectories"
    first = {record.meta["problem"]: record for record in read if record.meta["episode"] == 0}  # later ones: other problems
    assert sorted(first) == PROBLEMS.tolist()
    for problem, other in zip(PROBLEMS.tolist(), live, strict=True):
        mine = first[problem]
        assert (len(mine), mine.criteria, mine.outcome) == (len(other), other.criteria, other.outcome)
        np.testing.assert_allclose(mine.labels, other.labels, atol=1e-6)
        assert (mine.meta["kinds"], mine.meta["actions"]) == (other.meta["kinds"], other.meta["actions"])
        assert mine.meta["fingerprint"] == other.meta["fingerprint"]
        for told, words in zip(mine.steps, other.steps, strict=True):
            assert told.split()[0] == words.split()[0]
            assert told.endswith("(no effect)") == words.endswith("(no effect)")
    rewritten = tmp_path / "records.parquet"
    write_records(read, rewritten)
    assert list(read_records(rewritten)) == list(read)


def test_a_recording_by_hand():
    from reasongym.prm.formats import from_dataset

    same = {"run": "a", "env": 0, "episode": 0, "problem": 7, "legal": True, "terminated": False, "score_outcome": 0.0}
    rows = [
        {**same, "step": 1, "kind": "update", "slot": 1, "unit": 3, "slots": [[0, -1]], "score_logic": 1.0},
        {**same, "step": 0, "kind": "store", "slot": 1, "unit": 2, "slots": [[0, 1]], "score_logic": None},
        {**same, "step": 2, "kind": "recall", "slot": 1, "unit": None, "slots": [[0, 3]], "score_logic": -1.0, "legal": False},
        {**same, "step": 3, "kind": "answer", "slot": None, "unit": None, "slots": [[0, 3]], "answer": "garden",
         "score_logic": 1.0, "score_outcome": 1.0, "terminated": True},
    ]  # fmt: skip
    other = {**rows[0], "episode": 1, "step": 0}
    read = from_dataset([rows[0], other, *rows[1:]])
    assert read[0].steps == ("note 3, dropping 1 2", "add 4 to 1", "recall 1 4 (no effect)", "answer: garden")
    np.testing.assert_array_equal(read[0].labels[:, 0], [np.nan, 1, -1, 1])
    assert (read[0].criteria, read[0].outcome) == (("logic",), 1)
    assert np.isnan(read[1].outcome), "it was cut off"
    with pytest.raises(DataError, match=r"episode 0 of environment 0 has the steps \[0, 2\]: some are missing or twice"):
        from_dataset([rows[1], rows[2]])


class Teller:
    """A PRM that notes each step in words, as any PRM of the environment is told it."""

    criteria, needs_annotation, version, default_beta, cacheable = ("none",), False, "teller-1", {}, False

    def __init__(self):
        self.told = []

    def score(self, steps):
        self.told += [step_text(steps, i) for i in range(len(steps))]
        return np.full((len(steps), 1), np.nan, np.float32)


def test_own_words_are_read_as_they_were_written(tmp_path):
    teller = Teller()
    env = ReasonGymTextEnv(tasks=(1,), num_problems=8, instructions="none", memory_slots=2, prm=teller, utility="none")
    env.reset(seed=0)
    recorder = EpisodeRecorder(env.batch, agent="me", interface=env.unwrapped.interface)
    replies = (
        "next",
        "store 1: somebody is somewhere, I think",
        "update 1",
        "recall 1",
        "store 1: nobody is",
        "recall 2",
        "hm",
    )
    for reply in (*replies, *["next"] * 20, "recall 1", "answer kitchen"):
        if env.step(reply)[2]:
            break
    write_episodes(tmp_path / "episodes.jsonl", recorder.close())
    (record,) = read_records(tmp_path / "episodes.jsonl")
    assert list(record.steps) == teller.told
    assert "somebody is somewhere, I think" in record.steps[4]
    assert np.isnan(record.labels).all()
