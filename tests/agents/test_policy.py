"""The policy: masks, gradients, slots without numbers, one observation or many."""

import numpy as np
import pytest
import torch

from agents.distributions import entropy, masked_log_probs, sample
from agents.frames import as_tensors
from agents.memory import CORES
from reasongym.errors import UnknownNameError
from tests.agents.conftest import RepeatFirst, reader_env, small_model, vector

CPU = torch.device("cpu")


def run(policy, observation):
    n = len(observation["unit"])
    reset = torch.ones(1, n, dtype=torch.bool)
    return policy.evaluate(policy.prepare(as_tensors(observation, CPU)), policy.initial_state(n), reset)


def test_masked_distribution_by_hand():
    mask = torch.tensor([[True, False, True]])
    log_probs = masked_log_probs(torch.zeros(1, 3, requires_grad=True), mask)
    torch.testing.assert_close(log_probs.exp(), torch.tensor([[0.5, 0.0, 0.5]]))
    assert entropy(log_probs).item() == pytest.approx(np.log(2), rel=1e-6)
    only = masked_log_probs(torch.zeros(1, 3), torch.tensor([[False, True, False]]))
    assert entropy(only).item() == pytest.approx(0, abs=1e-6)


def test_illegal_actions_are_never_drawn():
    torch.manual_seed(0)
    mask = torch.rand(20_000, 9) < 0.3
    mask[:, 4] = True
    actions = sample(masked_log_probs(5 * torch.randn(20_000, 9), mask))
    assert mask.gather(1, actions[:, None]).all()


@pytest.mark.parametrize("core", sorted(CORES))
def test_only_legal_actions_are_taken(core):
    env = reader_env()
    model = small_model(env, core)
    model.learn(128)
    rollout = model.rollout_buffer
    legal = rollout.observations["action_mask"].gather(2, rollout.actions[..., None])
    assert legal.all()


@pytest.mark.parametrize("core", sorted(CORES))
def test_no_nan_gradients_on_empty_memory(core):
    env = reader_env()
    model = small_model(env, core)
    observation = env.reset()
    assert not observation["memory"].any()
    log_probs, values, _ = run(model.policy, observation)
    (values.sum() - entropy(log_probs).sum()).backward()
    for name, parameter in model.policy.named_parameters():
        assert parameter.grad is None or torch.isfinite(parameter.grad).all(), name


def test_permuting_the_slots_permutes_the_logits():
    """Policy heads know no slot number: only filled slots are swapped, since empty ones differ in what is legal."""
    env = reader_env(n_envs=32, memory_slots=3)
    model, observation = small_model(env, "none"), env.reset()
    for k in range(3):
        legal = observation["action_mask"]
        observation = env.step(np.where(legal[:, 1 + k], 1 + k, legal.argmax(1)))[0]
    full = observation["memory_features"][:, :, 0].all(1)
    assert full.any(), "some environment must have filled its slots"
    observation = {key: value[full] for key, value in observation.items()}
    order = [2, 0, 1]
    swapped = {key: value.copy() for key, value in observation.items()}
    for key in ("memory", "memory_positions", "memory_features"):
        swapped[key] = observation[key][:, order]
    blocks = [0, *(1 + 3 * kind + k for kind in range(3) for k in order)]
    columns = blocks + list(range(10, observation["action_mask"].shape[1]))
    swapped["action_mask"] = observation["action_mask"][:, columns]
    with torch.no_grad():
        before, after = run(model.policy, observation)[0], run(model.policy, swapped)[0]
    torch.testing.assert_close(before[:, columns], after, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("core", sorted(CORES))
def test_predict_on_one_and_on_many(core):
    env = reader_env()
    model, observation = small_model(env, core), env.reset()
    actions, state = model.predict(observation, deterministic=True)
    assert actions.shape == (4,)
    for i in range(4):
        one, _ = model.predict({key: value[i] for key, value in observation.items()}, deterministic=True)
        assert one == actions[i]
    again, _ = model.predict(observation, state=state, episode_start=np.ones(4, bool), deterministic=True)
    np.testing.assert_array_equal(again, actions)  # episode_start clears the state


def test_bad_names_say_what_there_is():
    with pytest.raises(UnknownNameError, match=r"unknown core 'gruu'.*did you mean 'gru'"):
        small_model(vector(RepeatFirst, 1), "gruu")
    with pytest.raises(UnknownNameError, match="unknown encoder"):
        small_model(vector(RepeatFirst, 1), policy_kwargs={"encoder": "readr"})
    with pytest.raises(ValueError, match="encoder='reader' needs a Dict observation"):
        small_model(vector(RepeatFirst, 1), policy_kwargs={"encoder": "reader"})
    with pytest.raises(UnknownNameError, match=r"unknown head 'hierarchic'.*did you mean 'hierarchical'"):
        small_model(vector(RepeatFirst, 1), policy_kwargs={"head": "hierarchic"})
    with pytest.raises(ValueError, match="head='hierarchical' needs encoder='reader'"):
        small_model(vector(RepeatFirst, 1), policy_kwargs={"head": "hierarchical"})


def test_every_slot_is_pointed_at_when_its_words_are_hidden():
    """memory_view="recalled": slots are trimmed by what is occupied, not by the words that are shown."""
    env = reader_env(n_envs=1, memory_slots=4, memory_view="recalled")
    model, observation = small_model(env, "none"), env.reset()
    for k in range(2):
        observation = env.step(np.array([1 + k]))[0]
    assert not observation["memory"].any()
    frames = model.policy.prepare(as_tensors(observation, CPU))
    assert frames.columns["present"].tolist() == [[True, True, False]]  # two held, the next that can be stored to


@pytest.mark.parametrize("core", ["gru", "dnc", "rmc"])
def test_a_core_alone_remembers_without_slots(core):
    """K = 0, no external memory: NEXT until the text is over, then an answer; the same network learns and acts."""
    env = reader_env(memory_slots=0)
    model = small_model(env, core).learn(128)
    kinds = np.unique(model.rollout_buffer.actions.numpy())
    assert kinds.min() == 0
    assert kinds.max() >= 1
    actions, state = model.predict(env.reset(), deterministic=True)
    assert actions.shape == (4,)
    assert all(len(s) == 4 for s in state)


def test_a_cores_own_sizes_are_passed_on():
    model = small_model(reader_env(), "dnc", policy_kwargs={"core_kwargs": {"memory_size": 5, "word_size": 3, "num_reads": 2}})
    assert tuple(model.policy.initial_state(4)[3].shape) == (4, 5, 3)
