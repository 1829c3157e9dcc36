"""Suites: the committed ones hold what they should, and a mistake in one is named."""

from __future__ import annotations

import json

import gymnasium as gym
import pytest

import reasongym  # noqa: F401
from agents.baselines import baseline
from agents.benchmark.reward_models import Plan
from agents.benchmark.suite import FOLDER, known_suites, load_suite, suite_of
from reasongym.errors import UnknownNameError


@pytest.mark.parametrize("name", ["smoke", "core", "memory", "task2", "babi20", "supervised", "full"])
def test_a_committed_suite(name):
    suite = load_suite(name)
    runs = list(suite.runs())
    assert len({run.id for run in runs}) == len(runs)
    assert suite.source == json.loads((FOLDER / f"{name}.json").read_text())
    for setting in suite.settings.values():
        assert gym.spec(setting.env)
    for row in suite.rows.values():
        assert baseline(row.agent)
        assert row.reward_model is None or Plan.of(row.reward_model)
    trained = [run for run in runs if run.config["trained"]]
    for name, setting in suite.settings.items():
        told = {run.config["budget"]["seconds"] for run in trained if run.setting == name}
        assert told == {setting.seconds or suite.budget.seconds}, "equal seconds for every trained row"


def test_other_files_of_settings_are_no_suites():
    assert (FOLDER / "published.json").exists()
    assert "published" not in known_suites()


def test_core_is_the_comparison_it_says():
    core = load_suite("core")
    assert set(core.settings) == {"qa1", "qa2", "qa15", "squad"}
    assert core.budget.seconds == 180
    assert len(core.seeds) == 5
    ours, theirs = core.rows["full-learned"], core.rows["rlhf"]
    assert ours.reward_model is not None
    assert ours.reward_model["episodes"] == theirs.options["label_budget"], "the same labels"
    assert "prm" not in ours.keywords
    assert ours.keywords["utility"] == "none", "nothing that the learned row reads while it learns is annotated"
    assert {theirs for _, theirs in core.compare} >= {"rlhf", "prm-only", "dnc", "cloning+ppo"}
    assert ours.reward_model["label_error"] == 2 * theirs.options["label_error"], "of tossed coins, half are right"
    assert core.rows["prm-only"].keywords["beta"] == {"keeping": 0}, "nothing is paid for what memory holds"
    assert all(row.tuning_trials for name, row in core.rows.items() if row.agent == "ppo" or name in ("rlhf", "cloning+ppo"))


def test_runs_come_seed_by_seed(suite):
    rows = {"a": {"agent": "random"}, "b": {"agent": "random", "seeds": [7, 8, 9]}, "c": {"agent": "expert", "seeds": [1]}}
    found = suite(rows=rows, seeds=[1, 2], compare=[])
    assert [run.id for run in found.runs()] == [
        "a--short--1", "b--short--7", "c--short--1", "a--short--2", "b--short--8", "b--short--9",
    ]  # fmt: skip


def test_a_row_plays_its_settings_alone(suite):
    settings = {name: {"env": "ReasonGym-bAbI-qa1-v0"} for name in ("one", "two")}
    found = suite(settings=settings, rows={"a": {"agent": "random"}, "b": {"agent": "random", "settings": ["two"]}}, compare=[])
    assert [run.id for run in found.runs()] == ["a--one--1", "a--two--1", "b--two--1"]


def test_keywords_of_row_come_before_those_of_baseline_and_setting(suite):
    rows = {"x": {"agent": "prm-only", "keywords": {"gate": "salience"}}}
    run = next(suite(rows=rows, compare=[]).runs())
    assert run.config["keywords"]["gate"] == "salience", "the row's own"
    assert run.config["keywords"]["utility"] == "none", "the baseline's"
    assert run.config["keywords"]["memory_slots"] == 2, "the setting's"


def test_somebody_elses_agent_is_a_row_more(suite, third_party):
    found = suite().with_agent("third_party:First")
    assert "third_party.First--short--1" in [run.id for run in found.runs()]
    assert found.source["rows"]["third_party.First"] == {"agent": "third_party:First"}
    with pytest.raises(ValueError, match=r"has a row 'third_party\.First' already"):
        found.with_agent("third_party:First")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rows": {"x": {"agent": "rlfh"}}}, "did you mean 'rlhf'"),
        ({"rows": {"x": {"agent": "ppo", "options": {"core": "dnn"}}}}, "unknown core of row 'x' 'dnn': did you mean 'dnc'"),
        ({"rows": {"x": {"agent": "ppo", "option": {}}}}, "unknown field of row 'x' 'option': did you mean 'options'"),
        ({"rows": {"x": {"agent": "ppo", "settings": ["shrot"]}}}, "did you mean 'short'"),
        ({"rows": {"x--y": {"agent": "ppo"}}}, "got 'x--y'"),
        ({"rows": {}}, "has no rows"),
        ({"seed": [1]}, "did you mean 'seeds'"),
        ({"seeds": []}, "has no seeds"),
        ({"budget": {"seconds": 0}}, "must be positive, got seconds=0"),
        ({"compare": [["ppo", "majorty"]]}, "did you mean 'majority'"),
        ({"settings": {"s": {"env": "e", "keywords": {"split": "test"}}}}, "leave `split` out"),
        ({"evaluation": {"problems": 0}}, "needs problems"),
    ],
)
def test_a_mistake_is_named(suite, changes, message):
    with pytest.raises(ValueError, match=message):
        suite(**{"compare": [], **changes})


def test_a_part_that_is_missing():
    with pytest.raises(ValueError, match="suite 'empty' has no 'settings'"):
        suite_of("empty", {"protocol": 1})


def test_an_unknown_suite_and_another_protocol(tmp_path):
    with pytest.raises(UnknownNameError, match="did you mean 'core'"):
        load_suite("cor")
    with pytest.raises(UnknownNameError, match="unknown suite"):
        load_suite(str(tmp_path / "none.json"))
    (tmp_path / "old.json").write_text('{"protocol": 0}')
    with pytest.raises(ValueError, match="is of protocol 0, this version plays protocol 1"):
        load_suite(str(tmp_path / "old.json"))


def test_a_setting_may_have_seconds_of_its_own(suite):
    settings = {
        "short": {"env": "ReasonGym-bAbI-qa1-v0"},
        "long": {"env": "ReasonGym-bAbI-qa2-v0", "seconds": 7},
    }
    found = suite(settings=settings, budget={"seconds": 2, "timesteps": 99})
    budgets = {run.setting: run.config["budget"] for run in found.runs()}
    assert budgets == {"short": {"seconds": 2, "timesteps": 99}, "long": {"seconds": 7, "timesteps": 99}}
    with pytest.raises(ValueError, match="seconds of a setting"):
        suite(settings={"short": {**settings["short"], "seconds": 0}})
