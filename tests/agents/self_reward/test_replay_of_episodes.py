"""Episodes on disk and back, states computed again from their starts, and what the replay keeps, drops and refuses."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest

from agents.self_reward.arms import arm_of, make_env
from agents.self_reward.episodes import criteria_of, play, replayed, story_key
from agents.self_reward.replay import Replay, priorities
from reasongym.errors import DataError
from tests.agents.self_reward.conftest import ID, TINY, agent

PROBLEMS = np.arange(13)


def same(a, b):
    for f in fields(a):
        x, y = getattr(a, f.name), getattr(b, f.name)
        if isinstance(x, np.ndarray):
            assert x.dtype == y.dtype, f.name
            assert x.tobytes() == y.tobytes(), f.name
        else:
            assert x == y or (x != x and y != y), f.name


def filled(episodes, **keywords):
    settings = {"capacity": 100, "max_age": 3, "held_out": (), "criteria": tuple("abcdef"), **keywords}
    replay = Replay(**settings)
    replay.add(episodes, 0)
    return replay


def test_a_saved_replay_comes_back_to_the_bit(tmp_path):
    paid, model, judge = agent()
    episodes = play(model.as_player(), paid.inner, PROBLEMS, judge=judge, seed=7, round_=0, beta="weights").episodes
    episodes[0] = replace(episodes[0], label=0.1, pass_rate=1 / 3, advantage=0.7, answer=None)
    assert any(np.isnan(e.scores).any() for e in episodes), "NaN must survive, too"
    replay = filled(episodes, criteria=criteria_of(paid.inner))
    replay.save(tmp_path / "replay.parquet")
    again = filled([], criteria=criteria_of(paid.inner)).load(tmp_path / "replay.parquet")
    assert len(again) == 13
    for a, b in zip(replay.episodes, again.episodes, strict=True):
        same(a, b)


@pytest.mark.parametrize("core", ["none", "lstm"])
def test_states_computed_again_are_those_that_were_played(core, tmp_path):
    """By other environments, of another number, after a way over the disk."""
    paid, model, judge = agent(core)
    first = play(model.as_player(), paid.inner, PROBLEMS, judge=judge)
    replay = filled(first.episodes, criteria=criteria_of(paid.inner))
    replay.save(tmp_path / "replay.parquet")
    env = make_env(arm_of("gold"), ID, 5, 3, **TINY)
    again = replayed(model.as_player(), env, replay.load(tmp_path / "replay.parquet").episodes, judge)
    for key, value in first.observations.items():
        assert value.tobytes() == again.observations[key].tobytes(), key
    np.testing.assert_array_equal(first.right, again.right)
    np.testing.assert_allclose(first.values, again.values, atol=1e-5)
    assert len(first.states) == len(again.states) == (4 if core == "lstm" else 0)
    for a, b in zip(first.states, again.states, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)
    for a, b in zip(first.episodes, again.episodes, strict=True):
        np.testing.assert_array_equal(a.scores[:, :-1], b.scores[:, :-1])
        np.testing.assert_allclose(a.scores[:, -1], b.scores[:, -1], atol=1e-5)


def test_scores_of_last_steps_are_kept():
    paid, model, _ = agent()
    played = play(model.as_player(), paid.inner, np.arange(40))
    outcome = criteria_of(paid.inner).index("outcome")
    last = np.array([episode.scores[-1, outcome] for episode in played.episodes])
    np.testing.assert_array_equal(last, played.right)
    assert 0 < played.right.sum() < 40


def test_an_episode_of_other_settings_does_not_replay():
    paid, model, _ = agent()
    episodes = play(model.as_player(), paid.inner, PROBLEMS).episodes
    other = make_env(arm_of("gold"), ID, 4, 0, difficulty={"max_units": 3}, memory_slots=3)
    with pytest.raises((DataError, ValueError), match=r"does not replay|of another problem"):
        replayed(model.as_player(), other, episodes)
    altered = replace(episodes[0], memory=episodes[0].memory + 1)
    with pytest.raises(DataError, match="what memory held, is not what was recorded"):
        replayed(model.as_player(), paid.inner, [altered])


def test_priorities_by_hand():
    """4 p (1 - p) and the advantage, 0.05 added to each: half solved and gaining 0.2 comes first; unknown counts as half."""
    paid, model, _ = agent()
    one = play(model.as_player(), paid.inner, np.arange(1)).episodes[0]
    rows = [(0.5, 0.2), (1.0, 0.2), (0.5, 0.0), (float("nan"), 0.2), (0.75, 0.4)]
    found = priorities([replace(one, pass_rate=p, advantage=a) for p, a in rows])
    expected = [1.05 * 0.25, 0.05 * 0.25, 1.05 * 0.05, 1.05 * 0.25, 0.8 * 0.45]
    np.testing.assert_allclose(found, expected)


def test_what_is_old_goes_first_and_then_what_matters_least():
    paid, model, _ = agent()
    one = play(model.as_player(), paid.inner, np.arange(1)).episodes[0]

    def episode(problem, advantage, round_):
        return replace(one, problem=problem, pass_rate=0.5, advantage=advantage, round=round_)

    replay = filled([], capacity=3, max_age=2, criteria=criteria_of(paid.inner))
    replay.add([episode(0, 0.9, 0), episode(1, 0.1, 0)], 0)
    replay.add([episode(2, 0.5, 1), episode(3, 0.2, 1)], 1)
    assert [e.problem for e in replay.episodes] == [0, 2, 3], "beyond the capacity the least advantage goes"
    replay.add([episode(4, 0.0, 2)], 2)
    assert [e.problem for e in replay.episodes] == [2, 3, 4], "two rounds old: dropped, however good"
    assert replay.stale(one.prm, one.judge) == []
    assert replay.stale(one.prm, "another") == [0, 1, 2]


def test_draws_follow_priorities_without_repetition():
    paid, model, _ = agent()
    one = play(model.as_player(), paid.inner, np.arange(1)).episodes[0]
    episodes = [replace(one, problem=i, pass_rate=0.5, advantage=a) for i, a in enumerate((0.95, 0.0, 0.0))]
    replay = filled(episodes, criteria=criteria_of(paid.inner))
    draw = np.random.default_rng(0)
    first = [replay.draw(1, draw)[0] for _ in range(400)]
    assert np.mean(np.array(first) == 0) == pytest.approx(1 / 1.1, abs=0.04)  # 1.0 against 0.05 and 0.05
    assert sorted(replay.draw(9, draw)) == [0, 1, 2]


def test_held_out_texts_are_refused():
    paid, model, _ = agent()
    episodes = play(model.as_player(), paid.inner, PROBLEMS).episodes
    replay = filled([], held_out={story_key(paid.inner, 4)}, criteria=criteria_of(paid.inner))
    replay.add([e for e in episodes if e.problem != 4], 0)
    with pytest.raises(ValueError, match="problem 4 of babi-qa1/procedural/train tells a held-out text"):
        replay.add(episodes, 0)


def test_a_file_cut_short_or_of_other_scores_is_refused(tmp_path):
    paid, model, _ = agent()
    replay = filled(play(model.as_player(), paid.inner, PROBLEMS).episodes, criteria=criteria_of(paid.inner))
    path = tmp_path / "replay.parquet"
    replay.save(path)
    with pytest.raises(DataError, match="another version or another PRM"):
        filled([]).load(path)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DataError, match="cut short"):
        filled([], criteria=criteria_of(paid.inner)).load(path)
