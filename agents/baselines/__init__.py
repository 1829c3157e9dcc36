"""What MemoryPPO is compared with, by name; each is an agent (`agents.base.Agent`).

A new one: a class made as `Class(env, seed=0, device="cpu", **options)`, and a line in `BASELINES`; or only its import path.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from stable_baselines3.common.vec_env import VecEnv

from agents.base import agent_class
from agents.baselines.cloning import CloningAgent
from agents.baselines.heuristics import RULES, Rule
from agents.baselines.ppo import PPOAgent
from agents.baselines.rlhf import RLHFAgent
from agents.baselines.settings import NO_MEMORY, OUTCOME_ONLY, PRM_ONLY
from agents.baselines.supervised_memory.reader import SupervisedReader
from agents.baselines.supervised_memory.recurrent import recurrent_cores
from reasongym.errors import unknown


@dataclass(frozen=True)
class Baseline:
    """A row of a comparison.

    Attributes:
        agent: its class.
        options: arguments of the class.
        keywords: of the environments that it is trained and evaluated in.
    """

    agent: type
    options: Mapping[str, Any] = field(default_factory=dict)
    keywords: Mapping[str, Any] = field(default_factory=dict)

    def make(self, env: VecEnv, seed: int = 0, device: str = "cpu", **options: Any) -> Any:
        """A fresh agent; `options` come before the row's own."""
        return self.agent(env, seed=seed, device=device, **{**self.options, **options})


BASELINES: dict[str, Baseline] = {
    **{rule: Baseline(Rule, {"rule": rule}) for rule in RULES},
    "cloning": Baseline(CloningAgent),
    "dagger": Baseline(CloningAgent, {"dagger": True}),
    "ppo": Baseline(PPOAgent),
    "cloning+ppo": Baseline(PPOAgent, {"cloning_share": 0.2}),
    "outcome-only": Baseline(PPOAgent, keywords=OUTCOME_ONLY),
    "outcome+novelty": Baseline(PPOAgent, {"novelty": 0.05}, OUTCOME_ONLY),
    "prm-only": Baseline(PPOAgent, keywords=PRM_ONLY),
    "prm-only-no-memory": Baseline(PPOAgent, {"core": "lstm"}, NO_MEMORY),
    "rlhf": Baseline(RLHFAgent),
    "rlhf-unlimited": Baseline(RLHFAgent, {"label_budget": None, "label_error": 0.0}),
    **{name: Baseline(SupervisedReader, {"network": name}) for name in ("memn2n", "entnet", "transformer")},
    **{name: Baseline(SupervisedReader, {"network": name}) for name in recurrent_cores()},
    "entnet-support": Baseline(SupervisedReader, {"network": "entnet", "support_coef": 1.0}),
    "lstm-support": Baseline(SupervisedReader, {"network": "lstm", "support_coef": 1.0}),
    "dnc-support": Baseline(SupervisedReader, {"network": "dnc", "support_coef": 1.0}),
}
"""The rows by name; "-support": with a support loss. Whatever cores there are, each has a row as a network without RL."""


def baseline(name: str) -> Baseline:
    """A row by name, or somebody's agent by import path, `pkg.module:Class`.

    Raises:
        UnknownNameError: no such row.
        ValueError, ModuleNotFoundError, TypeError: as `agents.base.agent_class`.
    """
    if ":" in name:
        return Baseline(agent_class(name))
    if name not in BASELINES:
        raise unknown("agent", name, BASELINES)
    return BASELINES[name]


def make(name: str, env: VecEnv, seed: int = 0, device: str = "cpu", **options: Any) -> Any:
    """A fresh agent of a row, by name or import path, for training environments that were made with the row's keywords."""
    return baseline(name).make(env, seed, device, **options)
