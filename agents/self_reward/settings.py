"""What a run of self-reward is asked to be."""

from __future__ import annotations

from dataclasses import dataclass

from agents.self_reward.arms import arm_of
from agents.self_reward.candidates import KINDS_OF_PAIRS
from agents.self_reward.replay import REPLAY_SHARE
from reasongym.errors import unknown


@dataclass(frozen=True)
class Settings:
    """The arguments of a run.

    Attributes:
        arm: "gold", "none" or "annotation" (`arms.ARMS`).
        rounds: how many.
        problems, samples: played at the beginning of a round: so many problems, each so many times.
        states, candidates, completions: states branched at, actions tried at each, completions of each.
        annotated: episodes a round whose steps are bought, in the arm `annotation`.
        timesteps: frames of PPO a round, in whole rollouts.
        num_envs, n_steps, batch_size: of PPO.
        replay: whether episodes of earlier rounds are learned from.
        capacity, max_age: of the replay, in episodes and rounds.
        replay_share: of a minibatch; at most a quarter.
        lessons: episodes drawn from the replay for a round.
        sil_coef: weight of self-imitation.
        pairs: "pareto", "random" (the control) or "none".
        margin: least distance of a pair, mean over the criteria.
        dpo_beta, dpo_epochs: of step-wise DPO.
        fit_weights: whether β and gates follow what a round showed.
        learning_rate: of PPO and DPO; falls linearly over all rounds, to a fiftieth (a language model's to a tenth).
        seed: of everything but the start.
    """

    arm: str = "gold"
    rounds: int = 5
    problems: int = 192
    samples: int = 4
    states: int = 96
    candidates: int = 4
    completions: int = 2
    annotated: int = 64
    timesteps: int = 32_768
    num_envs: int = 64
    n_steps: int = 32
    batch_size: int = 512
    replay: bool = True
    capacity: int = 1_024
    max_age: int = 3
    replay_share: float = REPLAY_SHARE
    lessons: int = 384
    sil_coef: float = 0.1
    pairs: str = "pareto"
    margin: float = 0.1
    dpo_beta: float = 0.1
    dpo_epochs: int = 2
    fit_weights: bool = True
    learning_rate: float = 5e-4
    seed: int = 0

    def __post_init__(self) -> None:
        arm_of(self.arm)
        if self.pairs not in KINDS_OF_PAIRS:
            raise unknown("kind of pairs", self.pairs, KINDS_OF_PAIRS)
        counts = ("rounds", "problems", "states", "completions", "timesteps", "num_envs", "n_steps", "batch_size", "lessons")
        leasts = dict.fromkeys((*counts, "capacity", "max_age"), 1) | {"samples": 2, "candidates": 2, "annotated": 0}
        for name, least in leasts.items():
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise ValueError(f"{name} must be a whole number of at least {least}, got {value!r}")

    @property
    def frames(self) -> int:
        """Frames of a round's PPO: whole rollouts."""
        rollout = self.num_envs * self.n_steps
        return -(-self.timesteps // rollout) * rollout
