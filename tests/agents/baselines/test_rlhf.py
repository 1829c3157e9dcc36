"""Comparisons, the model of Bradley and Terry, and PPO near a reference policy."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from agents.annotators import Annotators, Ends, play_pairs
from agents.base import SB3Agent
from agents.baselines.kl_ppo import KLPPO
from agents.baselines.rlhf import RewardModelVecEnv, RLHFAgent
from agents.baselines.settings import memory_ppo
from agents.budget import Budget
from agents.reward_model import RewardModel, bradley_terry_loss, pair_accuracy
from reasongym.adapters.sb3 import make_vec_env

TINY = {"difficulty": {"max_units": 2}, "memory_slots": 2}
SMALL = {"n_steps": 8, "batch_size": 64, "policy_kwargs": {"size": 16}}


def env_of(n_envs: int = 8, **keywords):
    return make_vec_env("ReasonGym-bAbI-qa1-v0", n_envs, seed=0, **{**TINY, **keywords})


def test_bradley_and_terry_by_hand():
    """A margin of log 3 makes the first three times as likely: 3/4. A tie is half of each."""
    margin = torch.tensor([math.log(3)])
    assert bradley_terry_loss(margin, torch.tensor([1.0])).item() == pytest.approx(-math.log(3 / 4))
    assert bradley_terry_loss(margin, torch.tensor([0.0])).item() == pytest.approx(-math.log(1 / 4))
    assert bradley_terry_loss(margin, torch.tensor([0.5])).item() == pytest.approx(-0.5 * math.log(3 / 16))
    assert bradley_terry_loss(torch.zeros(3), torch.tensor([0.0, 0.5, 1.0])).item() == pytest.approx(math.log(2))


def test_scores_fitted_to_counts_are_bradley_and_terrys():
    """Of two items, the first preferred in 8 of 10: the likeliest margin is log 4."""
    margin = torch.zeros(1, requires_grad=True)
    said = torch.tensor([1.0] * 8 + [0.0] * 2)
    optimizer = torch.optim.SGD([margin], 2.0)
    for _ in range(200):
        optimizer.zero_grad()
        bradley_terry_loss(margin.expand(10), said).backward()
        optimizer.step()
    assert margin.item() == pytest.approx(math.log(4), abs=1e-3)


def test_pair_accuracy_by_hand():
    """Useful: of the strict pairs one right, one wrong, one undecided (half): 1.5 / 3. Harmful: nobody had a preference."""
    margins = np.array([[2.0, 1.0], [-1.0, 1.0], [0.0, 1.0], [5.0, 1.0]])
    labels = np.array([[1.0, 0.5], [1.0, 0.5], [0.0, 0.5], [0.5, 0.5]])
    found = pair_accuracy(margins, labels)
    assert found["useful"] == pytest.approx(0.5)
    assert math.isnan(found["harmful"])


def test_annotators_are_paid_and_err():
    first, second = np.array([[1.0, 0.0], [0.0, 0.0]]), np.array([[0.0, 1.0], [0.0, 0.0]])
    exact = Annotators(budget=4, error=0.0)
    np.testing.assert_array_equal(exact.compare(first, second), [[1.0, 0.0], [0.5, 0.5]])
    assert (exact.left, exact.labels) == (0, 4)
    assert exact.label_bits == pytest.approx(4 * math.log2(3))
    with pytest.raises(ValueError, match="4 labels were asked for, and 0 of 4 are left"):
        exact.compare(first, second)
    many = np.ones((20_000, 2))
    said = Annotators(None, error=0.2).compare(many, 0 * many)
    assert np.mean(said == 0.0) == pytest.approx(0.2, abs=0.01)
    tied = Annotators(None, error=0.2).compare(many, many)
    assert np.mean(tied == 0.5) == pytest.approx(0.8, abs=0.01)
    with pytest.raises(ValueError, match="error must lie in"):
        Annotators(error=0.9)


class Expert:
    """Plays as the expert does."""

    def __init__(self, env):
        self.env = env

    def predict(self, observation, state=None, episode_start=None, deterministic=True):
        return self.env.vector.expert_action(), None


class Guesser(Expert):
    """Reads on, and answers the gold choice although nothing was kept."""

    def predict(self, observation, state=None, episode_start=None, deterministic=True):
        first = 1 + 3 * observation["memory_features"].shape[1]
        return np.where(observation["progress"][:, 2] > 0, 0, first + self.env.gold_choice.astype(np.int64)), None


def test_what_annotators_judge():
    """The expert's episodes are useful and harmless; a right answer without evidence is useful and does harm."""
    env = env_of()
    problems = np.array([3, 1, 4, 1, 5, 9, 2, 6, 5])  # more than fit into one go
    ends = play_pairs(Expert(env), env, problems)
    assert ends.actions.shape == (18,)
    np.testing.assert_array_equal(ends.judged, np.tile([1.0, 0.0], (18, 1)))
    np.testing.assert_array_equal(ends.observations["question"][:9], ends.observations["question"][9:])
    np.testing.assert_array_equal(ends.observations["question"][1], ends.observations["question"][3])
    assert (ends.actions >= 1 + 3 * 2).all(), "the last action is the answer"
    np.testing.assert_array_equal(play_pairs(Guesser(env), env, problems).judged, np.ones((18, 2)))


def test_annotators_need_annotation():
    env = env_of(prm="lexical")
    with pytest.raises(ValueError, match="annotators judge by support and gold"):
        play_pairs(memory_ppo(env, **SMALL), env, np.array([0]))


def test_a_reward_model_tells_right_from_wrong_answers():
    """Pairs of the expert's ends, one of each with another answer: the scores learn which, on pairs not trained on."""
    env = env_of(32, num_problems=400)
    ends = play_pairs(Expert(env), env, np.arange(160))
    wrong = ends.actions.copy()
    choices = 6
    wrong[160:] = 7 + (wrong[160:] - 7 + 1 + np.arange(160) % (choices - 1)) % choices
    ends = Ends(ends.observations, wrong, ends.judged, ends.steps)
    torch.manual_seed(0)
    model = RewardModel(memory_ppo(env, **SMALL))
    labels = np.column_stack([np.ones(160), np.full(160, 0.5)])
    fit = model.fit(ends, labels, epochs=30, batch_size=16, learning_rate=2e-3)
    assert fit.accuracy["useful"] > 0.75
    assert (fit.pairs, fit.held_out) == (128, 32)
    rewards = model.reward(ends.observations, ends.actions, harm=0.0)
    assert rewards.mean() == pytest.approx(0, abs=1e-4)
    assert rewards[:160].mean() > rewards[160:].mean() + 0.5
    with pytest.raises(ValueError, match="at least ten labelled pairs"):
        model.fit(ends, labels[:4])


def test_the_reward_comes_on_the_last_step():
    class Constant:
        def reward(self, observations, actions, harm):
            assert len(observations["unit"]) == len(actions)
            return np.full(len(actions), 0.25, np.float32)

    env = RewardModelVecEnv(env_of(), Constant())
    env.reset()
    ended = 0
    for _ in range(12):
        _, rewards, dones, _ = env.step(env.venv.vector.expert_action())
        np.testing.assert_array_equal(rewards, 0.25 * dones)
        ended += int(dones.sum())
    assert ended


@pytest.mark.parametrize("core", ["none", "gru"])
def test_the_divergence_from_the_reference_is_taken_off_the_reward(core):
    """None while the policy is its own reference. Then kl_coef (log pi - log pi_ref), with pi_ref run step by step."""
    env = RewardModelVecEnv(env_of())
    model = memory_ppo(env, algorithm=KLPPO, kl_coef=0.5, core=core, **SMALL)
    _, callback = model._setup_learn(1_000)

    def collect():
        assert model.collect_rollouts(model.env, callback, model.rollout_buffer, model.n_steps)
        return model.rollout_buffer

    assert collect().rewards.abs().max() < 1e-5
    torch.manual_seed(3)
    for parameter in model.policy.actor.parameters():
        parameter.data += 0.3 * torch.randn_like(parameter)
    state = tuple(tensor.clone() for tensor in model._ref_state)
    rollout = collect()
    assert rollout.starts[1:].any()
    expected = torch.zeros_like(rollout.rewards)
    for t in range(model.n_steps):
        observation = {key: value[t] for key, value in rollout.observations.items()}
        with torch.no_grad():
            step = model.ref_policy(observation, state, rollout.starts[t])
        state = step.state
        reference = step.log_probs.gather(1, rollout.actions[t][:, None]).squeeze(1)
        expected[t] = -0.5 * (rollout.log_probs[t] - reference)
    torch.testing.assert_close(rollout.rewards, expected, atol=1e-4, rtol=1e-4)
    assert rollout.rewards.abs().max() > 1e-3


def test_the_reference_is_saved(tmp_path):
    env = env_of()
    model = memory_ppo(env, algorithm=KLPPO, **SMALL).learn(64)
    model.save(tmp_path / "model")
    loaded = KLPPO.load(tmp_path / "model", env=env, device="cpu")
    for name, value in model.ref_policy.state_dict().items():
        assert torch.equal(value, loaded.ref_policy.state_dict()[name]), name
    assert any(not torch.equal(a, b) for a, b in zip(loaded.policy.parameters(), loaded.ref_policy.parameters(), strict=True))


def test_the_recipe_spends_its_labels_and_says_so():
    agent = RLHFAgent(env_of(), label_budget=100, rounds=2, **SMALL).learn(1_500)
    assert 0 < agent.ledger["labels"] <= 100
    assert agent.ledger["label_bits"] == pytest.approx(agent.ledger["labels"] * math.log2(3))
    assert agent.fits[0]["labels"] == 50  # half of them in the first of two rounds: 25 pairs
    assert agent.fits[0]["pairs"] + agent.fits[0]["held_out"] == 25
    assert agent.wrapped.reward_model is not None


class LikesTheFirst:
    """A stand-in for a reward model: pays for answering with the first choice, whatever the question."""

    def reward(self, observations, actions, harm):
        return (actions == 7).astype(np.float32)


@pytest.mark.parametrize(("kl_coef", "low", "high"), [(0.0, 0.8, 1.0), (5.0, 0.0, 0.5)])
def test_the_reward_is_learned_as_far_as_the_divergence_lets_it(kl_coef, low, high):
    env = RewardModelVecEnv(env_of(32), LikesTheFirst())
    model = memory_ppo(env, algorithm=KLPPO, kl_coef=kl_coef, gae_lambda=0.95, learning_rate=2e-3, ent_coef=0.0, **SMALL)
    model.learn(6_000)
    observation, first, answered = env.reset(), 0, 0
    for _ in range(30):
        actions, _ = model.predict(observation, deterministic=False)
        first, answered = first + int((actions == 7).sum()), answered + int((actions >= 7).sum())
        observation, *_ = env.step(actions)
    assert low <= first / answered <= high


def test_before_the_policy_moves_the_critic_learns_what_is_paid():
    """Everything else stays as it is, the encoder that both read included; then everything learns."""
    model = memory_ppo(RewardModelVecEnv(env_of(32), LikesTheFirst()), algorithm=KLPPO, **SMALL)
    model.critic_first = 2
    before = {name: value.clone() for name, value in model.policy.state_dict().items()}
    model.learn(256)
    moved = {name.split(".")[0] for name, value in model.policy.state_dict().items() if not torch.equal(value, before[name])}
    assert moved <= {"critic", "bodies", "cores"}
    assert "critic" in moved
    assert all(
        torch.equal(value, before[name]) for name, value in model.policy.state_dict().items() if name.startswith("bodies.0")
    )
    assert model.critic_first == 1
    model.learn(512, reset_num_timesteps=False)
    assert model.critic_first == 0
    assert any(
        not torch.equal(value, before[name]) for name, value in model.policy.state_dict().items() if name.startswith("actor")
    )


def test_a_reference_that_has_not_seen_the_last_steps_begins_anew():
    model = memory_ppo(RewardModelVecEnv(env_of()), algorithm=KLPPO, core="gru", **SMALL)
    budget = Budget(128)
    SB3Agent(model).spend(budget)
    assert model.num_timesteps == 128
    model.learn(500, callback=lambda local, _: local["t"] < 3, reset_num_timesteps=False)
    assert model._last_obs is None
    SB3Agent(model).spend(Budget(64))
    assert model.rollout_buffer.starts[0].all()


def test_schedules_fall_over_all_rounds():
    """Three rounds of PPO: the learning rate never rises, and falls to about nothing at the end of the last."""
    agent = RLHFAgent(env_of(), label_budget=60, rounds=3, cloning_share=0.0, **SMALL)
    rates, train = [], agent.model.train

    def watched():
        rates.append(agent.model._current_progress_remaining)
        train()

    agent.model.train = watched
    agent.learn(3_000)
    assert len(agent.fits) == 3
    assert len(rates) > 20
    assert rates == sorted(rates, reverse=True)
    assert rates[0] > 0.8
    assert rates[-1] < 0.05
    assert np.abs(np.diff(rates)).max() < 0.3, "rounds begin where the last one ended, but for what was compared"


def test_free_labels_are_as_many_as_their_share_of_the_budget_plays_for():
    def spent(share):
        agent = RLHFAgent(
            env_of(), label_budget=None, label_error=0.0, pairs=8, compare_share=share, rounds=2, cloning_share=0.0, **SMALL
        )
        agent.learn(1_600)
        return agent

    few, many = spent(0.0), spent(0.5)
    assert few.ledger["labels"] == 2 * 8 * 2, "once a round, eight pairs of two qualities"
    assert 0.5 * 1_600 <= many._ends.steps < 0.5 * 1_600 + 2 * 16 * 30, "whole episodes"
    assert many.ledger["labels"] == 2 * len(many._labels) > 2 * few.ledger["labels"]
    assert "as many labels as 50% of the budget plays for, with 0% errors" in many.supervision
    with pytest.raises(ValueError, match=r"compare_share must lie in \[0, 1\), got 1"):
        spent(1.0)


def test_what_is_paid_was_fitted_to_all_pairs(monkeypatch):
    """The number of epochs is chosen on some of the pairs; then held-out ones are fitted to as well as the others."""
    env = env_of(32, num_problems=400)
    ends = play_pairs(Expert(env), env, np.arange(40))
    labels = np.column_stack([np.random.default_rng(0).integers(0, 2, 40), np.full(40, 0.5)]).astype(float)
    torch.manual_seed(0)
    model, trained = RewardModel(memory_ppo(env, **SMALL)), []
    margins = model.margins
    model.margins = lambda ends, pairs: (trained.append(pairs) if torch.is_grad_enabled() else None) or margins(ends, pairs)
    fit = model.fit(ends, labels, epochs=3, batch_size=16)
    seen = torch.cat(trained).bincount(minlength=40)
    assert fit.epochs >= 1
    assert (seen >= fit.epochs).all(), "every pair, once an epoch"
    assert (seen == fit.epochs).sum() == fit.held_out + 3, "held-out and watched ones in the last fit alone"
    monkeypatch.setattr("agents.reward_model.MOST_UPDATES", 4)  # of 16 of the 29 pairs that are trained on first: two epochs
    trained.clear()
    assert model.fit(ends, labels, epochs=30, batch_size=16).epochs <= 2
    assert torch.cat(trained).bincount(minlength=40).max() <= 4
