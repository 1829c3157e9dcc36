"""Traditional RLHF: coarse comparisons of whole episodes, a reward model, and PPO that stays near where it started.

The recipe of Christiano et al. (2017, arXiv 1706.03741) and Ouyang et al. (2022, arXiv 2203.02155): clone demonstrations;
compare pairs of episodes of the same problem; fit a reward model by Bradley and Terry; maximise its score of how an episode
ends, less `kl_coef` times the divergence from the cloned policy; in several rounds, so that the reward model has seen what
the policy does now. The environment's own rewards are never read.
"""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import torch
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.vec_env import VecEnv, VecEnvWrapper

from agents.annotators import QUALITIES, Annotators, Ends, play_pairs
from agents.base import SB3Agent
from agents.baselines.cloning import Cloner
from agents.baselines.settings import memory_ppo
from agents.budget import Budget, Progress
from agents.frames import as_tensors
from agents.memory import State
from agents.ppo import MemoryPPO
from agents.reward_model import RewardModel
from agents.rollout import gae
from reasongym.seeding import rng

KL_COEF = 0.02
"""Weight of the divergence in the reward, a step (Ouyang et al. 2022, appendix C.4)."""
PAIRS_A_ROUND = 512
"""Pairs compared in a round where labels are not counted."""


class KLPPO(MemoryPPO):
    """MemoryPPO whose reward is less `kl_coef` times log pi(a|s) - log pi_ref(a|s) a step.

    The reference policy is a copy of the policy as it is made, or when `set_reference` is called; it is saved with the model.

    Args:
        args, keywords: as for MemoryPPO.
        kl_coef: weight of the divergence; 0 leaves MemoryPPO.
    """

    def __init__(self, *args: Any, kl_coef: float = KL_COEF, **keywords: Any) -> None:
        if kl_coef < 0:
            raise ValueError(f"kl_coef must not be negative, got {kl_coef!r}")
        self.kl_coef = kl_coef
        super().__init__(*args, **keywords)

    def _setup_model(self) -> None:
        super()._setup_model()
        self.set_reference()

    def set_reference(self) -> None:
        """The present policy becomes the reference."""
        self.ref_policy = copy.deepcopy(self.policy).requires_grad_(False)
        self.ref_policy.set_training_mode(False)
        self._ref_state: State = self._core_state(self.ref_policy.initial_state(self.n_envs))

    def _core_state(self, state: State) -> State:
        """What of a policy's state its cores carry: the slots' own is in the observations already."""
        return state[0 if self.policy.slots is None else self.policy.slots.num_tensors :]

    def collect_rollouts(self, env: VecEnv, callback: BaseCallback, rollout_buffer: Any, n_rollout_steps: int) -> bool:
        """As MemoryPPO; then the divergence is taken off the rewards, and advantages are computed anew."""
        if not super().collect_rollouts(env, callback, rollout_buffer, n_rollout_steps):
            return False
        rollout = rollout_buffer
        with torch.no_grad():
            log_probs, _, self._ref_state = self.ref_policy.evaluate(
                rollout.frames, self._ref_state, rollout.starts, final_state=True
            )
            chosen = log_probs.gather(1, rollout.actions.flatten()[:, None]).view_as(rollout.log_probs)
            divergence = rollout.log_probs - chosen
            rollout.rewards -= self.kl_coef * divergence
            starts = torch.as_tensor(self._last_episode_starts, device=self.device)
            last = self.policy(as_tensors(self._last_obs, self.device), self._last_state, starts).values  # type: ignore[arg-type]
        rollout.advantages = gae(rollout.rewards, rollout.values, rollout.starts, last, starts, self.gamma, self.gae_lambda)
        self.logger.record("rollout/kl_to_reference", divergence.mean().item())
        return True

    def _excluded_save_params(self) -> list[str]:
        return [*super()._excluded_save_params(), "ref_policy", "_ref_state"]

    def _get_torch_save_params(self) -> tuple[list[str], list[str]]:
        names, tensors = super()._get_torch_save_params()
        return [*names, "ref_policy"], tensors


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
        label_budget: labels in all (two a pair: one a quality); None: as many as there are pairs.
        label_error: the annotators' error rate.
        pairs: compared in a round where labels are not counted.
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
        pairs: int = PAIRS_A_ROUND,
        rounds: int = 3,
        cloning_share: float = 0.2,
        harm: float = 0.5,
        kl_coef: float = KL_COEF,
        **settings: Any,
    ) -> None:
        if rounds < 1:
            raise ValueError(f"rounds must be at least 1, got {rounds!r}")
        if not 0 <= cloning_share < 1:
            raise ValueError(f"cloning_share must lie in [0, 1), got {cloning_share!r}")
        # one reward, at the end: credit has to travel, so the trace is long
        settings = {"algorithm": KLPPO, "kl_coef": kl_coef, "gae_lambda": 0.95, **settings}
        self.wrapped = RewardModelVecEnv(env, harm=harm)
        model = memory_ppo(self.wrapped, seed, device, **settings)
        told = (
            "labels without number or error" if label_budget is None else f"{label_budget} labels with {label_error:.0%} errors"
        )
        start = "expert actions (cloned start) + " if cloning_share else ""
        super().__init__(model, f"{start}comparisons of episodes: {told}")
        self.annotators = Annotators(label_budget, label_error, seed)
        self.rounds, self.pairs, self.cloning_share, self.fits = rounds, pairs, cloning_share, []
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
        for round_ in range(self.rounds):
            if budget.over:
                break
            self._compare(budget, self.rounds - round_)
            if not budget.over:
                part = budget.rest().part(1 / (self.rounds - round_))
                self.spend(part)
                budget.include(part)
        return self

    def _compare(self, budget: Budget, rounds_left: int) -> None:
        """New pairs are played and labelled, and the reward model is fitted to all so far."""
        left = self.annotators.left
        pairs = self.pairs if left == np.inf else int(left) // (rounds_left * len(QUALITIES))
        if pairs:
            end = self.wrapped.unwrapped.batch.source.num_problems or 2**31  # type: ignore[attr-defined]
            ends = play_pairs(self.model, self.wrapped.venv, self._draw.integers(end, size=pairs))
            self.model._last_obs = None  # `learn` begins with a reset
            labels = self.annotators.compare(ends.judged[:pairs], ends.judged[pairs:])
            self._add(ends, labels)
            budget.spend(ends.steps)
        if len(self._labels) >= 10:
            self.wrapped.reward_model = RewardModel(self.model)
            fit = self.wrapped.reward_model.fit(self._ends, self._labels, seed=self.model.seed or 0)
            self.fits.append({**fit._asdict(), "labels": self.annotators.labels})
            self.ledger |= {f"pair_accuracy_{name}": share for name, share in fit.accuracy.items()}
        self.ledger |= {"labels": self.annotators.labels, "label_bits": self.annotators.label_bits}

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
