"""MemoryPPO: proximal policy optimisation (Schulman et al. 2017, arXiv 1707.06347), maskable and recurrent at once.

A Stable-Baselines3 algorithm: callbacks, logger, `save`/`load`, `predict(state=...)`, `EvalCallback` and `evaluate_policy` work
unchanged. What differs from its PPO: the legal actions are read from the observation (`action_mask`); the policy may
carry a memory core, trained on whole sequences with episode starts inside; a core's state is taken into account where
a time limit's cut is bootstrapped; and an *answer loss* or an *expert loss* can be added (supervision that every result must
name).

Axes: T time (n_steps), N environments, F = T * N frames or those of a minibatch, A actions, C choices.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from gymnasium import spaces
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.type_aliases import GymEnv, Schedule
from stable_baselines3.common.utils import FloatSchedule, explained_variance
from stable_baselines3.common.vec_env import VecEnv
from torch import Tensor, nn

from agents.distributions import entropy, sample
from agents.encoders import ReaderEncoder
from agents.frames import as_tensors
from agents.memory import State
from agents.policy import MemoryPolicy
from agents.rollout import Minibatch, Rollout
from agents.sentence_embeddings import check_vocabulary
from reasongym.audit.readers import Rarity
from reasongym.errors import unknown

ANSWER_LOSS_WHEN = ("answered", "legal")


class MemoryPPO(OnPolicyAlgorithm):
    """PPO with a memory core and action masks.

    Args:
        policy: "MemoryPolicy", or a subclass.
        env: an environment or `VecEnv` with a `Discrete` action space.
        learning_rate, clip_range, clip_range_vf, ent_coef: numbers, or schedules of the progress that remains (1 to 0).
        n_steps: T, steps an environment takes between updates.
        batch_size: frames of a minibatch; with a recurrent core it is rounded to whole sequences of T.
        n_epochs: passes over a rollout.
        gamma, gae_lambda: discount and trace decay. Process rewards are dense: a short trace keeps the luck of a guessed
            answer out of the advantages of the steps before it (published two-supporting-facts after a million frames, one
            seed: 38% with 0.9, 42% with 0.8, 53% with 0.6).
        vf_coef: weight of the value loss. `train_ppo.py` sets 5: a short trace leans on the critic, and the squared errors
            of dense rewards are small beside a loss of normalised advantages.
        normalize_advantage: per minibatch.
        target_kl: an update ends when the approximate KL divergence exceeds 1.5 times this.
        answer_loss_coef: weight of the cross-entropy on the gold choice; 0 reads no gold.
        answer_loss_when: taken wherever ANSWER was "legal", or in the steps that "answered".
        expert_loss_coef: weight of the cross-entropy on the expert's action once the text is read, where it recalls and
            answers: DAgger's loss (Ross et al. 2011, arXiv 1011.0686) in the states that the policy itself comes to; 0 asks no
            expert.
        policy_kwargs: for the policy, e.g. `dict(core="lstm", core_size=256)`.
        device: where rollouts and network live.
    """

    policy_aliases: ClassVar[dict[str, type[BasePolicy]]] = {"MemoryPolicy": MemoryPolicy}
    policy: MemoryPolicy  # type: ignore[assignment]
    rollout_buffer: Rollout  # type: ignore[assignment]
    share_left: Callable[[], float] | None = None
    """Share of a budget that is left, of which a `learn` may be a part: where there is one, schedules follow it alone."""

    def __init__(
        self,
        policy: str | type[MemoryPolicy],
        env: GymEnv | str,
        learning_rate: float | Schedule = 7e-4,
        n_steps: int = 64,
        batch_size: int = 1024,
        n_epochs: int = 3,
        gamma: float = 0.99,
        gae_lambda: float = 0.5,
        clip_range: float | Schedule = 0.2,
        clip_range_vf: float | Schedule | None = None,
        normalize_advantage: bool = True,
        ent_coef: float | Schedule = 0.01,
        vf_coef: float = 0.5,
        max_grad_norm: float = 0.5,
        target_kl: float | None = None,
        answer_loss_coef: float = 0.0,
        answer_loss_when: str = "legal",
        expert_loss_coef: float = 0.0,
        stats_window_size: int = 1000,
        tensorboard_log: str | None = None,
        policy_kwargs: dict[str, Any] | None = None,
        verbose: int = 0,
        seed: int | None = None,
        device: torch.device | str = "auto",
        _init_setup_model: bool = True,
    ) -> None:
        super().__init__(
            policy, env, learning_rate, n_steps=n_steps, gamma=gamma, gae_lambda=gae_lambda, ent_coef=0.0,  # type: ignore[arg-type]
            vf_coef=vf_coef, max_grad_norm=max_grad_norm, use_sde=False, sde_sample_freq=-1,
            stats_window_size=stats_window_size, tensorboard_log=tensorboard_log, policy_kwargs=policy_kwargs,
            verbose=verbose, seed=seed, device=device, _init_setup_model=False, supported_action_spaces=(spaces.Discrete,),
        )  # fmt: skip
        for name, value in (("n_steps", n_steps), ("batch_size", batch_size), ("n_epochs", n_epochs)):
            if value < 1:
                raise ValueError(f"{name} must be at least 1, got {value!r}")
        for name, share in (("gamma", gamma), ("gae_lambda", gae_lambda)):
            if not 0 <= share <= 1:
                raise ValueError(f"{name} must lie in [0, 1], got {share!r}")
        weights = {"answer_loss_coef": answer_loss_coef, "expert_loss_coef": expert_loss_coef, "vf_coef": vf_coef}
        for name, weight in weights.items():
            if not 0 <= weight < math.inf:
                raise ValueError(f"{name} must be finite and not negative, got {weight!r}")
        if answer_loss_when not in ANSWER_LOSS_WHEN:
            raise unknown("answer_loss_when", answer_loss_when, ANSWER_LOSS_WHEN)
        self.batch_size, self.n_epochs = batch_size, n_epochs
        self.clip_range, self.clip_range_vf, self.ent_coef = clip_range, clip_range_vf, ent_coef  # type: ignore[assignment]
        self.normalize_advantage, self.target_kl = normalize_advantage, target_kl
        self.answer_loss_coef, self.answer_loss_when = answer_loss_coef, answer_loss_when
        self.expert_loss_coef = expert_loss_coef
        self._last_state: State = ()
        if _init_setup_model:
            self._setup_model()

    def _setup_model(self) -> None:
        self._setup_lr_schedule()
        self.set_random_seed(self.seed)
        self._clip_range, self._ent_coef = FloatSchedule(self.clip_range), FloatSchedule(self.ent_coef)
        self._clip_range_vf = None if self.clip_range_vf is None else FloatSchedule(self.clip_range_vf)
        if "choice_tokens" not in self.policy_kwargs and (tokens := choice_tokens(self.env)) is not None:
            self.policy_kwargs = {**self.policy_kwargs, "choice_tokens": tokens}
        made: Any = self.policy_class(self.observation_space, self.action_space, self.lr_schedule, **self.policy_kwargs)
        if isinstance(made.encoder, ReaderEncoder) and made.encoder.natural and (rarity := word_rarity(self.env)) is not None:
            made.encoder.weigh_words(rarity)
        self.policy = made.to(self.device)
        pretrained = getattr(self.policy.encoder, "pretrained", None)
        if pretrained is not None and (vocabulary := vocabulary_of(self.env)) is not None:
            check_vocabulary(pretrained.encoder, len(vocabulary), vocabulary)
        if self.answer_loss_coef and not self.policy.reads:
            raise ValueError("answer_loss_coef needs ReasonGym's observation: this one has no answers among its actions")
        self.rollout_buffer = Rollout(self.n_steps, self.n_envs, self.device)
        self._last_state = self.policy.initial_state(self.n_envs)

    # ---- acting ----------------------------------------------------------------------------------------------------

    def collect_rollouts(self, env: VecEnv, callback: BaseCallback, rollout_buffer: Any, n_rollout_steps: int) -> bool:
        """Steps the environments `n_rollout_steps` times; False when a callback ended training."""
        rollout, policy = rollout_buffer, self.policy
        policy.set_training_mode(False)
        rollout.begin(self._last_state)
        callback.on_rollout_start()
        starts = torch.as_tensor(self._last_episode_starts, device=self.device)
        for t in range(n_rollout_steps):
            assert self._last_obs is not None
            with torch.no_grad():
                observation, log_probs, values, state = policy(
                    as_tensors(self._last_obs, self.device), self._last_state, starts
                )
                actions = sample(log_probs)
            rollout.put_observation(t, observation)
            rollout.starts[t], rollout.actions[t], rollout.values[t] = starts, actions, values
            rollout.log_probs[t] = log_probs.gather(1, actions[:, None]).squeeze(1)
            if self.answer_loss_coef:
                rollout.gold[t] = torch.as_tensor(gold_choices(env), device=self.device)
            if self.expert_loss_coef:
                rollout.best[t] = torch.as_tensor(best_reasoning(env), device=self.device)
            new_observation, rewards, dones, infos = env.step(actions.cpu().numpy())
            self.num_timesteps += env.num_envs
            # before the callback, which may end training here: a later `learn` goes on where the environments are
            self._last_obs, self._last_episode_starts, self._last_state = new_observation, dones, state  # type: ignore[assignment]
            callback.update_locals(locals())
            if not callback.on_step():
                return False
            self._update_info_buffer(infos, dones)
            rollout.rewards[t] = torch.as_tensor(rewards, dtype=torch.float32, device=self.device)
            rollout.rewards[t] += self.gamma * self.values_where_cut(infos, dones, state)
            starts = torch.as_tensor(dones, device=self.device)
        with torch.no_grad():
            last_values = policy(as_tensors(self._last_obs, self.device), self._last_state, starts).values  # type: ignore[arg-type]
        rollout.finish(policy, last_values, starts, self.gamma, self.gae_lambda)
        callback.update_locals(locals())
        callback.on_rollout_end()
        return True

    def values_where_cut(self, infos: list[dict[str, Any]], dones: np.ndarray, state: State) -> Tensor:
        """(N,) value of the last observation of episodes that a time limit cut short, 0 elsewhere."""
        values = torch.zeros(len(dones), device=self.device)
        cut = [i for i in np.flatnonzero(dones).tolist() if infos[i].get("TimeLimit.truncated")]
        if cut:
            last = [infos[i]["terminal_observation"] for i in cut]
            batch = {key: np.stack([o[key] for o in last]) for key in last[0]} if isinstance(last[0], dict) else np.stack(last)
            goes_on = torch.zeros(len(cut), dtype=torch.bool, device=self.device)
            with torch.no_grad():
                before = tuple(s[cut] for s in state)
                values[cut] = self.policy(as_tensors(batch, self.device), before, goes_on).values
        return values

    # ---- learning --------------------------------------------------------------------------------------------------

    def _update_current_progress_remaining(self, num_timesteps: int, total_timesteps: int) -> None:
        super()._update_current_progress_remaining(num_timesteps, total_timesteps)
        if self.share_left is not None:
            self._current_progress_remaining = self.share_left()

    def train(self) -> None:
        """Updates the policy from the rollout.

        Raises:
            FloatingPointError: the loss is no finite number.
        """
        policy, rollout = self.policy, self.rollout_buffer
        policy.set_training_mode(True)
        self._update_learning_rate(policy.optimizer)
        records: list[dict[str, float]] = []
        for _ in range(self.n_epochs):
            for batch in rollout.minibatches(self.batch_size, by_columns=policy.by_columns):
                loss, record = self.loss(batch)
                records.append(record)
                if self.target_kl is not None and record["approx_kl"] > 1.5 * self.target_kl:
                    break
                if not torch.isfinite(loss):
                    raise FloatingPointError(f"training diverged after {self.num_timesteps:,} frames: {record}")
                policy.optimizer.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(policy.parameters(), self.max_grad_norm)
                policy.optimizer.step()
            else:
                self._n_updates += 1
                continue
            break
        for key in records[0]:
            self.logger.record(f"train/{key}", np.mean([record[key] for record in records]))
        values, returns = rollout.values.flatten().cpu().numpy(), rollout.returns.flatten().cpu().numpy()
        self.logger.record("train/explained_variance", explained_variance(values, returns))
        self.logger.record("train/n_updates", self._n_updates, exclude="tensorboard")

    def loss(self, batch: Minibatch) -> tuple[Tensor, dict[str, float]]:
        """PPO's loss of a minibatch, and what is logged of it."""
        progress = self._current_progress_remaining
        log_probs, values, _ = self.policy.evaluate(batch.frames, batch.state, batch.reset)
        log_prob = log_probs.gather(1, batch.actions[:, None]).squeeze(1)
        advantages = batch.advantages
        if self.normalize_advantage and len(advantages) > 1:
            advantages = (advantages - advantages.mean()) / (advantages.std() + 1e-8)
        log_ratio = log_prob - batch.log_probs
        ratio, clip_range = log_ratio.exp(), self._clip_range(progress)
        clipped = ratio.clamp(1 - clip_range, 1 + clip_range)
        policy_loss = -torch.min(advantages * ratio, advantages * clipped).mean()
        if self._clip_range_vf is not None:
            most = self._clip_range_vf(progress)
            values = batch.values + (values - batch.values).clamp(-most, most)
        value_loss = F.mse_loss(values, batch.returns)
        mean_entropy = entropy(log_probs).mean()
        loss = policy_loss - self._ent_coef(progress) * mean_entropy + self.vf_coef * value_loss
        record = {"policy_loss": policy_loss.item(), "value_loss": value_loss.item(), "entropy": mean_entropy.item()}
        if self.answer_loss_coef:
            answer_loss = self._answer_loss(log_probs, batch)
            loss = loss + self.answer_loss_coef * answer_loss
            record["answer_loss"] = answer_loss.item()
        if self.expert_loss_coef:
            expert_loss = self._expert_loss(log_probs, batch)
            loss = loss + self.expert_loss_coef * expert_loss
            record["expert_loss"] = expert_loss.item()
        with torch.no_grad():
            record["approx_kl"] = (ratio - 1 - log_ratio).mean().item()
            record["clip_fraction"] = ((ratio - 1).abs() > clip_range).float().mean().item()
        return loss, record

    def _answer_loss(self, log_probs: Tensor, batch: Minibatch) -> Tensor:
        """Mean cross-entropy (nats) of the gold choice among the choices, over the frames that `answer_loss_when` names.

        Where answers are spans, plus that of whether to abstain, over the frames in which that is legal: which span to give
        shows only once the evidence is recalled, and what is not worth recalling would never be learned.
        """
        num_choices = int(self.policy.actor.num_choices)  # type: ignore[arg-type]
        mask = batch.frames.columns["action_mask"][:, -num_choices:]
        answers = log_probs[:, -num_choices:].log_softmax(1)
        answered = batch.actions >= log_probs.shape[1] - num_choices
        taken = (answered if self.answer_loss_when == "answered" else mask.any(1)) & (batch.gold >= 0)
        gold = answers.gather(1, batch.gold.clamp(min=0)[:, None]).squeeze(1)
        loss = -(gold * taken).sum() / taken.sum().clamp(min=1)
        if not self.policy.points:
            return loss
        decided = mask[:, -1] & (batch.gold != -1)
        abstain = log_probs[:, -1].clamp(max=-1e-6)
        whether = torch.where(batch.gold == num_choices - 1, abstain, torch.log1p(-abstain.exp()))
        return loss - torch.where(decided, whether, 0.0).sum() / decided.sum().clamp(min=1)

    def _expert_loss(self, log_probs: Tensor, batch: Minibatch) -> Tensor:
        """Mean cross-entropy (nats) of the expert's action over the frames that have one."""
        told = batch.best >= 0
        likely = log_probs.gather(1, batch.best.clamp(min=0)[:, None]).squeeze(1)
        return -torch.where(told, likely, 0.0).sum() / told.sum().clamp(min=1)

    # ---- around it -------------------------------------------------------------------------------------------------

    def value_function(self, num_envs: int) -> CarriedValue:
        """The critic as `adapters.feedback.ValueFeedback` wants it."""
        return CarriedValue(self, num_envs)

    def _excluded_save_params(self) -> list[str]:
        return [*super()._excluded_save_params(), "_last_state", "_clip_range", "_clip_range_vf", "_ent_coef", "share_left"]


class CarriedValue:
    """A model's value estimate of N environments, step by step: the state of its slots and cores is carried along.

    Args:
        model: whose.
        num_envs: N.
    """

    def __init__(self, model: MemoryPPO, num_envs: int) -> None:
        self.model, self.state = model, model.policy.initial_state(num_envs)

    def __call__(self, observation: Any, starts: np.ndarray) -> np.ndarray:
        """(N,) values of observations, the next ones of those seen last, or, where `starts` (N,) says so, of new episodes."""
        device = self.model.device
        with torch.no_grad():
            step = self.model.policy(as_tensors(observation, device), self.state, torch.as_tensor(starts, device=device))
        self.state = step.state
        return step.values.cpu().numpy()

    def get_state(self) -> list[np.ndarray]:
        """What is carried along."""
        return [tensor.cpu().numpy().copy() for tensor in self.state]

    def set_state(self, state: list[np.ndarray]) -> None:
        """Resumes from `get_state`."""
        self.state = tuple(torch.as_tensor(array.copy(), device=self.model.device) for array in state)


def gold_choices(env: VecEnv) -> np.ndarray:
    """(N,) int64 gold choices of the problems being played.

    Raises:
        AttributeError: the environments tell no gold choices.
    """
    inner: Any = env.unwrapped
    if not hasattr(inner, "gold_choice"):
        raise AttributeError(
            f"answer_loss_coef needs environments that tell gold choices (see adapters.sb3), got {type(inner).__name__}"
        )
    return inner.gold_choice.astype(np.int64)


def best_reasoning(env: VecEnv) -> np.ndarray:
    """(N,) int64 the expert's action where the text is over, -1 elsewhere.

    Raises:
        AttributeError: the environments have no expert.
    """
    inner: Any = env.unwrapped
    if not hasattr(inner, "best_reasoning"):
        raise AttributeError(
            f"expert_loss_coef needs environments with an expert (see adapters.sb3), got {type(inner).__name__}"
        )
    return inner.best_reasoning.astype(np.int64)


def vocabulary_of(env: VecEnv | None) -> tuple[str, ...] | None:
    """What the environments' token ids stand for; None where they do not tell."""
    if env is None or not env.has_attr("source"):
        return None
    return env.get_attr("source", 0)[0].vocabulary


def word_rarity(env: VecEnv | None) -> np.ndarray | None:
    """(V + 1,) inverse document frequency of each token in a sample of the environment's texts; None where it has none."""
    if env is None or not env.has_attr("source"):
        return None
    return Rarity(env.get_attr("source", 0)[0]).idf


def choice_tokens(env: VecEnv | None) -> list[list[int]] | None:
    """Token ids of the words of an environment's choices; None where it has none, or words outside its vocabulary."""
    if env is None or not env.has_attr("source"):
        return None
    source = env.get_attr("source", 0)[0]
    try:
        return [[token for word in choice.split(",") for token in source.tokenize(word)] for choice in source.choices]
    except ValueError:
        return None
