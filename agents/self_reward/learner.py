"""What the rounds ask of whoever learns in them: a memory policy (`updates`), a language model (`agents.llm_rounds`)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
from stable_baselines3.common.utils import LinearSchedule

from agents.baselines.settings import memory_ppo
from agents.self_reward.episodes import Played
from agents.self_reward.playing import Player
from agents.self_reward.rewards import SelfRewardVecEnv
from agents.self_reward.settings import Settings
from agents.self_reward.updates import Pairs, SelfRewardPPO


class Learner(Protocol):
    """An agent that plays, judges itself and learns; every draw follows `reseed`.

    Attributes:
        gamma: discount per step.
        num_timesteps, updates: so far.
        device: where it lives.
    """

    gamma: float
    num_timesteps: int
    device: Any

    @property
    def updates(self) -> int: ...

    def as_player(self) -> Player:
        """It, playing."""
        ...

    def predict(self, observation: Any, state: Any, episode_start: Any, deterministic: bool) -> tuple[np.ndarray, Any]:
        """As Stable-Baselines3's, for reports. One that has `attach(env)` is given the environments first."""
        ...

    def new_judge(self) -> Any:
        """A copy of it that judges (`judge.Judge`: probability, fit, version, state_dict)."""
        ...

    def heard(self, judge: Any) -> Any:
        """The judge as it is asked while this learner plays: `probability(observations, actions)`; None for None."""
        ...

    def reseed(self, seed: int) -> None: ...

    def lessons_of(self, played: Played, returns: np.ndarray) -> Any:
        """Episodes to learn from, what they earned from each step on being `returns` (F,)."""
        ...

    def learn_pairs(self, pairs: Pairs) -> dict[str, float]:
        """Step-wise DPO."""
        ...

    def improve(self, frames: int, lessons: Any) -> dict[str, float]:
        """PPO for so many frames in its environments, with self-imitation on lessons, if any."""
        ...

    def refit_value(self, lessons: Any) -> float:
        """Fits the value head alone; returns its squared error."""
        ...

    def kept(self) -> dict[str, Any]:
        """What a checkpoint needs."""
        ...

    def resume(self, kept: dict[str, Any]) -> None:
        """Goes on from what was kept."""
        ...


MakeLearner = Callable[[SelfRewardVecEnv, Settings, str], Learner]
"""(environments, settings, device) -> a learner; its `repr` names it in a run's folder."""


def memory_learner(start: dict[str, Any] | None = None, policy_kwargs: dict[str, Any] | None = None) -> MakeLearner:
    """A memory policy.

    Args:
        start: parameters to begin with; None: untrained.
        policy_kwargs: of the policy.

    Raises:
        ValueError: the core is "slots".
    """
    if (policy_kwargs or {}).get("core") == "slots":
        raise ValueError("core='slots' fills observations in as it acts, which a judge does not see: use another core")

    def make(paid: SelfRewardVecEnv, s: Settings, device: str) -> SelfRewardPPO:
        model: SelfRewardPPO = memory_ppo(
            paid, s.seed, device, SelfRewardPPO, n_steps=s.n_steps, batch_size=s.batch_size,
            learning_rate=LinearSchedule(s.learning_rate, 0.02 * s.learning_rate, 1.0), horizon=s.rounds * s.frames,
            sil_coef=s.sil_coef, replay_share=s.replay_share, dpo_beta=s.dpo_beta, dpo_epochs=s.dpo_epochs,
            policy_kwargs=policy_kwargs or {},
        )  # fmt: skip
        if start is not None:
            model.policy.load_state_dict(start)
        return model

    return make
