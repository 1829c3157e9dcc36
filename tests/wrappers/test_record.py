"""RecordTrajectories: the table says what happened, and a killed process loses no finished part."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap

import gymnasium as gym
import numpy as np
import pytest

import reasongym  # noqa: F401
from reasongym.wrappers import FlattenTokens, RecordTrajectories, VectorRecordTrajectories

pq = pytest.importorskip("pyarrow.parquet")

ID = "ReasonGym-bAbI-qa2-v0"
SMALL = {"num_problems": 50, "memory_slots": 3, "chain_length": 4, "difficulty": {"max_units": 6}}
MODES = gym.vector.AutoresetMode


def table(folder):
    """The recorded rows as dictionaries, in the order of the record."""
    rows = pq.read_table(folder).to_pylist()
    return sorted(rows, key=lambda row: (row["env"], row["episode"], row["step"]))


def test_an_episode_by_hand(tmp_path):
    env = RecordTrajectories(gym.make(ID, **SMALL), tmp_path)
    _, info = env.reset(seed=0)
    problem = int(env.unwrapped.batch.memory.state["problem"][0])
    rewards = []
    for action in (1, 5, 7):
        _, reward, _, _, info = env.step(action)
        rewards.append(reward)
    answer = 1 + 3 * 3 + 2
    while True:
        _, reward, ended, _, info = env.step(answer if info["action_mask"][answer] else 0)
        rewards.append(reward)
        if ended:
            break
    env.close()
    rows = table(tmp_path)
    assert len(rows) == len(rewards)
    assert [row["kind"] for row in rows[:4]] == ["store", "update", "recall", "next"]
    assert [row["slot"] for row in rows[:4]] == [1, 2, 1, None]
    assert [row["unit"] for row in rows[:4]] == [0, 1, 1, 1], "illegal actions leave the desk as it is"
    assert [row["legal"] for row in rows[:4]] == [True, False, False, True]
    assert rows[0]["slots"] == [[-1, -1]] * 3
    assert rows[1]["slots"] == [[0, -1], [-1, -1], [-1, -1]]
    assert {row["problem"] for row in rows} == {problem}
    assert [row["reward"] for row in rows] == rewards
    last = rows[-1]
    assert (last["kind"], last["answer"], last["unit"]) == ("answer", env.unwrapped.choices[2], None)
    assert (last["terminated"], last["truncated"], rows[0]["answer"]) == (True, False, None)
    assert last["score_outcome"] == float(info["is_success"])
    for row in rows:
        terms = [value for name, value in row.items() if name.startswith("term_")]
        assert sum(terms) == pytest.approx(row["reward"], abs=1e-6)
    assert rows[1]["score_validity"] == -1
    assert len([n for n in rows[0] if n.startswith("score_")]) + 1 == len([n for n in rows[0] if n.startswith("term_")]) == 6


def test_metadata(tmp_path):
    env = RecordTrajectories(gym.make(ID, beta={"goal": 0.5}, **SMALL), tmp_path)
    env.reset(seed=0)
    env.step(0)
    env.close()
    (part,) = tmp_path.glob("*.parquet")
    metadata = {k.decode(): v.decode() for k, v in pq.read_schema(part).metadata.items()}
    assert metadata["fingerprint"] == env.unwrapped.source.fingerprint
    assert json.loads(metadata["beta"])["goal"] == 0.5
    assert metadata["prm"] == "annotated-1"


@pytest.mark.parametrize("mode", [MODES.NEXT_STEP, MODES.SAME_STEP, MODES.DISABLED])
def test_a_vector_records_what_its_environments_do(tmp_path, mode):
    vector = VectorRecordTrajectories(
        gym.make_vec(ID, num_envs=3, autoreset_mode=mode, **SMALL), tmp_path / "vector", rows_per_part=50
    )
    _, infos = vector.reset(seed=4)
    draws, returns, ended = np.random.default_rng(0), np.zeros(3), np.zeros(3, bool)
    finished: dict[int, list[float]] = {0: [], 1: [], 2: []}
    actions_of: dict[int, list[int]] = {0: [], 1: [], 2: []}
    for _ in range(80):
        if mode == MODES.DISABLED and ended.any():
            _, infos = vector.reset(options={"reset_mask": ended})
            ended = np.zeros(3, bool)
        skipped = ended if mode == MODES.NEXT_STEP else np.zeros(3, bool)
        actions = np.array([draws.choice(np.flatnonzero(mask)) for mask in infos["action_mask"]])
        _, rewards, ended, _, infos = vector.step(actions)
        returns += np.where(skipped, 0, rewards)
        for i in range(3):
            if not skipped[i]:
                actions_of[i].append(int(actions[i]))
            if ended[i]:
                finished[i].append(returns[i])
                returns[i] = 0
    parts = vector._recorder.writer.parts
    assert parts > 2
    vector.close()
    rows = table(tmp_path / "vector")
    for i in range(3):
        mine = [row for row in rows if row["env"] == i]
        assert [row["action"] for row in mine] == actions_of[i]
        episodes = sorted({row["episode"] for row in mine})
        assert episodes == list(range(len(episodes)))
        for number, total in enumerate(finished[i]):
            steps = [row for row in mine if row["episode"] == number]
            assert [row["step"] for row in steps] == list(range(len(steps)))
            assert sum(row["reward"] for row in steps) == pytest.approx(total)
            assert [row["terminated"] for row in steps] == [False] * (len(steps) - 1) + [True]


def test_single_and_vector_write_the_same(tmp_path):
    single = RecordTrajectories(gym.make(ID, **SMALL), tmp_path / "single")
    vector = VectorRecordTrajectories(gym.make_vec(ID, num_envs=1, autoreset_mode=MODES.DISABLED, **SMALL), tmp_path / "vector")
    for env, wrap in ((single, int), (vector, lambda a: np.array([a]))):
        env.reset(seed=9)
        for action in (1, 4, 2, 8, 0):
            env.step(wrap(action))
        env.close()
    a, b = table(tmp_path / "single"), table(tmp_path / "vector")
    assert [{**row, "run": 0} for row in a] == [{**row, "run": 0} for row in b]


def test_parts_hold_whole_episodes_and_given_up_ones_are_kept(tmp_path):
    env = RecordTrajectories(FlattenTokens(gym.make(ID, **SMALL)), tmp_path, rows_per_part=4)
    for _ in range(3):
        env.reset(seed=0)
        env.step(0)
        env.step(0)
    assert len(list(tmp_path.glob("*.parquet"))) == 1
    assert {(r["episode"], r["terminated"]) for r in table(tmp_path)} == {(0, False)}, "the second is still being played"
    env.close()
    assert [row["episode"] for row in table(tmp_path)] == [0, 0, 1, 1, 2, 2]


def test_truncation_is_recorded(tmp_path):
    env = RecordTrajectories(gym.make(ID, max_episode_steps=2, **SMALL), tmp_path)
    env.reset(seed=0)
    env.step(0)
    assert env.step(0)[3]
    env.close()
    assert [row["truncated"] for row in table(tmp_path)] == [False, True]


def test_two_recordings_share_a_folder(tmp_path):
    for _ in range(2):
        env = RecordTrajectories(gym.make(ID, **SMALL), tmp_path)
        env.reset(seed=0)
        env.step(0)
        env.close()
    assert len({row["run"] for row in table(tmp_path)}) == 2


def test_a_killed_process_loses_no_part(tmp_path):
    script = f"""
        import gymnasium as gym, numpy as np, reasongym
        from reasongym.wrappers import VectorRecordTrajectories
        env = VectorRecordTrajectories(gym.make_vec({ID!r}, num_envs=8, **{SMALL!r}), {str(tmp_path)!r}, rows_per_part=200)
        _, infos = env.reset(seed=0)
        draws, told = np.random.default_rng(0), False
        while True:
            actions = (draws.random(infos["action_mask"].shape) * infos["action_mask"]).argmax(1)
            *_, infos = env.step(actions)
            if env._recorder.writer.parts >= 3 and not told:
                print("written", flush=True)
                told = True
    """
    process = subprocess.Popen([sys.executable, "-c", textwrap.dedent(script)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "written\n"
    os.kill(process.pid, signal.SIGKILL)
    process.wait(timeout=30)
    process.stdout.close()
    rows = table(tmp_path)
    assert len(rows) >= 500
    last = {}
    for row in rows:
        last[row["env"], row["episode"]] = row
    assert all(row["terminated"] for row in last.values()), "every recorded episode is whole"


def test_bad_arguments_and_a_missing_extra(tmp_path, monkeypatch):
    with pytest.raises(ValueError, match="rows_per_part must be a whole number of at least 1, got 0"):
        RecordTrajectories(gym.make(ID, **SMALL), tmp_path, rows_per_part=0)
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(ImportError, match=r"pip install 'reasongym\[data\]'"):
        RecordTrajectories(gym.make(ID, **SMALL), tmp_path)
