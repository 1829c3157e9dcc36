"""The slot memory: what it fills in under memory_view="recalled" is what memory_view="full" shows for the same actions."""

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces

from agents.evaluation import evaluate
from agents.frames import as_tensors
from agents.memory import SlotMemory
from agents.ppo import MemoryPPO
from reasongym.adapters.sb3 import make_vec_env
from tests.agents.conftest import RepeatFirst, reader_env, small_model, vector

CPU = torch.device("cpu")
N, STEPS = 16, 300
SETTINGS = [
    ("qa1", {}),
    ("qa2", {"memory_slots": 3, "units_per_slot": 3}),
    ("qa3", {"memory_slots": 2, "question_at": "end"}),
    ("qa15", {"units_per_slot": 1, "reason_when": "any"}),
    ("qa6", {"memory_slots": 0}),
    ("qa2", {"observer": "lexical", "gate": "salience", "memory_slots": 4}),
]


def draw_actions(mask, draw):
    """Mostly legal actions, seldom an answer or an illegal one, so that episodes fill, update and overwrite their slots."""
    weight = mask * draw.random(mask.shape) + 0.02 * draw.random(mask.shape)
    weight[:, -1:] += 0.01 * mask[:, -1:]
    return weight.argmax(1)


def twins(task, settings, **keywords):
    """The same environments twice: one that hides what its slots hold, one that shows it."""
    name = f"ReasonGym-bAbI-{task}-v0"
    return [
        gym.make_vec(name, num_envs=N, num_problems=500, memory_view=view, **settings, **keywords)
        for view in ("recalled", "full")
    ]


@pytest.mark.parametrize(("task", "settings"), SETTINGS)
@pytest.mark.parametrize("autoreset", ["NextStep", "SameStep"])
def test_the_memory_filled_in_is_the_full_views(task, settings, autoreset):
    hidden, shown = twins(task, settings, autoreset_mode=autoreset, copy=False)
    observation, full = hidden.reset(seed=7)[0], shown.reset(seed=7)[0]
    memory = SlotMemory(hidden.single_observation_space)
    state, draw = memory.initial_state(N, CPU), np.random.default_rng(3)
    ended, starts, seen, episodes = np.zeros(N, bool), np.ones(N, bool), 0, 0
    for _ in range(STEPS):
        filled, state = memory.remember(as_tensors(observation, CPU), state, torch.as_tensor(starts))
        np.testing.assert_array_equal(filled["memory"].numpy(), full["memory"])
        assert filled["memory"].dtype == torch.as_tensor(full["memory"]).dtype
        assert all(filled[key] is not None and (filled[key].numpy() == full[key]).all() for key in full if key != "memory")
        assert not observation["memory"].any()
        seen += int(full["memory"].any())
        actions = draw_actions(full["action_mask"], draw)
        observation, _, ended_now, _, _ = hidden.step(actions)
        full, _, _, _, _ = shown.step(actions)
        starts = ended if autoreset == "NextStep" else ended_now  # a NextStep vector shows the beginning a step later
        ended = ended_now.copy()
        episodes += int(ended.sum())
    assert episodes > N
    assert (seen > STEPS / 2) == bool(settings.get("memory_slots", 10))


@pytest.mark.parametrize("task", ["qa1", "qa3"])
def test_what_is_shown_is_left_as_it_is(task):
    """Under the full view nothing changes, even where the state knows nothing, or other words."""
    _, shown = twins(task, {})
    observation = shown.reset(seed=1)[0]
    memory, draw = SlotMemory(shown.single_observation_space), np.random.default_rng(0)
    state = memory.initial_state(N, CPU)
    for t in range(60):
        wrong = tuple(torch.randint_like(s, 1, 9) if t % 3 else s for s in state)
        filled, state = memory.remember(as_tensors(observation, CPU), wrong, torch.zeros(N, dtype=torch.bool))
        for key, value in observation.items():
            np.testing.assert_array_equal(filled[key].numpy(), value, err_msg=key)
        observation = shown.step(draw_actions(observation["action_mask"], draw))[0]


def one(unit, positions):
    """One environment with 2 slots of 2 units of 1 token, memory hidden."""
    return {
        "unit": torch.tensor([[unit]]),
        "memory_positions": torch.tensor([positions]),
        "memory": torch.zeros(1, 2, 2, dtype=torch.long),
    }


def test_store_update_and_overwrite_by_hand():
    """Units 11 to 15 are read: STORE 1, UPDATE 1, NEXT, UPDATE 1 (drops 11), STORE 1 (overwrites)."""
    space = spaces.Dict(
        unit=spaces.Box(0, 99, (1,), np.int64),
        memory=spaces.Box(0, 99, (2, 2), np.int64),
        memory_positions=spaces.Box(0, 1, (2, 2), np.float32),
    )
    memory, empty = SlotMemory(space), [0.0, 0.0]
    expected = [
        (11, empty, [0, 0]),
        (12, [0.2, 0.0], [11, 0]),
        (13, [0.2, 0.4], [11, 12]),
        (14, [0.2, 0.4], [11, 12]),
        (15, [0.4, 0.8], [12, 14]),
        (0, [1.0, 0.0], [15, 0]),
    ]
    state, going_on = memory.initial_state(1, CPU), torch.zeros(1, dtype=torch.bool)
    for unit, positions, words in expected:
        filled, state = memory.remember(one(unit, [positions, empty]), state, going_on)
        assert filled["memory"].tolist() == [[words, [0, 0]]]
    _, fresh = memory.remember(one(21, [empty, empty]), state, ~going_on)
    assert [s.flatten().tolist() for s in fresh] == [[0] * 4, [0] * 4, [21]]
    # a state that begins in the middle of an episode knows no words of what was held before
    filled, _ = memory.remember(one(13, [[0.2, 0.4], empty]), memory.initial_state(1, CPU), going_on)
    assert not filled["memory"].any()


def test_a_reset_forgets_positions_that_return():
    memory = SlotMemory(reader_env(1, memory_view="recalled").observation_space)
    state = tuple(torch.ones_like(s) for s in memory.initial_state(3, CPU))
    observation = {
        key: torch.ones_like(s)
        for key, s in zip(("memory", "memory_positions", "unit"), memory.initial_state(3, CPU), strict=True)
    }
    observation["memory"] *= 0
    reset = torch.tensor([False, True, False])
    filled, _ = memory.remember(observation, state, reset)
    assert filled["memory"].flatten(1).any(1).tolist() == [True, False, True]


def test_the_policy_under_the_recalled_view_is_the_policy_under_the_full_view():
    """With the same seed the two train to the same parameters, bit for bit, cut short by a time limit or not."""
    trained = []
    for core, view in (("slots", "recalled"), ("slots", "full"), ("none", "full")):
        env = make_vec_env(
            "ReasonGym-bAbI-qa2-v0", 8, seed=0, num_problems=200, memory_view=view, memory_slots=3, max_episode_steps=30
        )
        trained.append(small_model(env, core, n_steps=48, batch_size=96).learn(8 * 48 * 3))
    assert trained[0].rollout_buffer.observations["memory"].any()
    for model in trained[1:]:
        for (name, a), b in zip(trained[0].policy.named_parameters(), model.policy.parameters(), strict=True):
            assert torch.equal(a, b), name


def test_predict_carries_the_slots():
    """Step by step with SB3's `predict`, many environments or one, as a policy that sees everything."""
    environments = [reader_env(8, memory_view=view, memory_slots=3) for view in ("recalled", "full")]
    models = [small_model(env, "slots") for env in environments]
    hidden, full = (env.reset() for env in environments)
    state, single, starts, differs = None, None, np.ones(8, bool), False
    for _ in range(60):
        actions, state = models[0].predict(hidden, state=state, episode_start=starts, deterministic=True)
        first, single = models[0].predict(
            {key: value[0] for key, value in hidden.items()}, state=single, episode_start=starts[:1], deterministic=True
        )
        expected, _ = models[1].predict(full, deterministic=True)  # needs no state: all is shown
        np.testing.assert_array_equal(actions, expected)
        assert first == expected[0]
        blind, _ = models[0].predict(hidden, deterministic=True)
        differs |= bool((blind != expected).any())
        (hidden, _, starts, _), (full, *_) = (env.step(actions) for env in environments)
    assert differs, "without its state the policy must act otherwise, or this test says nothing"


def test_evaluation_and_save_load(tmp_path):
    environments = [reader_env(8, split="validation", memory_view=view) for view in ("recalled", "full")]
    model = small_model(reader_env(memory_view="recalled"), "slots").learn(64)
    model.save(tmp_path / "model")
    loaded = MemoryPPO.load(tmp_path / "model", device="cpu")
    results = [evaluate(which, env, problems=20) for which in (model, loaded) for env in environments]
    assert all(result == results[0] for result in results)


def test_other_observations_are_refused():
    with pytest.raises(ValueError, match=r"core='slots' needs a Dict observation .*missing: .*got Box"):
        small_model(vector(RepeatFirst, 1), "slots")
    space = spaces.Dict({key: spaces.Box(0, 1, (2, 3)) for key in ("unit", "memory", "memory_positions")})
    with pytest.raises(ValueError, match=r"memory \(K, J \* L\) as ReasonGym shows them, got \(2, 3\)"):
        SlotMemory(space)
