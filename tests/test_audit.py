"""The exploit audit: its players do what they are named for, and its numbers can be checked with a pencil."""

from __future__ import annotations

import json

import numpy as np
import pytest

from reasongym.audit.accuracy import Accuracy, LastUnit, Training, accuracy, baselines, training_of
from reasongym.audit.bounds import (
    MOST_SHARE,
    Branch,
    EarnAndIdle,
    broken,
    exploits,
    idle,
    recall_and_idle,
    worst_answer,
)
from reasongym.audit.play import make, play, sample
from reasongym.audit.policies import POLICIES, Situation, noise
from reasongym.audit.report import audit
from reasongym.audit.written import WRITTEN
from reasongym.cli import build_app
from reasongym.errors import UnknownNameError
from reasongym.types import Problem, Story

QA1, QA2 = "ReasonGym-bAbI-qa1-v0", "ReasonGym-bAbI-qa2-v0"
FEW = np.arange(0, 60, 2)


@pytest.fixture(scope="module")
def report():
    return audit([QA2], episodes=60)


def test_every_problem_is_played_once_in_its_place():
    together, one_by_one = make(QA2, 30), make(QA2, 1)
    for name in ("random", "expert", "recall-all"):
        batch = play(together, POLICIES[name], FEW, guess=2, seed=3)
        for i, problem in enumerate(FEW[:5]):
            alone = play(one_by_one, POLICIES[name], np.array([problem]), guess=2, seed=3)
            assert [column[i] for column in batch] == [column[0] for column in alone], name


def test_more_problems_than_environments():
    few, many = make(QA1, 7), make(QA1, 60)
    first, second = play(few, POLICIES["random"], FEW), play(many, POLICIES["random"], FEW)
    assert all((a == b).all() for a, b in zip(first, second, strict=True))


def test_the_expert_reaches_the_maximum_and_its_process_share():
    played = play(make(QA2, 30), POLICIES["expert"], FEW)
    assert played.success.all()
    np.testing.assert_allclose(played.total, 1.8, atol=1e-6)
    np.testing.assert_allclose(played.process, 0.8, atol=1e-6)


def test_what_the_simple_players_earn():
    env = make(QA1, 30)
    guess = training_of(env.batch.source).majority
    units = np.array([env.batch.source.problem(int(i)).num_units for i in FEW])
    at_once = play(env, POLICIES["answer-at-once"], FEW, guess=guess)
    assert (at_once.length == units + 1).all()
    assert (at_once.process == 0).all()
    assert (at_once.total == at_once.success).all()
    hoard = play(env, POLICIES["hoard"], FEW, guess=guess)
    np.testing.assert_allclose(hoard.process, 0.3, atol=1e-6)  # all ten units at most fit: full coverage
    stall = play(env, POLICIES["stall"], FEW, guess=guess)
    steps = 4 * (units + 10) + 10
    assert (stall.length == steps).all()
    np.testing.assert_allclose(stall.total, 0.3 - 0.05 * (steps - units), atol=1e-5)
    assert not stall.success.any()


def test_random_numbers_are_uniform_and_depend_on_problem_and_step():
    def draw(problem, step, seed=0):
        return noise(Situation(None, {}, np.array([problem]), np.array([step]), 0, seed), 4)[0]

    values = np.array([draw(p, t) for p in range(40) for t in range(25)])
    assert abs(values.mean() - 0.5) < 0.02
    assert abs(np.corrcoef(values[:, 0], values[:, 1])[0, 1]) < 0.1
    assert len(np.unique(values)) == values.size
    assert not np.array_equal(draw(0, 0), draw(0, 0, seed=1))


def test_the_sample_is_of_all_tasks_of_the_joint_id():
    tasks = np.bincount(sample(100_000, 2000) % 20)
    assert tasks.min() > 60
    assert sample(50, 2000).tolist() == list(range(50))


def test_the_promises_hold_on_task_2(report):
    task = report["ids"][QA2]
    assert report["broken"] == []
    assert task["long_text"]
    assert not exploits(task["utilities"]["coverage"])
    assert min(task["answering_over_stalling"].values()) > 0
    assert task["utilities"]["level"]["stall"]["return"] > 2 * task["utilities"]["level"]["expert"]["return"]


def test_a_broken_promise_is_told(report):
    task = json.loads(json.dumps(report["ids"][QA2]))
    task["utilities"]["coverage"]["hoard"]["process"] = 1.8 * (MOST_SHARE + 0.01)
    task["answering_over_stalling"]["random"] = -0.5
    assert broken(task) == [
        f"{QA2}: hoard earns 31% of the expert's return without lucky answers",
        f"{QA2}: after random, a wrong answer returns 0.50 less than stalling",
    ]
    task["long_text"] = False
    assert len(broken(task)) == 1


def test_the_worst_answer_is_wrong_and_of_another_kind_where_there_is_one():
    for env_id in ("ReasonGym-bAbI-v0", QA1):
        source = make(env_id, 1).batch.source
        for i in range(40):
            problem = source.problem(i)
            choice = worst_answer(source, problem)
            assert choice != source.choice_of(problem.answers[0])
            fits = source.choice_kinds[choice] >> source.kinds.index(problem.answer_kind) & 1
            assert fits == (env_id == QA1)


def test_accuracy_of_the_baselines():
    found = baselines(QA1, most=600)
    assert found["expert"].share == 1
    assert 0.1 < found["random"].share < 0.25  # six places
    assert 0.1 < found["majority"].share < 0.25
    assert found["last-unit"].share > 0.4
    assert accuracy("majority", QA1, most=600) == found["majority"]
    with pytest.raises(UnknownNameError, match="did you mean 'majority'"):
        accuracy("majorty", QA1)


def test_last_unit_answers_what_training_stories_with_this_end_are_answered_with():
    source = make(QA1, 1).batch.source
    problem = source.problem(0)
    end = tuple(source.tokenize(problem.story.units[problem.num_units - 1]))
    gold = source.choice_of(problem.answers[0])
    for known, right in (
        (Training(-1, {end: gold}), True),
        (Training(gold, {}), True),
        (Training(gold, {end: gold - 1}), False),
    ):
        played = play(make(QA1, 1), LastUnit(known), np.array([0]))
        assert played.success[0] == right
        assert played.length[0] == problem.num_units + 1


def test_training_majorities_by_hand():
    class Three:
        num_problems, choices = 3, ("a", "b")

        def problem(self, i):
            units = (f"{'xxy'[i]}.",)
            story = Story(units, (-1,), (0,), (0,))
            return Problem(str(i), 1, story, 1, "?", 0, "k", ("abb"[i],), (0,))

        def tokenize(self, text):
            return [ord(text[0])]

        def choice_of(self, answer):
            return self.choices.index(answer)

    assert training_of(Three()) == Training(1, {(ord("x"),): 0, (ord("y"),): 1})  # b: 2 of 3; x: one each, the first


def test_wilson_interval_by_hand():
    low, high = Accuracy(8, 10).interval  # (0.8 + 0.19207 ± 1.96 * sqrt(0.016 + 0.0096037)) / 1.38415
    assert low == pytest.approx(0.4901, abs=1e-3)
    assert high == pytest.approx(0.9433, abs=1e-3)
    assert Accuracy(10, 10).interval[1] == pytest.approx(1)


def test_the_command(tmp_path):
    pytest.importorskip("typer")
    from typer.testing import CliRunner

    out = tmp_path / "deep" / "audit.json"
    result = CliRunner().invoke(build_app(), ["audit", "--tasks", "1", "--episodes", "20", "--json", str(out)])
    assert result.exit_code == 0, result.output
    assert "expert-then-guess" in result.output
    written = json.loads(out.read_text())
    assert written["arguments"]["seed"] == 0
    assert set(written["ids"][QA1]["utilities"]) == {"coverage", "level"}
    assert written["versions"]["numpy"] == np.__version__
    with pytest.raises(ValueError, match="got 'two'"):
        CliRunner().invoke(build_app(), ["audit", "--tasks", "two"], catch_exceptions=False)
    with pytest.raises(ValueError, match=r"--json .* is a folder; name a file in it"):  # before anything is played
        CliRunner().invoke(build_app(), ["audit", "--json", str(tmp_path)], catch_exceptions=False)


def test_words_earn_nothing_of_their_own():
    text = "ReasonGymText-bAbI-qa2-v0"
    task = audit([text], episodes=40, utilities=("coverage",))["ids"][text]
    rows = task["utilities"]["coverage"]
    assert list(rows) == list(WRITTEN)
    assert not broken(task)
    assert rows["expert"]["return"] == pytest.approx(1.8)
    for name in ("words: everything", "words: the question", "every answer", "no command"):
        assert rows[name]["process"] < 0, name
    assert 0 < rows["words: squeezed, unused"]["process"] < MOST_SHARE * 1.8
    assert rows["every answer"]["accuracy"] == rows["no command"]["accuracy"] == 0


def test_the_same_policies_earn_the_same_in_words():
    def spoken(policy):
        return lambda s: [s.env.command(action) for action in policy(s).tolist()]

    def numbered(s):
        return np.array(s.env.arrays.expert_action() if hasattr(s.env, "arrays") else s.env.expert_action())

    by_number, in_words = make(QA2, 20), make("ReasonGymText-bAbI-qa2-v0", 20)
    for policy in (POLICIES["random"], POLICIES["recall-all"], numbered):
        a, b = play(by_number, policy, FEW[:20], guess=1), play(in_words, spoken(policy), FEW[:20], guess=1)
        assert all((x == y).all() for x, y in zip(a, b, strict=True))


def test_a_branch_takes_the_other_policy_from_its_cut_on_in_every_episode():
    env = make(QA1, 4)
    units = np.array([env.batch.source.problem(int(i)).num_units for i in FEW])
    left = 3 * units + 50  # of 4 (units + 10) + 10 steps
    idled = play(env, Branch(POLICIES["hoard"], "end", idle), FEW)
    np.testing.assert_allclose(idled.total, 0.3 - 0.05 * left, atol=1e-5)
    earned = play(env, Branch(POLICIES["hoard"], "answer", EarnAndIdle()), FEW)
    np.testing.assert_allclose(earned.total, 0.6 - 0.05 * (left - 1), atol=0.11)  # its slot may bring a superseded unit too
    everything = play(env, Branch(POLICIES["hoard"], "end", recall_and_idle), FEW)
    assert (everything.total <= earned.total + 1e-6).all()
