"""Whole rounds: what an arm may read, resumption after a kill in any phase, held-out problems, and rows."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from agents.self_reward import SelfReward, weak_start
from agents.self_reward.arms import GoldSealedError, SealedSource, agreement, arm_of, make_env
from agents.self_reward.episodes import story_key
from agents.self_reward.loop import PHASES
from reasongym.envs import ReasonGymVectorEnv
from tests.agents.self_reward.conftest import ID, SMALL, TINY

COLUMNS = (
    "held_out",
    "low",
    "high",
    "length",
    "judge_agreement",
    "judge_auc",
    "capture",
    "evidence_recall",
    "gold_bits",
    "annotation_bits",
)


class Killed(BaseException):
    pass


def run_of(folder, settings=SMALL, **keywords):
    chosen = {"held_out": 20, "policy_kwargs": {"core_size": 8, "size": 16, "body_size": 16}, **TINY, **keywords}
    return SelfReward(ID, settings, folder, **chosen)


def parameters(run):
    return torch.cat([p.detach().flatten() for p in (*run.model.policy.parameters(), *run.judge.parameters())])


def told(row):
    """What of a row does not depend on the clock."""
    return {key: value for key, value in row.items() if "seconds" not in key}


@pytest.mark.parametrize("arm", ["gold", "none", "annotation"])
def test_rounds_run_and_are_reported(arm, tmp_path):
    run = run_of(tmp_path, replace(SMALL, arm=arm, problems=24, samples=4, annotated=16))  # enough to fit a judge to
    before = parameters(run)
    rows = run.run()
    assert len(rows) == 3, "the start, and two rounds"
    assert not torch.equal(before, parameters(run))
    assert [json.loads(line) for line in (tmp_path / "rounds.jsonl").read_text().splitlines()] == json.loads(json.dumps(rows))
    for row in rows[1:]:
        assert not [name for name in COLUMNS if name not in row]
        assert row["replayed"] <= 0.25
        assert row["judge_fitted"] == 1
    assert (rows[-1]["gold_bits"] > 0) == (arm == "gold")
    assert (rows[-1]["annotation_bits"] > 0) == (arm == "annotation")
    held_out = {story_key(run.reader.env, i) for i in run.reader.problems}
    assert len(run.replay) > 0
    assert not held_out & {episode.story for episode in run.replay.episodes}
    assert run.replay.held_out == held_out


def unfit(*_, **__):
    """What `Judge.fit` says where it knows too few steps."""
    return {"fitted": 0.0, "steps": 3.0}


@pytest.mark.parametrize("arm", ["gold", "none", "annotation"])
def test_a_judge_that_was_never_fitted_is_not_heeded(arm, tmp_path, monkeypatch):
    monkeypatch.setattr("agents.self_reward.judge.OwnJudge.fit", unfit)
    monkeypatch.setattr("agents.self_reward.judge.OwnJudge.probability", lambda *_: pytest.fail("its word was asked for"))
    run = run_of(tmp_path, replace(SMALL, arm=arm))
    rows = run.run()
    for row in rows[1:]:
        assert (row["judge_fitted"], row["judge_calls"]) == (0.0, 0.0)
        assert row["term_judge"] == row["term_verdict"] == 0
    assert {episode.judge for episode in run.replay.episodes} == {"none"}
    if arm == "annotation":
        assert all(np.isnan(e.label) or e.answer is None for e in run.replay.episodes), "labels are the judge's word"
    assert not run_of(tmp_path, replace(SMALL, arm=arm)).judged, "nor after it was resumed"


def test_a_judge_stays_known_once_it_was_fitted(tmp_path, monkeypatch):
    run = run_of(tmp_path)
    run.run(1)
    assert run.rows[-1]["judge_fitted"] == 1
    monkeypatch.setattr("agents.self_reward.judge.OwnJudge.fit", unfit)
    assert run.run()[-1]["judge_fitted"] == 0
    assert run.paid.judge is run.judge


def test_nothing_bought_and_nothing_known_is_written_as_json(tmp_path):
    run = run_of(tmp_path, replace(SMALL, arm="annotation", annotated=0, rounds=1))
    run.run()
    text = (tmp_path / "rounds.jsonl").read_text()
    assert "NaN" not in text
    assert json.loads(text.splitlines()[-1])["annotation_bits"] == 0


WHOLE: list = []


@pytest.fixture
def uninterrupted(tmp_path_factory):
    """Rows and parameters of a run that nobody kills; played once."""
    if not WHOLE:
        run = run_of(tmp_path_factory.mktemp("whole"))
        WHOLE.extend((run.run(), parameters(run)))
    return WHOLE


@pytest.mark.parametrize("phase", PHASES)
def test_a_run_killed_in_any_phase_ends_the_same(phase, tmp_path, uninterrupted):
    last = 1 + PHASES.index(phase) % 2

    def kill(round_, name):
        if (round_, name) == (last, phase):
            raise Killed

    with pytest.raises(Killed):
        run_of(tmp_path, on_phase=kill).run()
    rows, whole = uninterrupted
    resumed = run_of(tmp_path)
    assert len(resumed.rows) == last
    again = resumed.run()
    for a, b in zip(again, rows, strict=True):
        assert json.dumps(told(a)) == json.dumps(told(b))
    assert torch.equal(parameters(resumed), whole)


def test_a_run_in_parts_is_the_run(tmp_path, uninterrupted):
    run_of(tmp_path).run(1)
    second = run_of(tmp_path)
    assert len(second.rows) == 2
    second.run(1)
    assert torch.equal(parameters(second), uninterrupted[1])
    assert second.run() == second.rows, "nothing is left"


def test_what_held_out_problems_say_changes_nothing(tmp_path, monkeypatch, uninterrupted):
    monkeypatch.setattr("agents.self_reward.report.HeldOut.report", lambda *_: {"held_out": 1.0, "judge_auc": 0.0})
    run = run_of(tmp_path)
    run.run()
    assert torch.equal(parameters(run), uninterrupted[1])


def test_a_folder_of_another_run_is_refused(tmp_path):
    run_of(tmp_path)
    with pytest.raises(ValueError, match="holds a run with other settings"):
        run_of(tmp_path, replace(SMALL, seed=1))


@pytest.mark.parametrize("arm", ["none", "annotation"])
def test_gold_and_support_raise_when_read(arm):
    env = make_env(arm_of(arm), ID, 4, 0, **TINY)
    problem = env.batch.source.problem(0)
    for name in ("answers", "support", "prerequisites"):
        with pytest.raises(GoldSealedError, match=rf"'{name}' of qa1/train/0 was read"):
            getattr(problem, name)
    assert problem.story.units
    assert env.batch.source.columns is None
    with pytest.raises(PermissionError):
        _ = env.gold_choice


def test_the_seal_is_what_stops_a_run_that_reads(tmp_path, monkeypatch):
    """An environment that pays outcomes on sealed problems, and a round of the sealed arm in which something asks for gold."""
    plain = make_env(arm_of("gold"), ID, 1, 0, **TINY).batch.source
    for keywords in ({"prm": "annotated"}, {"prm": "lexical", "beta": {"outcome": 1.0}, "utility": "none"}):
        env = ReasonGymVectorEnv(dataset=SealedSource(plain), num_envs=2, **keywords)
        with pytest.raises(GoldSealedError):
            env.reset(seed=0)
    run = run_of(tmp_path, replace(SMALL, arm="none"))
    look = lambda played, samples: [run.env.batch.source.problem(e.problem).answers for e in played.episodes]  # noqa: E731
    monkeypatch.setattr("agents.self_reward.loop.labelled", lambda arm, played, samples: look(played, samples))
    with pytest.raises(GoldSealedError):
        run.run()


def test_a_prm_that_reads_annotation_is_no_arms(tmp_path):
    with pytest.raises(ValueError, match="reads annotation"):
        run_of(tmp_path, prm="annotated")


def test_agreement_by_hand():
    for answers, expected in (
        (["a", "a", "b", None], [1, 1, 0, 0]),
        (["a", "a", "b", "b"], [np.nan] * 4),
        (["a", "b", "c", "d"], [np.nan] * 4),
        (["", "", "b", "c"], [1, 1, 0, 0]),  # to abstain is an answer
        ([None, None, None, "a"], [np.nan] * 4),  # one alone agrees with nobody
    ):
        np.testing.assert_array_equal(agreement(answers), expected)


def test_the_start_is_made_once(tmp_path):
    path = tmp_path / "start.pt"
    kwargs = {"policy_kwargs": {"size": 16}, "num_envs": 8, "n_steps": 8}
    first = weak_start(path, ID, 0, 128, **kwargs, **TINY)
    assert first["frames"] == 128
    assert 10 < first["episodes"] < 128
    again = weak_start(path, ID, 0, 128, **kwargs, **TINY)
    for name, value in first["policy"].items():
        assert torch.equal(value, again["policy"][name]), name
    with pytest.raises(ValueError, match="name another file"):
        weak_start(path, ID, 1, 128, **kwargs, **TINY)
