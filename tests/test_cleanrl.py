"""The single-file trainers: advantages by hand, and both modes of autoreset give the learner the same episodes."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
SCRIPTS = ("cleanrl_ppo", "cleanrl_ppo_lstm")
VIEWS = '{"difficulty": {"max_units": 4}, "memory_slots": 2, "max_episode_steps": 4}'


@pytest.mark.parametrize("script", SCRIPTS)
def test_reward_1_for_ever_is_worth_1_over_1_minus_gamma(script):
    gae = runpy.run_path(str(EXAMPLES / f"{script}.py"))["gae"]
    rewards, value = torch.ones(5, 1), torch.full((5, 1), 10.0)  # 1 / (1 - 0.9)
    never, at_2 = torch.zeros(5, 1, dtype=torch.bool), torch.tensor([[0], [0], [1], [0], [0]], dtype=torch.bool)
    assert gae(rewards, value, value, never, at_2, 0.9, 0.5).abs().max() < 1e-5  # truncated: bootstrapped
    # terminated: the last reward alone is left, and the two steps before see 0.9 * 0.5 of the next one's advantage
    ended = gae(rewards, value, value, at_2, never, 0.9, 0.5).flatten()
    assert torch.allclose(ended, torch.tensor([-9 * 0.45**2, -9 * 0.45, -9.0, 0.0, 0.0]), atol=1e-5)


def run(script, monkeypatch, **options):
    """What is left of a script's names at its end, with 8 environments and a small network."""
    sizes = {"num_envs": 8, "num_steps": 32, "total_timesteps": 256, "eval_problems": 2, "hidden_size": 16}
    words = [word for name, value in {**sizes, **options}.items() for word in (f"--{name.replace('_', '-')}", str(value))]
    monkeypatch.setattr(sys, "argv", [script, *words])
    return runpy.run_path(str(EXAMPLES / f"{script}.py"), run_name="__main__")


def played(script, mode, monkeypatch):
    """What one rollout gathers, without learning, with the likeliest actions: N arrays of steps, of an action, reward, value,
    advantage, terminated, truncated each."""
    monkeypatch.setattr(torch.distributions.Categorical, "sample", lambda policy: policy.probs.argmax(1))
    found = run(script, monkeypatch, autoreset_mode=mode, env_kwargs=VIEWS, learning_rate=0)
    columns = [found[name] for name in ("actions", "rewards", "values", "advantages", "terminated", "truncated")]
    steps = torch.stack([column.double() for column in columns], 2)
    return [steps[:, i][found["valid"][:, i]].numpy() for i in range(8)]


@pytest.mark.parametrize("script", SCRIPTS)
def test_both_modes_of_autoreset_give_the_same_episodes(script, monkeypatch):
    ends = np.zeros(2)
    modes = [played(script, mode, monkeypatch) for mode in ("NextStep", "SameStep")]
    for next_step, same_step in zip(*modes, strict=True):
        over = np.flatnonzero(next_step[:, 4:].any(1))[-1] + 1  # those that are over in both rollouts
        np.testing.assert_allclose(next_step[:over], same_step[:over], atol=1e-5)
        assert len(same_step) == 32 > len(next_step)
        ends += next_step[:, 4:].sum(0)
    assert (ends > 0).all(), "some episodes terminate, and some are truncated"


@pytest.mark.parametrize("script", SCRIPTS)
def test_other_ids_are_played_too_and_only_legally(script, monkeypatch):
    found = run(script, monkeypatch, env_id="ReasonGym-SQuAD2-v0", env_kwargs='{"memory_slots": 3}')
    legal = found["masks"].gather(2, found["actions"][:, :, None]).squeeze(2)
    assert legal[found["valid"]].all()
    assert (found["valid"].sum(0) < 32).any(), "some episodes ended"
    assert all(parameter.isfinite().all() for parameter in found["agent"].parameters())
