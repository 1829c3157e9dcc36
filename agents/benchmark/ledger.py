"""What training was told, in words and counted: label bits, judge calls, and what an agent counts itself.

`label_bits` counts what annotation said, in bits: an outcome 1 an episode, of a span log2 101 (a score to the percent); a step
label that is paid, or a change of the annotated utility, log2 3 (better, worse, neither: its grades are not counted); a
comparison log2 3; an expert's action log2 of the actions,
also where it was only looked at; a training answer log2 of the choices; a problem's support one bit a unit.
"""

from __future__ import annotations

import math
from typing import Any

import gymnasium as gym
import numpy as np

from agents.base import REWARDS, outcome_bits
from reasongym.adapters.sb3 import ReasonGymVecEnv
from reasongym.memory.utility import needs_annotation as utility_needs_annotation

STEP_BITS = math.log2(3)


class CountedVecEnv(ReasonGymVecEnv):
    """Training environments that count `steps` and ended `episodes`."""

    steps = episodes = 0

    def step_wait(self) -> Any:
        told = super().step_wait()
        self.steps += self.num_envs
        self.episodes += int(told[2].sum())
        return told


def counted_env(env_id: str, num_envs: int, seed: int, **keywords: Any) -> CountedVecEnv:
    """As `make_vec_env`."""
    vector: Any = gym.make_vec(env_id, num_envs=num_envs, **keywords)
    if not hasattr(vector, "batch"):
        raise TypeError(f"{env_id!r} is no ReasonGym id that is played by number: it made {type(vector).__name__}")
    env = CountedVecEnv(vector)
    env.seed(seed)
    return env


def ledger_of(agent: Any, env: CountedVecEnv, before: dict[str, float]) -> dict[str, float]:
    """Everything that a trained agent was told.

    Args:
        agent: with its own `ledger`, if it keeps one.
        env: its training environments.
        before: of the reward model.
    """
    own = {name: float(value) for name, value in getattr(agent, "ledger", {}).items()}
    batch = env.batch
    settings, shapes = batch.settings, batch.shapes
    bits = before.get("label_bits", 0.0) + own.get("label_bits", 0.0)
    seen = own.get("expert_actions", 0.0) + before.get("expert_shown", 0.0)
    bits += seen * math.log2(shapes.actions)
    bits += own.get("answers", 0.0) * math.log2(max(2, shapes.choices))
    if own.get("supports"):
        source: Any = batch.source
        some = range(min(100, source.num_problems or 100))
        bits += own["supports"] * float(np.mean([source.problem(i).num_units for i in some]))
    if getattr(agent, "reads_rewards", True):
        # steps played to be imitated as well: the critic is fitted to them
        bits += reward_bits(settings, env.steps, env.episodes, outcome_bits(shapes.span))
    bits += _loss_bits(agent, env)
    calls = sum(_judge_calls(model) for model in (settings.model, settings.observer_model))
    told = {**before, **own, "label_bits": round(bits, 1), "judge_calls": float(calls)}
    return {name: value for name, value in told.items() if math.isfinite(value)}


def _loss_bits(agent: Any, env: CountedVecEnv) -> float:
    """Of MemoryPPO's answer loss (a gold answer an episode) and expert loss (an expert's action a step), at most."""
    model, shapes = getattr(agent, "model", None), env.batch.shapes
    answers = env.episodes * math.log2(max(2, shapes.choices)) if getattr(model, "answer_loss_coef", 0) else 0.0
    return answers + (env.steps * math.log2(shapes.actions) if getattr(model, "expert_loss_coef", 0) else 0.0)


def told_in_words(agent: Any, env: CountedVecEnv, learned: str = "") -> str:
    """An agent's supervision, its word for rewards replaced by what they are made of.

    Args:
        agent: with its own `supervision`, if it has one.
        env: its training environments.
        learned: in words, how the PRM that makes the rewards was learned in the run; "": it was not.
    """
    own, settings = getattr(agent, "supervision", "not said"), env.batch.settings
    parts = ["outcome reward"] if settings.weights["outcome"] else []
    if any(settings.weights[name] for name in settings.model.criteria):
        annotated = "process rewards read from annotation (strong supervision)"
        parts.append(annotated if settings.model.needs_annotation else learned or "process rewards without annotation")
    if settings.utility_weight and settings.utility not in ("none", None):
        read = " read from annotation" if utility_needs_annotation(settings.utility) else ""
        parts.append(f"utility {settings.utility if isinstance(settings.utility, str) else 'of its own'}{read}")
    model = getattr(agent, "model", None)
    for name, told in (
        ("answer_loss_coef", "gold answers (answer loss)"),
        ("expert_loss_coef", "expert actions (expert loss)"),
    ):
        if getattr(model, name, 0):
            parts.append(told)
    return own.replace(REWARDS, " + ".join(parts) or "no reward")


def reward_bits(settings: Any, steps: float, episodes: float, outcome: float = 1.0) -> float:
    """Bits that rewards told: outcomes, paid step labels that are read from annotation, and an annotated utility.

    Args:
        settings: `env.batch.settings` of the environments that paid.
        steps, episodes: how many were paid.
        outcome: bits of one (`outcome_bits`).
    """
    labelled = sum(settings.weights[name] != 0 for name in settings.model.criteria) * settings.model.needs_annotation
    labelled += bool(settings.utility_weight) and utility_needs_annotation(settings.utility)
    return bool(settings.weights["outcome"]) * episodes * outcome + steps * labelled * STEP_BITS


def _judge_calls(model: Any) -> int:
    """Calls of a judge, which keeps a ledger of them; 0 of others."""
    return int(getattr(getattr(model, "ledger", None), "calls", 0))
