"""`examples/train_llm.py`: what its rewards pay for."""

from __future__ import annotations

from pathlib import Path

import gymnasium as gym
import pytest

import reasongym  # noqa: F401 (registers the ids)

pytest.importorskip("transformers", reason="transformers is not installed")
pytest.importorskip("tyro", reason="tyro is not installed")

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"


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
