"""A small agent in small environments."""

from __future__ import annotations

import torch

from agents.baselines.settings import memory_ppo
from agents.self_reward.arms import arm_of, make_env
from agents.self_reward.judge import Judge
from agents.self_reward.rewards import SelfRewardVecEnv, Weighting
from agents.self_reward.settings import Settings
from agents.self_reward.updates import SelfRewardPPO

ID = "ReasonGym-bAbI-qa1-v0"
TINY = {"difficulty": {"max_units": 4}, "memory_slots": 3}
SMALL = Settings(
    rounds=2, problems=12, samples=2, states=6, candidates=3, completions=1, annotated=4, timesteps=64, num_envs=8, n_steps=8,
    batch_size=32, capacity=30, max_age=2, lessons=8,
)  # fmt: skip


def agent(core: str = "none", arm: str = "gold", **keywords):
    """A paying environment, an agent, and its judge."""
    which = arm_of(arm)
    env = make_env(which, ID, 8, 0, **TINY)
    paid = SelfRewardVecEnv(env, Weighting({**env.batch.settings.model.default_beta, **which.beta}, meaning=which.meaning))
    settings = {"n_steps": 8, "batch_size": 32, "policy_kwargs": {"core_size": 12}, **keywords}
    model = memory_ppo(paid, 0, "cpu", SelfRewardPPO, core, **settings)
    torch.manual_seed(0)
    return paid, model, Judge(model)
