"""MemoryPPO: proximal policy optimisation (Schulman et al. 2017, arXiv 1707.06347), maskable and recurrent at once.

A Stable-Baselines3 algorithm: callbacks, logger, `save`/`load`, `predict(state=...)`, `EvalCallback` and `evaluate_policy` work
unchanged. What differs from its PPO: the legal actions are read from the observation (`action_mask`); the policy may
carry a memory core, trained on whole sequences with episode starts inside; a core's state is taken into account where
a time limit's cut is bootstrapped; and an *answer loss* can be added (supervision that every result must name).
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from gymnasium import spaces
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.type_aliases import GymEnv, MaybeCallback, Schedule
from stable_baselines3.common.utils import FloatSchedule, explained_variance
from stable_baselines3.common.vec_env import VecEnv
from torch import Tensor, nn

from agents.encoders import as_tensors
from agents.memory import State
from agents.policy import MemoryPolicy, entropy
from agents.rollout import Minibatch, Rollout


class MemoryPPO(OnPolicyAlgorithm):
    """PPO with a memory core and action masks."""

    policy_aliases: ClassVar[dict[str, type[BasePolicy]]] = {"MemoryPolicy": MemoryPolicy}
    policy: MemoryPolicy  # type: ignore[assignment]
    rollout_buffer: Rollout  # type: ignore[assignment]

    def __init__(
        self,
        policy: str | type[MemoryPolicy],
        env: GymEnv | str,
        learning_rate: float | Schedule = 1e-3,
        n_steps: int = 64,
        batch_size: int = 2048,
        n_epochs: int = 4,
        gamma: float = 0.99,
        gae_lambda: float = 0.95,
        clip_range: float | Schedule = 0.2,
        clip_range_vf: float | Schedule | None = None,
        normalize_advantage: bool = True,
        ent_coef: float = 0.01,
        vf_coef: float = 0.5,
        max_grad_norm: float = 0.5,
        target_kl: float | None = None,
        answer_loss_coef: float = 0.0,
        stats_window_size: int = 1000,
        tensorboard_log: str | None = None,
        policy_kwargs: dict[str, Any] | None = None,
        verbose: int = 0,
        seed: int | None = None,
        device: torch.device | str = "auto",
        _init_setup_model: bool = True,
    ) -> None:
        super().__init__(
            policy, env, learning_rate, n_steps=n_steps, gamma=gamma, gae_lambda=gae_lambda, ent_coef=ent_coef,
            vf_coef=vf_coef, max_grad_norm=max_grad_norm, use_sde=False, sde_sample_freq=-1,
            stats_window_size=stats_window_size, tensorboard_log=tensorboard_log, policy_kwargs=policy_kwargs,
            verbose=verbose, seed=seed, device=device, _init_setup_model=False, supported_action_spaces=(spaces.Discrete,),
        )  # fmt: skip
        self.batch_size, self.n_epochs = batch_size, n_epochs
        self.clip_range, self.clip_range_vf = clip_range, clip_range_vf
        self.normalize_advantage, self.target_kl = normalize_advantage, target_kl
        self.answer_loss_coef = answer_loss_coef
        self._last_state: State = ()
        if _init_setup_model:
            self._setup_model()

    def _setup_model(self) -> None:
        self._setup_lr_schedule()
        self.set_random_seed(self.seed)
        self.clip_range = FloatSchedule(self.clip_range)
        if self.clip_range_vf is not None:
            self.clip_range_vf = FloatSchedule(self.clip_range_vf)
        self.policy = self.policy_class(self.observation_space, self.action_space, self.lr_schedule, **self.policy_kwargs)
        self.policy = self.policy.to(self.device)
        self.rollout_buffer = Rollout(self.n_steps, self.n_envs, self.device)
        self._last_state = self.policy.initial_state(self.n_envs)

    def collect_rollouts(self, env: VecEnv, callback: BaseCallback, rollout_buffer: Any, n_rollout_steps: int) -> bool:
        rollout, policy = rollout_buffer, self.policy
        policy.set_training_mode(False)
        rollout.begin(self._last_state)
        callback.on_rollout_start()
        starts = torch.as_tensor(self._last_episode_starts, device=self.device)
        for t in range(n_rollout_steps):
            observation = rollout.put_observation(t, as_tensors(self._last_obs, self.device))
            with torch.no_grad():
                actions, values, log_probs, state = policy(observation, self._last_state, starts)
            if self.answer_loss_coef:
                rollout.gold[t] = torch.as_tensor(env.unwrapped.gold_choice.astype(np.int64))
            new_observation, rewards, dones, infos = env.step(actions.cpu().numpy())
            self.num_timesteps += env.num_envs
            callback.update_locals(locals())
            if not callback.on_step():
                return False
            self._update_info_buffer(infos, dones)
            rewards = torch.as_tensor(rewards, dtype=torch.float32, device=self.device)
            rewards = rewards + self.gamma * self._cut_values(infos, dones, state)
            rollout.starts[t], rollout.actions[t], rollout.values[t] = starts, actions, values
            rollout.log_probs[t], rollout.rewards[t] = log_probs, rewards
            starts = torch.as_tensor(dones, device=self.device)
            self._last_obs, self._last_episode_starts, self._last_state = new_observation, dones, state
        with torch.no_grad():
            last_values = policy.predict_values(as_tensors(self._last_obs, self.device), self._last_state, starts)
        rollout.finish(policy, last_values, starts, self.gamma, self.gae_lambda)
        callback.update_locals(locals())
        callback.on_rollout_end()
        return True

    def _cut_values(self, infos, dones, state) -> Tensor:
        cut = [i for i in np.flatnonzero(dones) if infos[i].get("TimeLimit.truncated") and infos[i].get("terminal_observation") is not None]
        values = torch.zeros(len(dones), device=self.device)
        if cut:
            last = [infos[i]["terminal_observation"] for i in cut]
            batch = {k: np.stack([o[k] for o in last]) for k in last[0]} if isinstance(last[0], dict) else np.stack(last)
            with torch.no_grad():
                values[cut] = self.policy.predict_values(as_tensors(batch, self.device), tuple(s[cut] for s in state), torch.zeros(len(cut), dtype=torch.bool, device=self.device))
        return values

    def train(self) -> None:
        policy, rollout = self.policy, self.rollout_buffer
        policy.set_training_mode(True)
        self._update_learning_rate(policy.optimizer)
        stats: dict[str, list[float]] = {}
        keep_on = True
        for _ in range(self.n_epochs):
            for batch in rollout.minibatches(self.batch_size, policy.recurrent):
                loss, record = self.loss(batch)
                for key, value in record.items():
                    stats.setdefault(key, []).append(float(value))
                if self.target_kl is not None and record["approx_kl"] > 1.5 * self.target_kl:
                    keep_on = False
                    break
                policy.optimizer.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(policy.parameters(), self.max_grad_norm)
                policy.optimizer.step()
            if not keep_on:
                break
        self._n_updates += self.n_epochs
        for key, values in stats.items():
            self.logger.record(f"train/{key}", np.mean(values))
        self.logger.record("train/explained_variance", explained_variance(rollout.values.flatten().cpu().numpy(), rollout.returns.flatten().cpu().numpy()))
        self.logger.record("train/n_updates", self._n_updates, exclude="tensorboard")

    def loss(self, batch: Minibatch) -> tuple[Tensor, dict[str, Tensor]]:
        progress = self._current_progress_remaining
        clip_range = self.clip_range(progress)
        log_probs, values, _ = self.policy.evaluate(batch.frames, batch.state, batch.reset)
        log_prob = log_probs.gather(1, batch.actions[:, None]).squeeze(1)
        advantages = batch.advantages
        if self.normalize_advantage and len(advantages) > 1:
            advantages = (advantages - advantages.mean()) / (advantages.std() + 1e-8)
        log_ratio = log_prob - batch.log_probs
        ratio = log_ratio.exp()
        policy_loss = -torch.min(advantages * ratio, advantages * ratio.clamp(1 - clip_range, 1 + clip_range)).mean()
        if self.clip_range_vf is not None:
            c = self.clip_range_vf(progress)
            values = batch.values + (values - batch.values).clamp(-c, c)
        value_loss = F.mse_loss(values, batch.returns)
        mean_entropy = entropy(log_probs).mean()
        loss = policy_loss - self.ent_coef * mean_entropy + self.vf_coef * value_loss
        record = {"policy_loss": policy_loss.detach(), "value_loss": value_loss.detach(), "entropy": mean_entropy.detach()}
        if self.answer_loss_coef:
            C = self.policy.actor.num_choices
            la = log_probs[:, -C:]
            can = batch.frames.columns["action_mask"][:, -C:].any(1) & (batch.gold >= 0)
            al = F.log_softmax(la, 1).gather(1, batch.gold.clamp(min=0)[:, None]).squeeze(1)
            answer_loss = -(al * can).sum() / can.sum().clamp(min=1)
            loss = loss + self.answer_loss_coef * answer_loss
            record["answer_loss"] = answer_loss.detach()
        with torch.no_grad():
            record["approx_kl"] = (ratio - 1 - log_ratio).mean()
            record["clip_fraction"] = ((ratio - 1).abs() > clip_range).float().mean()
        return loss, record

    def _excluded_save_params(self) -> list[str]:
        return [*super()._excluded_save_params(), "_last_state"]
