"""Behaviour cloning and DAgger: who acts, who labels, and that it is learned."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from agents.baselines.cloning import Cloner, CloningAgent
from agents.baselines.ppo import PPOAgent
from agents.baselines.settings import memory_ppo
from agents.budget import Budget
from agents.distributions import ILLEGAL
from reasongym.adapters.sb3 import make_vec_env
from tests.agents.conftest import RepeatFirst, small_model, vector

TINY = {"difficulty": {"max_units": 2}, "memory_slots": 2}


def env_of(n_envs: int = 8, seed: int = 0):
    return make_vec_env("ReasonGym-bAbI-qa1-v0", n_envs, seed=seed, **TINY)


def cloner_of(env, **keywords) -> Cloner:
    return Cloner(memory_ppo(env, n_steps=8, batch_size=64), **keywords)


def test_who_plays_by_hand():
    """Cloning: the expert always. DAgger: beta = 1, then 0; with decay 1/2: 1, 1/2, 1/4."""
    env, shares = env_of(), {}
    for name, keywords in {"cloning": {}, "dagger": {"dagger": True}, "decay": {"dagger": True, "decay": 0.5}}.items():
        cloner = cloner_of(env, **keywords)
        shares[name] = []
        for cloner.iteration in range(3):
            shares[name].append(cloner.beta())
    assert shares == {"cloning": [1, 1, 1], "dagger": [1, 0, 0], "decay": [1, 0.5, 0.25]}
    best, own = np.arange(8), torch.full((8, 9), ILLEGAL)
    own[:, 8] = 0.0  # the learner is sure of action 8
    cloner = cloner_of(env, dagger=True, decay=0.5)
    np.testing.assert_array_equal(cloner._mixed(best, own), best)
    cloner.iteration = 1
    mixed = [cloner._mixed(best, own) for _ in range(200)]
    assert all(((row == best) | (row == 8)).all() for row in mixed)
    assert np.mean([row == best for row in mixed]) == pytest.approx(0.5, abs=0.05)
    cloner.decay = 0.0
    np.testing.assert_array_equal(cloner._mixed(best, own), np.full(8, 8))


def test_every_state_that_the_learner_meets_is_labelled_by_the_expert():
    """A twin of the environments is taken through the learner's actions: the labels are the expert's in the same states."""
    env, twin = env_of(), env_of()
    cloner = cloner_of(env, dagger=True)
    cloner.iteration = 1  # the learner alone
    acted, step = [], env.step
    env.step = lambda actions: acted.append(actions.copy()) or step(actions)
    cloner._observation, cloner._starts = env.reset(), np.ones(8, bool)
    cloner._state = cloner.model.policy.initial_state(8)
    labels = cloner.collect(env).actions.numpy()
    twin.reset()
    differ = 0
    for t, actions in enumerate(acted):
        np.testing.assert_array_equal(labels[t], twin.vector.expert_action())
        differ += int((labels[t] != actions).sum())
        twin.step(actions)
    assert differ, "an untrained learner does not act as the expert"
    assert cloner.labels == labels.size == 64


def test_the_loss_by_hand():
    """A policy that knows nothing of three legal actions pays log 3 nats for each label."""
    env = env_of()
    cloner = cloner_of(env)
    cloner._observation, cloner._starts = env.reset(), np.ones(8, bool)
    cloner._state = cloner.model.policy.initial_state(8)
    rollout = cloner.collect(env)
    batch = next(rollout.minibatches(64, by_columns=False))
    legal = batch.frames.columns["action_mask"].sum(1).float()
    cloner.model.policy.evaluate = lambda frames, state, reset: (
        torch.where(frames.columns["action_mask"], -legal.log()[:, None], ILLEGAL), torch.zeros(len(legal)), ()
    )  # fmt: skip
    loss, cross_entropy = cloner.loss(batch)
    assert loss.item() == cross_entropy == pytest.approx(legal.log().mean().item(), rel=1e-5)


@pytest.mark.parametrize("dagger", [False, True])
def test_the_expert_is_learned(dagger):
    agent = CloningAgent(env_of(32), dagger=dagger, n_steps=8, batch_size=64)
    probe, other = Cloner(agent.model), env_of(32, seed=9)  # the expert's own episodes, of other problems
    probe._observation, probe._starts = other.reset(), np.ones(32, bool)
    probe._state = agent.model.policy.initial_state(32)
    batch = next(probe.collect(other).minibatches(256, by_columns=False))
    before = probe.loss(batch)[1]
    agent.learn(3_000)
    after = probe.loss(batch)[1]
    assert after < 0.5 * before
    assert agent.ledger["expert_actions"] == 256 * 12


def test_a_cloned_start_goes_on_with_ppo():
    env = env_of()
    agent = CloningAgent(env, core="gru", n_steps=8, batch_size=64, policy_kwargs={"core_size": 8})
    model = agent.learn(128).warm_start()
    before = {name: value.clone() for name, value in model.policy.state_dict().items()}
    rate = model.policy.optimizer.param_groups[0]["lr"]
    model.learn(128)
    assert model.num_timesteps == 128
    assert any(not torch.equal(before[name], value) for name, value in model.policy.state_dict().items())
    assert rate == pytest.approx(1e-3)


def test_cloning_reads_no_reward_unless_it_is_told_to():
    env = env_of()
    cloner = cloner_of(env)
    cloner.run(Budget(64))
    critic = [parameter.grad for parameter in cloner.model.policy.critic.parameters()]
    assert all(grad is None or not grad.any() for grad in critic)
    fitted = cloner_of(env, vf_coef=1.0)
    fitted.run(Budget(64))
    assert any(parameter.grad.any() for parameter in fitted.model.policy.critic.parameters())


def test_there_must_be_an_expert():
    with pytest.raises(TypeError, match="cloning needs environments with an expert"):
        Cloner(small_model(vector(RepeatFirst, 1), "none"))
    with pytest.raises(ValueError, match="decay must lie in"):
        cloner_of(env_of(), decay=2.0)


def test_the_aggregate_keeps_what_is_trained_on_alone():
    cloner = cloner_of(env_of())
    cloner.run(Budget(192))
    assert len(cloner.aggregate) == 3
    assert not any(rollout.observations for rollout in cloner.aggregate)
    assert cloner.train(cloner.aggregate[0]) > 0


def test_before_ppo_the_critic_learns_what_the_expert_earns():
    """PPO's own weight; a row of clones alone reads no reward."""
    agent = PPOAgent(env_of(), cloning_share=0.5, n_steps=8, batch_size=64)
    assert agent._cloner.vf_coef == agent.model.vf_coef > 0
    before = [parameter.clone() for parameter in agent.model.policy.critic.parameters()]
    agent._cloner.run(Budget(64))
    after = list(agent.model.policy.critic.parameters())
    assert any(not torch.equal(a, b) for a, b in zip(before, after, strict=True))


def test_an_episode_that_a_time_limit_cuts_is_worth_what_the_critic_says(monkeypatch):
    env = make_vec_env("ReasonGym-bAbI-qa1-v0", 8, seed=0, max_episode_steps=2, **TINY)
    cloner = cloner_of(env, vf_coef=0.5)
    cut = []

    def of_hundred(infos, dones, state):
        cut.append([bool(info.get("TimeLimit.truncated")) for info in infos])
        return 100.0 * torch.tensor(cut[-1])

    monkeypatch.setattr(cloner.model, "values_where_cut", of_hundred)
    cloner.run(Budget(64))
    rewards = cloner.aggregate[0].rewards
    assert torch.equal(rewards > 90, torch.tensor(cut))
    assert torch.tensor(cut).any()
