"""Advantages against values worked out by hand."""

import numpy as np
import pytest
import torch

from agents.rollout import gae
from tests.agents.conftest import Forever, small_model, vector


def test_gae_by_hand():
    """gamma 0.5, lambda 0.5; the episode of the one environment ends after step 1, so step 2 begins another."""
    rewards, values = torch.tensor([[1.0], [2.0], [3.0]]), torch.tensor([[0.5], [1.0], [2.0]])
    starts = torch.tensor([[True], [False], [True]])
    found = gae(rewards, values, starts, torch.tensor([4.0]), torch.tensor([False]), 0.5, 0.5)
    third = 3 + 0.5 * 4 - 2  # 3
    second = 2 - 1  # 1: nothing follows
    first = 1 + 0.5 * 1 - 0.5 + 0.25 * second  # 1.25
    torch.testing.assert_close(found, torch.tensor([[first], [second], [third]]))


def test_last_step_ends_an_episode():
    one = torch.ones(1, 1)
    found = gae(one, one * 0.25, torch.tensor([[True]]), torch.tensor([99.0]), torch.tensor([True]), 0.9, 0.9)
    assert found.item() == pytest.approx(0.75)


def test_lambda_one_gives_discounted_returns():
    rewards, zeros = torch.rand(6, 3), torch.zeros(6, 3)
    found = gae(rewards, zeros, torch.zeros(6, 3, dtype=torch.bool), torch.zeros(3), torch.ones(3, dtype=torch.bool), 0.9, 1.0)
    expected = sum(0.9**k * rewards[k] for k in range(6))
    torch.testing.assert_close(found[0], expected)


@pytest.mark.parametrize("core", ["none", "lstm"])
def test_reward_one_for_ever_is_worth_one_over_one_minus_gamma(core):
    """Cut by a time limit every 8 steps: with values of 1/(1-gamma) everywhere, nothing is better than expected."""
    gamma = 0.9
    model = small_model(vector(Forever, 2, max_steps=8), core, gamma=gamma)
    for parameter in model.policy.critic.parameters():
        parameter.data.zero_()
    model.policy.critic.output.bias.data.fill_(1 / (1 - gamma))
    _, callback = model._setup_learn(32)
    model.collect_rollouts(model.env, callback, model.rollout_buffer, model.n_steps)
    assert model.rollout_buffer.starts.sum() == 4, "the time limit must cut inside the rollout"
    np.testing.assert_allclose(model.rollout_buffer.advantages.numpy(), 0, atol=1e-4)
    np.testing.assert_allclose(model.rollout_buffer.returns.numpy(), 10, atol=1e-4)
