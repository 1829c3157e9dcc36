"""Behaviour cloning and DAgger (Ross, Gordon and Bagnell 2011, arXiv 1011.0686) on `expert_action`.

Vector environments are played by a mixture of expert and learner, every state met is labelled with the expert's action, what
was labelled is aggregated, and the policy is trained on it by cross-entropy. Cloning plays the expert alone (beta = 1
throughout), so it never sees its own mistakes; DAgger plays the expert in iteration 1 and the learner from then on (the
paper's parameter-free choice, beta_i = I(i = 1)), or decays by `decay` (beta_i = decay^(i - 1)).

What differs from the paper: the aggregate is bounded (the oldest rollout goes first), and an iteration is a rollout of
`n_steps` steps of all environments, which goes on where the last one stopped, so that long episodes are seen to their ends.

The policy is a MemoryPPO's, so that what was cloned is a start for PPO: `Cloner(model).run(budget)`, then `model.learn(...)`.

Axes: T time (n_steps), N environments.
"""

from __future__ import annotations

from collections import deque
from typing import Any

import numpy as np
import torch
from stable_baselines3.common.vec_env import VecEnv
from torch import Tensor, nn

from agents.base import SB3Agent
from agents.baselines.settings import memory_ppo
from agents.budget import Budget, Progress
from agents.distributions import sample
from agents.frames import as_tensors
from agents.ppo import MemoryPPO
from agents.rollout import Minibatch, Rollout
from reasongym.adapters.sb3 import ReasonGymVecEnv
from reasongym.seeding import rng

MOST_ROLLOUTS = 32
"""Rollouts that the aggregate holds."""


class Cloner:
    """Trains a model's policy to act as the expert does; its environments and its optimiser are used.

    Args:
        model: whose policy is trained.
        dagger: whether the learner plays, too.
        decay: of the expert's share of the environments, an iteration; 0: the learner alone from the second one on.
        learning_rate: of the cross-entropy.
        n_epochs: rollouts trained on after each that is collected: the new one, and others of the aggregate.
        vf_coef: weight of fitting the critic to what the mixture earned; 0 reads no reward.

    Raises:
        TypeError: the environments have no expert.
    """

    def __init__(
        self,
        model: MemoryPPO,
        dagger: bool = False,
        decay: float = 0.0,
        learning_rate: float = 1e-3,
        n_epochs: int = 3,
        vf_coef: float = 0.0,
    ) -> None:
        env: Any = model.env
        if env is None or not isinstance(env.unwrapped, ReasonGymVecEnv):
            kind = type(None if env is None else env.unwrapped).__name__
            raise TypeError(f"cloning needs environments with an expert (reasongym.adapters.sb3.make_vec_env), got {kind}")
        if not 0 <= decay <= 1:
            raise ValueError(f"decay must lie in [0, 1], got {decay!r}")
        self.model, self.dagger, self.decay, self.vf_coef = model, dagger, decay, vf_coef
        self.learning_rate, self.n_epochs = learning_rate, n_epochs
        self.aggregate: deque[Rollout] = deque(maxlen=MOST_ROLLOUTS)
        self.iteration = 0
        self.labels = 0
        self._draw = rng(model.seed or 0, 1)

    def beta(self) -> float:
        """The share of environments that the expert plays in the present iteration."""
        if not self.dagger or self.iteration == 0:
            return 1.0
        return self.decay**self.iteration if self.decay else 0.0

    def run(self, budget: Budget) -> None:
        """Iterations until the budget is over: collect, aggregate, train."""
        model = self.model
        env: Any = model.env
        # the state of episodes that begin: PPO, or another cloner, may have left others half played
        self._observation, self._starts = env.reset(), np.ones(env.num_envs, bool)
        self._state = model.policy.initial_state(env.num_envs)
        before = [group["lr"] for group in model.policy.optimizer.param_groups]
        for group in model.policy.optimizer.param_groups:
            group["lr"] = self.learning_rate
        while not budget.over:
            rollout = self.collect(env)
            self.aggregate.append(rollout)
            self.iteration += 1
            self.train(rollout)
            budget.spend(model.n_steps * env.num_envs)
        for group, rate in zip(model.policy.optimizer.param_groups, before, strict=True):
            group["lr"] = rate
        model._last_obs = None  # `learn` begins with a reset
        model._last_state = model.policy.initial_state(env.num_envs)

    def collect(self, env: VecEnv) -> Rollout:
        """One rollout of the mixture; its `actions` are the expert's, whoever acted."""
        model, policy = self.model, self.model.policy
        rollout = Rollout(model.n_steps, env.num_envs, model.device)
        policy.set_training_mode(False)
        rollout.begin(self._state)
        inner: Any = env.unwrapped
        for t in range(model.n_steps):
            starts = torch.as_tensor(self._starts, device=model.device)
            with torch.no_grad():
                step = policy(as_tensors(self._observation, model.device), self._state, starts)
            best = inner.vector.expert_action()
            acted = self._mixed(best, step.log_probs)
            rollout.put_observation(t, step.observation)
            rollout.starts[t], rollout.values[t] = starts, step.values
            rollout.actions[t] = torch.as_tensor(best, device=model.device)
            self._state = step.state
            self._observation, rewards, self._starts, infos = env.step(acted)
            rollout.rewards[t] = torch.as_tensor(rewards, device=model.device)
            rollout.rewards[t] += model.gamma * model.values_where_cut(infos, self._starts, self._state)
        starts = torch.as_tensor(self._starts, device=model.device)
        with torch.no_grad():
            last = policy(as_tensors(self._observation, model.device), self._state, starts).values
        rollout.finish(policy, last, starts, model.gamma, model.gae_lambda)
        rollout.observations = {}  # training reads the prepared frames, and the aggregate is long
        self.labels += rollout.actions.numel()
        return rollout

    def _mixed(self, best: np.ndarray, log_probs: Tensor) -> np.ndarray:
        """(N,) the expert's action with probability beta, else a sample of the learner's."""
        beta = self.beta()
        if beta == 1.0:
            return best
        own = sample(log_probs).cpu().numpy()
        return np.where(self._draw.random(len(best)) < beta, best, own)

    def train(self, newest: Rollout) -> float:
        """One pass over the newest rollout and over `n_epochs - 1` others, drawn; returns the mean cross-entropy (nats)."""
        model, policy = self.model, self.model.policy
        policy.set_training_mode(True)
        drawn = [newest, *(self.aggregate[int(self._draw.integers(len(self.aggregate)))] for _ in range(self.n_epochs - 1))]
        losses = []
        for rollout in drawn:
            for batch in rollout.minibatches(model.batch_size, by_columns=policy.by_columns):
                loss, cross_entropy = self.loss(batch)
                policy.optimizer.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(policy.parameters(), model.max_grad_norm)
                policy.optimizer.step()
                losses.append(cross_entropy)
        return float(np.mean(losses))

    def loss(self, batch: Minibatch) -> tuple[Tensor, float]:
        """Mean of -log pi(expert's action), and, where wanted, of the critic's squared errors; the first also as a number."""
        log_probs, values, _ = self.model.policy.evaluate(batch.frames, batch.state, batch.reset)
        cross_entropy = -log_probs.gather(1, batch.actions[:, None]).mean()
        loss = cross_entropy
        if self.vf_coef:
            loss = loss + self.vf_coef * (values - batch.returns).square().mean()
        return loss, cross_entropy.item()


class CloningAgent(SB3Agent):
    """Behaviour cloning or DAgger; `warm_start()` is a MemoryPPO that goes on from there.

    Args:
        env: training environments.
        seed, device: as for MemoryPPO.
        dagger, decay, vf_coef: as for `Cloner`.
        settings: for `memory_ppo`.
    """

    _cloner: Cloner | None = None  # nor has an agent that was loaded

    def __init__(
        self,
        env: VecEnv,
        seed: int = 0,
        device: str = "cpu",
        dagger: bool = False,
        decay: float = 0.0,
        vf_coef: float = 0.0,
        **settings: Any,
    ) -> None:
        super().__init__(memory_ppo(env, seed, device, **settings), "expert actions (support and gold)")
        self.reads_rewards = vf_coef > 0
        self.model.cloning = {"dagger": dagger, "decay": decay, "vf_coef": vf_coef}  # saved with the model

    def learn(self, total_timesteps: int, *, seconds: float | None = None, progress: Progress | None = None) -> Any:
        if self._cloner is None:
            self._cloner = Cloner(self.model, **self.model.cloning)
        self._cloner.run(Budget(total_timesteps, seconds, progress))
        self.ledger["expert_actions"] = self._cloner.labels
        return self

    def warm_start(self) -> MemoryPPO:
        """The cloned model: `.learn` goes on with PPO, in the environments that were cloned in."""
        return self.model
