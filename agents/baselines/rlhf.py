"""Traditional RLHF: coarse comparisons of whole episodes, a reward model, and PPO that stays near where it started.

The recipe of Christiano et al. (2017, arXiv 1706.03741) and Ouyang et al. (2022, arXiv 2203.02155): clone demonstrations;
compare pairs of episodes of the same problem; fit a reward model by Bradley and Terry; maximise its score of how an episode
ends, less `kl_coef` times the divergence from the cloned policy; in several rounds, so that the reward model has seen what
the policy does now. Before the policy moves for the first time, the critic is fitted to what the reward model pays. The
environment's own rewards are never read.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from stable_baselines3.common.vec_env import VecEnv, VecEnvWrapper

from agents.annotators import QUALITIES, Annotators, Ends, play_pairs
from agents.base import SB3Agent
from agents.baselines.cloning import Cloner
from agents.baselines.kl_ppo import KL_COEF, KLPPO
from agents.baselines.settings import memory_ppo
from agents.budget import Budget, Progress
from agents.reward_model import RewardModel
from reasongym.seeding import rng

PAIRS_AT_ONCE, COMPARE_SHARE = 128, 0.1
"""Where labels are not counted: pairs compared at a time, and the share of the budget that is spent on playing such pairs."""
CRITIC_FIRST = 2
"""Rollouts that the critic alone learns from, before the policy's first update."""


class RewardModelVecEnv(VecEnvWrapper):
    """Environments whose only reward is a reward model's, on the last step of an episode.

    Args:
        venv: ReasonGym environments.
        reward_model: None until it is fitted: then nothing is paid.
        harm: weight of harmfulness.
    """

    def __init__(self, venv: VecEnv, reward_model: RewardModel | None = None, harm: float = 1.0) -> None:
        super().__init__(venv)
        self.reward_model, self.harm = reward_model, harm

    def reset(self) -> Any:
        self._observation: Any = self.venv.reset()
        return self._observation

    def step_async(self, actions: np.ndarray) -> None:
        self._actions = np.asarray(actions)
        super().step_async(actions)

    def step_wait(self) -> Any:
        before = self._observation
        self._observation, _, dones, infos = self.venv.step_wait()
        rewards = np.zeros(self.num_envs, np.float32)
        ended = np.flatnonzero(dones)
        if len(ended) and self.reward_model is not None:
            last = {key: value[ended] for key, value in before.items()}
            rewards[ended] = self.reward_model.reward(last, self._actions[ended], self.harm)
        return self._observation, rewards, dones, infos

    def get_state(self) -> dict[str, Any]:
        """The environments' state and what they showed last."""
        return {"environments": self.venv.get_state(), "observation": self._observation}  # type: ignore[attr-defined]

    def set_state(self, state: dict[str, Any]) -> None:
        """Resumes from `get_state`."""
        self.venv.set_state(state["environments"])  # type: ignore[attr-defined]
        self._observation = state["observation"]


class RLHFAgent(SB3Agent):
    """The whole recipe.

    Args:
        env: training environments with `prm="annotated"`, whose annotation only the annotators read.
        seed, device: as for MemoryPPO.
        label_budget: labels in all (two a pair: one a quality); None: they are free, and what is played to be compared is
            bounded by time alone.
        label_error: the annotators' error rate.
        pairs: compared at a time where labels are free.
        compare_share: where labels are free, share of what the cloned start leaves of the budget that is spent on playing
            pairs, in all rounds together (at least `pairs` in each); fitting the reward model to them is not in it.
        rounds: times that episodes are compared and the reward model is fitted.
        cloning_share: share of the budget spent on the cloned start.
        harm: weight of harmfulness in the reward.
        kl_coef: as for `KLPPO`.
        settings: for `memory_ppo`.
    """

    def __init__(
        self,
        env: VecEnv,
        seed: int = 0,
        device: str = "cpu",
        label_budget: int | None = 1_000,
        label_error: float = 0.1,
        pairs: int = PAIRS_AT_ONCE,
        compare_share: float = COMPARE_SHARE,
        rounds: int = 3,
        cloning_share: float = 0.2,
        harm: float = 0.5,
        kl_coef: float = KL_COEF,
        **settings: Any,
    ) -> None:
        if rounds < 1:
            raise ValueError(f"rounds must be at least 1, got {rounds!r}")
        for name, share in (("cloning_share", cloning_share), ("compare_share", compare_share)):
            if not 0 <= share < 1:
                raise ValueError(f"{name} must lie in [0, 1), got {share!r}")
        # one reward, at the end: credit has to travel, so the trace is long
        settings = {"algorithm": KLPPO, "kl_coef": kl_coef, "gae_lambda": 0.95, **settings}
        self.wrapped = RewardModelVecEnv(env, harm=harm)
        model = memory_ppo(self.wrapped, seed, device, **settings)
        number = (
            f"as many labels as {compare_share:.0%} of the budget plays for"
            if label_budget is None
            else f"{label_budget} labels"
        )
        told = f"{number}, with {label_error:.0%} errors"
        start = "expert actions (cloned start) + " if cloning_share else ""
        super().__init__(model, f"{start}comparisons of episodes: {told}")
        self.annotators = Annotators(label_budget, label_error, seed)
        self.rounds, self.pairs, self.cloning_share, self.compare_share = rounds, pairs, cloning_share, compare_share
        self.fits = []
        self._draw, self._labels = rng(seed, 9), np.zeros((0, len(QUALITIES)))

    reads_rewards = False
    rounds = 0  # of an agent that was loaded
    fits: list[dict[str, Any]]
    _ends: Ends

    def learn(self, total_timesteps: int, *, seconds: float | None = None, progress: Progress | None = None) -> Any:
        """The cloned start, then rounds of comparing, fitting and PPO.

        Raises:
            RuntimeError: the agent was loaded: its annotators and reward model are gone.
        """
        if not self.rounds:
            raise RuntimeError("an RLHF agent that was loaded acts, and does not learn on: its reward model was not kept")
        budget = Budget(total_timesteps, seconds, progress)
        if self.cloning_share and not self.fits and not budget.over:
            part = budget.part(self.cloning_share)
            cloner = Cloner(self.model)
            cloner.run(part)
            self.ledger["expert_actions"] = cloner.labels
            budget.include(part)
        if not self.fits:
            self.model.set_reference()
        if budget.over:
            return self
        whole = budget.rest()
        for round_ in range(self.rounds):
            self._compare(whole, self.rounds - round_)
            if whole.over:
                break
            part = whole.rest().part(1 / (self.rounds - round_))
            self.spend(part, whole)  # schedules fall over all rounds
            if not whole.include(part):
                break
        return self

    def _compare(self, budget: Budget, rounds_left: int) -> None:
        """New pairs are played and labelled, and the reward model is fitted to all so far."""
        if self.annotators.left == np.inf:
            part = budget.part(self.compare_share / self.rounds)
            while not part.over:
                part.spend(self._play_pairs(self.pairs))
            budget.include(part)
        elif pairs := int(self.annotators.left) // (rounds_left * len(QUALITIES)):
            budget.spend(self._play_pairs(pairs))
        if len(self._labels) >= 10:
            if not self.fits:
                self.model.critic_first = CRITIC_FIRST
            self.wrapped.reward_model = RewardModel(self.model)
            fit = self.wrapped.reward_model.fit(self._ends, self._labels, seed=self.model.seed or 0)
            self.fits.append({**fit._asdict(), "labels": self.annotators.labels})
            self.ledger |= {f"pair_accuracy_{name}": share for name, share in fit.accuracy.items()}
        self.ledger |= {"labels": self.annotators.labels, "label_bits": self.annotators.label_bits}

    def _play_pairs(self, pairs: int) -> int:
        """Plays new pairs and has them labelled; returns the frames that it took."""
        end = self.wrapped.unwrapped.batch.source.num_problems or 2**31  # type: ignore[attr-defined]
        ends = play_pairs(self.model, self.wrapped.venv, self._draw.integers(end, size=pairs))
        self.model._last_obs = None  # `learn` begins with a reset
        self._add(ends, self.annotators.compare(ends.judged[:pairs], ends.judged[pairs:]))
        return ends.steps

    def _add(self, ends: Ends, labels: np.ndarray) -> None:
        """Puts new pairs behind the old ones: first episodes of all pairs come before second ones."""
        if len(self._labels):
            old, p, q = self._ends, len(self._labels), len(labels)

            def joined(a: np.ndarray, b: np.ndarray) -> np.ndarray:
                return np.concatenate([a[:p], b[:q], a[p:], b[q:]])

            observations = {key: joined(old.observations[key], value) for key, value in ends.observations.items()}
            ends = Ends(
                observations, joined(old.actions, ends.actions), joined(old.judged, ends.judged), old.steps + ends.steps
            )
            labels = np.concatenate([self._labels, labels])
        self._ends, self._labels = ends, labels
