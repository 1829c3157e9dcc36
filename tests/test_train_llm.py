"""`examples/train_llm.py`: what its rewards pay for, what it refuses, and that nothing is lost when it is killed."""

from __future__ import annotations

import importlib
import json
from pathlib import Path

import gymnasium as gym
import pytest

import reasongym  # noqa: F401 (registers the ids)

pytest.importorskip("transformers", reason="transformers is not installed")
pytest.importorskip("tyro", reason="tyro is not installed")

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"


SMALL = {
    "max_units": 4, "hidden": 64, "layers": 1, "episodes": 20, "turns": 64, "num_envs": 8, "n_steps": 4, "eval_every": 32,
    "eval_problems": 8, "held_out": 8, "ppo_batch_size": 16,
}  # fmt: skip


@pytest.fixture
def script(monkeypatch):
    monkeypatch.syspath_prepend(str(EXAMPLES))
    return importlib.import_module("train_llm")


def paid(reward: str) -> list[float]:
    """What the expert's steps earn in ten stories; the last of each, the answer, apart."""
    import train_llm

    config = train_llm.Config(env="ReasonGym-bAbI-qa2-v0", max_units=8, reward=reward)
    steps: list[float] = []
    with gym.make(config.env, **config.play(), **config.rewards()) as env:
        for seed in range(10):
            env.reset(seed=seed)
            ended = False
            while not ended:
                _, value, ended, _, _ = env.step(env.unwrapped.expert_action())
                steps.append(float(value))
    return steps


def test_outcome_rewards_pay_for_the_answer_alone(monkeypatch):
    monkeypatch.syspath_prepend(str(EXAMPLES))
    outcome = paid("outcome")
    assert outcome.count(1.0) == 10
    assert outcome.count(0.0) == len(outcome) - 10


def test_process_rewards_pay_for_steps(monkeypatch):
    monkeypatch.syspath_prepend(str(EXAMPLES))
    assert sum(value > 0 for value in paid("process")) > 40, "ten answers, and for each two facts stored and recalled"


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ({"env": "ReasonGym-SQuAD2-v0"}, "env must be an id of bAbI"), ({"stray": 2}, r"stray must lie in \[0, 1\]"),
        ({"keep_weight": -3}, "keep_weight must be positive"), ({"hidden": 33}, "hidden must be a multiple of 32, 64 at least"),
        ({"layers": 0}, "layers must be a whole number of at least 1"), ({"eval_every": 0}, "eval_every must be"),
        ({"held_out": 0}, "held_out must be"), ({"turns": -5}, "turns must be"), ({"seed": -1}, "seed must be"),
        ({"start": "a", "model": "b"}, "a run begins from one model"), ({"other_episodes": 30}, "other_episodes go together"),
        ({"other_env": "ReasonGym-bAbI-qa1-v0", "other_episodes": 3}, "the other id is not env"),
        ({"reasons": True, "observer": "lexical"}, "reasons are given by an observer that is a language model"),
    ],
)  # fmt: skip
def test_arguments_that_cannot_be_are_refused(script, given, wanted):
    with pytest.raises(ValueError, match=wanted):
        script.Config(**given)


def test_a_mistyped_argument_costs_nothing_of_the_run_before(script, tmp_path):
    """All that can be wrong is found out before anything is written."""
    (tmp_path / "checkpoint").mkdir()
    for name in ("run.json", "metrics.jsonl", "result.json"):
        (tmp_path / name).write_text("{}")
    for name, wrong in {"start": "typo", "utility": "typo", "kl_coef": -1.0}.items():
        with pytest.raises(ValueError, match=r"typo|kl_coef"):
            script.train(script.Config(**{**SMALL, name: wrong}), tmp_path)
    with pytest.raises(ValueError, match="is the folder of start, and would be overwritten"):
        script.train(script.Config(**SMALL, start=str(tmp_path)), tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint", "metrics.jsonl", "result.json", "run.json"]


def test_a_run_killed_between_its_parts_goes_on_to_the_same_weights(script, tmp_path, monkeypatch):
    config = script.Config(**SMALL)
    script.train(config, tmp_path / "whole")

    def killed(*_):
        raise KeyboardInterrupt

    for part in ("reinforce", "measure"):
        with monkeypatch.context() as patched:
            patched.setattr(script, part, killed)
            with pytest.raises(KeyboardInterrupt):
                script.train(config, tmp_path / part)
        with monkeypatch.context() as patched:
            patched.setattr(script, "supervise", killed)
            result = script.train(config, tmp_path / part, resume=True)
        assert result["supervised"]["turns"] > 20
        for name in ("whole", part):
            rows = [json.loads(line) for line in (tmp_path / name / "metrics.jsonl").read_text().splitlines()]
            assert [row["timesteps"] for row in rows] == [32, 64]
        whole, again = ((tmp_path / name / "model.safetensors").read_bytes() for name in ("whole", part))
        assert whole == again, part
