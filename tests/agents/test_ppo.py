"""MemoryPPO as a Stable-Baselines3 algorithm, and that it learns what needs a memory."""

import warnings
from types import SimpleNamespace

import gymnasium as gym
import numpy as np
import pytest
import torch
from stable_baselines3.common.callbacks import BaseCallback, EvalCallback
from stable_baselines3.common.env_util import make_vec_env as sb3_vec_env
from stable_baselines3.common.evaluation import evaluate_policy

from agents import checkpoint
from agents.evaluation import evaluate, wilson
from agents.frames import as_tensors
from agents.memory import CORES
from agents.ppo import MemoryPPO
from reasongym.adapters.feedback import ValueFeedback
from reasongym.adapters.sb3 import make_vec_env
from reasongym.engine.gold import ELSEWHERE
from tests.agents.conftest import RepeatFirst, reader_env, small_model, vector


@pytest.mark.parametrize("core", sorted(CORES))
def test_the_first_minibatch_finds_the_rollouts_probabilities(core):
    """Old log-probabilities were computed step by step, new ones on whole sequences with resets inside."""
    model = small_model(reader_env(), core, n_steps=48, batch_size=96)
    _, callback = model._setup_learn(192)
    model.collect_rollouts(model.env, callback, model.rollout_buffer, model.n_steps)  # the second begins inside episodes
    model.collect_rollouts(model.env, callback, model.rollout_buffer, model.n_steps)
    assert model.rollout_buffer.starts[1:].any()
    batch = next(model.rollout_buffer.minibatches(model.batch_size, model.policy.by_columns))
    log_probs, values, _ = model.policy.evaluate(batch.frames, batch.state, batch.reset)
    new = log_probs.gather(1, batch.actions[:, None]).squeeze(1)
    torch.testing.assert_close(new, batch.log_probs, atol=1e-5, rtol=0)
    torch.testing.assert_close(values, batch.values, atol=1e-5, rtol=0)
    _, record = model.loss(batch)
    assert float(record["clip_fraction"]) == 0
    assert abs(float(record["approx_kl"])) < 1e-6


@pytest.mark.parametrize("core", sorted(CORES))
def test_save_load_predict(core, tmp_path):
    env = reader_env()
    model = small_model(env, core).learn(64)
    model.save(tmp_path / "model")
    loaded = MemoryPPO.load(tmp_path / "model", env=env, device="cpu")
    for (name, a), b in zip(model.policy.named_parameters(), loaded.policy.parameters(), strict=True):
        assert torch.equal(a, b), name
    observation = env.reset()
    np.testing.assert_array_equal(
        model.predict(observation, deterministic=True)[0], loaded.predict(observation, deterministic=True)[0]
    )
    loaded.learn(64, reset_num_timesteps=False)


def test_the_same_seed_trains_the_same():
    first, second = (small_model(reader_env(), "lstm").learn(192) for _ in range(2))
    for a, b in zip(first.policy.parameters(), second.policy.parameters(), strict=True):
        assert torch.equal(a, b)


class Stop(BaseCallback):
    """Ends training after so many steps, whatever the rollout."""

    def __init__(self, steps: int) -> None:
        super().__init__()
        self.steps = steps

    def _on_step(self) -> bool:
        return self.n_calls < self.steps


def test_training_that_was_ended_goes_on_where_the_environments_are():
    """Twenty steps: the second rollout ends after its fourth step. Of twins, one is taken through the same actions."""
    env, twin = reader_env(), reader_env()
    model = small_model(env, "gru")
    acted, step = [], env.step
    env.step = lambda actions: acted.append(actions.copy()) or step(actions)
    model.learn(1_000, callback=Stop(20))
    assert len(acted) == 20
    observation, starts, state = twin.reset(), np.ones(4, bool), model.rollout_buffer.state
    for t, actions in enumerate(acted):
        if t >= model.n_steps:  # since its last update
            with torch.no_grad():
                state = model.policy(as_tensors(observation, model.device), state, torch.as_tensor(starts)).state
        observation, _, starts, _ = twin.step(actions)
    for key, value in observation.items():
        np.testing.assert_array_equal(model._last_obs[key], value, key)
    np.testing.assert_array_equal(model._last_episode_starts, starts)
    for mine, expected in zip(model._last_state, state, strict=True):
        torch.testing.assert_close(mine, expected)


@pytest.mark.parametrize("core", ["none", "gru", "slots"])
def test_with_feedback_a_checkpoint_goes_on_to_the_same_parameters(core, tmp_path):
    """What the value estimate remembers is part of the state of the environments that it acts on."""

    def made():
        env = ValueFeedback(reader_env(memory_slots=3, memory_view="recalled"))
        env.model = small_model(env, core)
        return env.model

    whole = made().learn(128)
    checkpoint.save(tmp_path / "saved.pt", whole)
    resumed = made()
    checkpoint.load(tmp_path / "saved.pt", resumed)
    for model in (whole, resumed):
        torch.manual_seed(3)
        model.learn(256, reset_num_timesteps=False)
    for (name, a), b in zip(whole.policy.named_parameters(), resumed.policy.parameters(), strict=True):
        assert torch.equal(a, b), name
    without = ValueFeedback(reader_env(memory_slots=3, memory_view="recalled"))
    with pytest.raises(ValueError, match="set `model` to one of its kind first"):
        without.set_state(whole.env.get_state())


def test_sb3_evaluation(tmp_path):
    env = reader_env()
    callback = EvalCallback(reader_env(split="validation"), n_eval_episodes=4, eval_freq=16, log_path=str(tmp_path), verbose=0)
    model = small_model(env, "gru").learn(128, callback=callback)
    assert (tmp_path / "evaluations.npz").exists()
    mean, _ = evaluate_policy(model, reader_env(split="validation"), n_eval_episodes=4)
    assert np.isfinite(mean)


def test_every_problem_is_played_once_whatever_the_number_of_environments():
    model = small_model(reader_env(), "none")
    results = [evaluate(model, reader_env(n, split="validation"), problems=13) for n in (4, 13)]
    assert results[0] == results[1]
    assert results[0].problems == 13


def test_wilson_by_hand():
    """z = 2 on 8 of 10: centre 0.8 + 4/20 = 1, half 2 sqrt(0.016 + 0.01) = 0.3225, both over 1.4."""
    assert wilson(8, 10, z=2.0) == pytest.approx(((1 - 0.32249) / 1.4, (1 + 0.32249) / 1.4), abs=1e-4)


def test_gold_is_read_only_for_the_answer_loss(monkeypatch):
    asked = []
    env_class = type(reader_env())
    gold = env_class.gold_choice
    monkeypatch.setattr(env_class, "gold_choice", property(lambda self: asked.append(1) or gold.fget(self)))
    small_model(reader_env(), "none").learn(64)
    assert not asked
    small_model(reader_env(), "none", answer_loss_coef=1.0).learn(64)
    assert asked


def test_the_answer_loss_is_refused_where_gold_is_not_told():
    with pytest.raises(PermissionError, match="training split only"):
        small_model(reader_env(split="validation"), "none", answer_loss_coef=1.0).learn(64)


def test_a_core_remembers_what_a_plain_policy_cannot():
    """Repeating the bit shown three steps ago pays 1; without memory chance pays 0.5."""
    settings = {"n_steps": 32, "batch_size": 256, "n_epochs": 4, "learning_rate": 5e-3, "ent_coef": 0.0}
    returns = {}
    for core in ("none", "lstm"):
        model = small_model(vector(RepeatFirst, 16), core, **settings).learn(8192)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            returns[core], _ = evaluate_policy(model, vector(RepeatFirst, 16), n_eval_episodes=200)
    assert returns["lstm"] > 0.95
    assert returns["none"] < 0.7


def test_cartpole_improves():
    env = sb3_vec_env("CartPole-v1", n_envs=8, seed=0)
    model = small_model(env, "none", n_steps=64, batch_size=128, n_epochs=6, learning_rate=2e-3)
    before, _ = evaluate_policy(model, gym.make("CartPole-v1"), n_eval_episodes=10, warn=False)
    model.learn(12_000)
    after, _ = evaluate_policy(model, gym.make("CartPole-v1"), n_eval_episodes=10, warn=False)
    assert after > max(100, before)


@pytest.mark.parametrize(("when", "expected"), [("answered", np.log(4.0)), ("legal", (np.log(4.0) + np.log(6.0)) / 2)])
def test_the_answer_loss_by_hand(when, expected):
    """Six choices, legal in two of three frames, uniform in the first; the second answers, and gives gold a quarter."""
    model = small_model(reader_env(), "none", answer_loss_coef=1.0, answer_loss_when=when)
    C, n = model.policy.actor.num_choices, model.action_space.n
    assert C == 6
    log_probs = torch.full((3, n), -np.log(n))
    log_probs[1, -C:] = -np.log(4.0)
    log_probs[1, -C] = float(np.log((C - 1) / 4 / 3))  # a third of the other choices together: a quarter of all
    mask = torch.ones(3, n, dtype=torch.bool)
    mask[2, -C:] = False
    frames = SimpleNamespace(columns={"action_mask": mask})
    batch = SimpleNamespace(actions=torch.tensor([0, n - C, 1]), gold=torch.tensor([0, 0, 0]), frames=frames)
    assert model._answer_loss(log_probs, batch).item() == pytest.approx(expected, abs=1e-5)


def test_of_spans_the_answer_loss_says_whether_to_abstain():
    """Two frames that may abstain, with probability 1/5 where there is no answer and 1/2 where there is one elsewhere."""
    env = make_vec_env("ReasonGym-SQuAD2-v0", 2, seed=0, num_problems=2, memory_slots=2)
    model = small_model(env, "none", answer_loss_coef=1.0)
    C, n = model.policy.actor.num_choices, model.action_space.n
    log_probs, mask = torch.full((3, n), -1e9), torch.zeros(3, n, dtype=torch.bool)
    log_probs[0, -1], log_probs[1, -1] = np.log(0.2), np.log(0.5)
    mask[:2, -1] = True
    frames = SimpleNamespace(columns={"action_mask": mask})
    batch = SimpleNamespace(actions=torch.zeros(3, dtype=torch.long), gold=torch.tensor([C - 1, ELSEWHERE, -1]), frames=frames)
    assert model._answer_loss(log_probs, batch).item() == pytest.approx((np.log(5.0) + np.log(2.0)) / 2, abs=1e-4)


def test_the_expert_loss_by_hand():
    """Three frames, two of which have an expert: its actions have probability 1/2 and 1/8."""
    model = small_model(reader_env(), "none", expert_loss_coef=1.0)
    log_probs = torch.full((3, model.action_space.n), -9.0)
    log_probs[0, 1], log_probs[2, 4] = np.log(1 / 2), np.log(1 / 8)
    batch = SimpleNamespace(best=torch.tensor([1, -1, 4]))
    assert model._expert_loss(log_probs, batch).item() == pytest.approx(np.log(16) / 2, abs=1e-5)
    assert not model._expert_loss(log_probs, SimpleNamespace(best=torch.full((3,), -1))).item()


def test_the_expert_is_asked_only_for_the_expert_loss(monkeypatch):
    asked = []
    env_class = type(reader_env())
    best = env_class.best_reasoning
    monkeypatch.setattr(env_class, "best_reasoning", property(lambda self: asked.append(1) or best.fget(self)))
    small_model(reader_env(), "none").learn(64)
    assert not asked
    small_model(reader_env(), "none", expert_loss_coef=1.0).learn(64)
    assert asked


@pytest.mark.parametrize(("name", "value"), [("gamma", 2.0), ("gamma", float("nan")), ("gae_lambda", -0.1), ("vf_coef", -1.0)])
def test_hyper_parameters_out_of_range_are_refused(name, value):
    with pytest.raises(ValueError, match=f"{name} must .*got {value}"):
        small_model(reader_env(), "none", **{name: value})


def test_a_training_that_diverges_ends_there():
    model = small_model(reader_env(), "none", ent_coef=float("nan"))
    with pytest.raises(FloatingPointError, match=r"training diverged after 64 frames: .*entropy"):
        model.learn(256)


def test_the_expert_loss_is_refused_where_it_cannot_be_told():
    with pytest.raises(PermissionError, match="training split only"):
        small_model(reader_env(split="validation"), "none", expert_loss_coef=1.0).learn(64)
    with pytest.raises(AttributeError, match="environments with an expert"):
        small_model(sb3_vec_env("CartPole-v1", n_envs=2), "none", expert_loss_coef=1.0).learn(64)
    with pytest.raises(ValueError, match="expert_loss_coef must be finite and not negative"):
        small_model(reader_env(), "none", expert_loss_coef=-1.0)
