"""PPO that is paid for staying near a reference policy, as in RLHF (Ouyang et al. 2022, arXiv 2203.02155)."""

from __future__ import annotations

import copy
from typing import Any

import torch
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.vec_env import VecEnv

from agents.frames import as_tensors
from agents.memory import State
from agents.ppo import MemoryPPO
from agents.rollout import gae

KL_COEF = 0.02
"""Weight of the divergence in the reward, a step (Ouyang et al. 2022, appendix C.4)."""


class KLPPO(MemoryPPO):
    """MemoryPPO whose reward is less `kl_coef` times log pi(a|s) - log pi_ref(a|s) a step.

    The reference policy is a copy of the policy as it is made, or when `set_reference` is called; it is saved with the model.

    Args:
        args, keywords: as for MemoryPPO.
        kl_coef: weight of the divergence; 0 leaves MemoryPPO.

    Attributes:
        critic_first: how many of the next rollouts only the critic learns from.
    """

    def __init__(self, *args: Any, kl_coef: float = KL_COEF, **keywords: Any) -> None:
        if kl_coef < 0:
            raise ValueError(f"kl_coef must not be negative, got {kl_coef!r}")
        self.kl_coef, self.critic_first = kl_coef, 0
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
            self._last_obs = None  # the reference has not seen these steps: the next `learn` begins with a reset
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

    def train(self) -> None:
        """As MemoryPPO, or the critic alone."""
        if not self.critic_first:
            super().train()
            return
        self.critic_first -= 1
        policy = self.policy
        policy.set_training_mode(True)
        self._update_learning_rate(policy.optimizer)
        own = [policy.critic, *((policy.cores[-1], policy.bodies[-1]) if len(policy.bodies) > 1 else ())]
        trained = [parameter for module in own for parameter in module.parameters()]
        for _ in range(self.n_epochs):
            for batch in self.rollout_buffer.minibatches(self.batch_size, by_columns=policy.by_columns):
                _, values, _ = policy.evaluate(batch.frames, batch.state, batch.reset)
                error = (values - batch.returns).square().mean()
                policy.optimizer.zero_grad()
                error.backward(inputs=trained)
                torch.nn.utils.clip_grad_norm_(trained, self.max_grad_norm)
                policy.optimizer.step()  # what has no gradient stays
        self.logger.record("train/value_loss", error.item())

    def _excluded_save_params(self) -> list[str]:
        return [*super()._excluded_save_params(), "ref_policy", "_ref_state"]

    def _get_torch_save_params(self) -> tuple[list[str], list[str]]:
        names, tensors = super()._get_torch_save_params()
        return [*names, "ref_policy"], tensors
