"""PPO on a language model's turns, with the reward of each step for the command that earned it.

An episode is a sequence of (prompt_t, command_t), each a sequence of its own: the prompt is the situation alone, f(X, WM_t). So

- the reward of step t belongs to command t; nothing is summed over an episode;
- advantages are those of turns: GAE with a discount per turn (Schulman et al. 2016), the value read at the prompt's last token;
- a turn's advantage is that of all its tokens, and its loss their mean: long commands weigh no more than short ones;
- tokens that were forced (by constrained decoding) have no part in ratio, entropy or divergence: policy, reference and old
  log-probabilities are all taken under the masks that the command was drawn under;
- the divergence from the reference stands in the loss, token by token, never in the rewards of steps.

    from agents.llm_ppo import LLMPPO
    from reasongym.adapters.sb3 import make_vec_env
    trainer = LLMPPO(make_vec_env("ReasonGym-bAbI-qa2-v0", 64, seed=0, memory_slots=4), model="tiny-model")
    trainer.learn(60_000)
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from agents.base import REWARDS
from agents.budget import Budget, Progress
from agents.llm import saving
from agents.llm.agent import LLMAgent
from agents.llm.models import LocalModel
from agents.llm.sampling import Reply, Sampling
from agents.llm.supervised import adamw, seconds_on
from agents.llm.surrogate import PPOSettings, Reference, ValueHead, ppo_loss, without_dropout
from agents.llm.turns import Turns, gathered, likelihood
from agents.rollout import gae
from reasongym.adapters.sb3 import ReasonGymVecEnv
from reasongym.text.interface import Interface


@dataclass
class Collected:
    """A rollout of T turns in N environments, turn (t, n) at row t * N + n.

    Attributes:
        turns: T * N of them.
        rewards, values, starts: (T, N).
        last_values, last_starts: (N,) of the turn after the last.
        replies: as they were drawn.
        tokens: of prompts and commands.
        longest: tokens of the longest prompt.
        commands: share of replies that were legal or illegal commands, rather than none.
    """

    turns: Turns
    rewards: Tensor
    values: Tensor
    starts: Tensor
    last_values: Tensor
    last_starts: Tensor
    replies: list[Reply]
    tokens: int
    longest: int
    commands: float


class LLMPPO:
    """Trains a language model; an `agents.base.Agent`.

    Args:
        env: training environments by number; they are played in words. None: it is only to play.
        model: folder or name of a causal language model, or an `LLMAgent` that holds one.
        seed: of sampling, order and value head.
        device: where the model lives.
        settings: hyper-parameters, or a mapping of some of them.
        reference: the model that divergence is measured from; None: a frozen copy of this one as it is now (of a model with
            adapters: the model without them).
        agent: further keywords of `LLMAgent`; `constrained` is True and `instructions` "none" where they are not given.

    Attributes:
        player: the `LLMAgent` that plays.
        rows: what was logged, one dictionary a rollout: success, entropy, kl, clipped, command tokens, tokens a second, ...
    """

    supervision, reads_rewards, reads_text = f"{REWARDS} (a language model)", True, True

    def __init__(
        self,
        env: Any,
        *,
        model: str | LLMAgent,
        seed: int = 0,
        device: str = "auto",
        settings: PPOSettings | dict[str, Any] | None = None,
        reference: Any = None,
        **agent: Any,
    ) -> None:
        self.settings = PPOSettings(**settings) if isinstance(settings, dict) else settings or PPOSettings()
        if env is not None and not isinstance(getattr(env, "unwrapped", None), ReasonGymVecEnv):
            raise ValueError(
                f"env must be environments by number, made by reasongym.adapters.sb3.make_vec_env, got {type(env).__name__}"
            )
        if isinstance(model, LLMAgent):
            if agent:
                raise TypeError(f"{', '.join(sorted(agent))}: an LLMAgent was given, which plays as it was made")
            self.player = model
            if env is not None:
                self.player.attach(env)
        else:
            chosen = {"constrained": True, "instructions": "none", **agent}
            self.player = LLMAgent(env, model=model, seed=seed, device=device, **chosen)
        if not isinstance(self.player.backend, LocalModel):
            raise ValueError("only a model in this process can be trained: give a folder or a name, and no url")
        if self.player.sampling.top_p < 1:
            raise ValueError("top_p must be 1 in training: a ratio of probabilities needs the same support before and after")
        if self.player.sampling.temperature not in (1.0, self.settings.temperature):
            raise ValueError(
                f"the player samples at temperature {self.player.sampling.temperature:g}, and training at "
                f"{self.settings.temperature:g}: say it in the settings, settings={{'temperature': ...}}"
            )
        limit = None if env is None else getattr(env.vector, "max_episode_steps", None)
        if limit is not None:
            raise ValueError(
                f"the environments are cut from outside after {limit} steps (max_episode_steps), and what comes after is not "
                "valued here: pass max_steps instead, which ends an episode"
            )
        self.backend, self.env = self.player.backend, env
        torch.manual_seed(seed)
        self.model = self.backend.model
        self.value_head = ValueHead(self.model.config.get_text_config().hidden_size).to(self.model.device)
        without_dropout(self.model)
        coarse = {str(p.dtype) for p in self.model.parameters() if p.requires_grad and p.dtype.itemsize < 4}
        if coarse:
            warnings.warn(
                f"trainable weights are {', '.join(sorted(coarse))}, too coarse for most steps of learning rate "
                f"{self.settings.learning_rate:g}: dtype='mixed' keeps them in float32 and computes in bfloat16",
                stacklevel=2,
            )
        self.reference = Reference(self.model, reference, needed=self.settings.kl_coef > 0)
        s = self.settings
        self.optimizer = adamw(self.model, s.learning_rate)
        self.optimizer.add_param_group({"params": list(self.value_head.parameters()), "lr": s.value_learning_rate})
        self._peaks = [group["lr"] for group in self.optimizer.param_groups]
        self.rows: list[dict[str, float]] = []
        self.num_timesteps, self.rollouts, self._starts = 0, 0, None  # type: int, int, np.ndarray | None
        self._draw = torch.Generator().manual_seed(seed)
        self._ended: list[float] = []

    @property
    def observation_space(self) -> Any:
        """Of the environments by number."""
        return self.player.observation_space

    @property
    def action_space(self) -> Any:
        """Of the environments by number."""
        return self.player.action_space

    @property
    def interface(self) -> Any:
        """What it plays through."""
        return self.player.interface

    @property
    def ledger(self) -> dict[str, int]:
        """Of the player."""
        return self.player.ledger

    def attach(self, env: Any) -> None:
        """Plays in these environments from their next reset on."""
        self.player.attach(env)

    def attend(self, live: Any) -> None:
        """As `LLMAgent.attend`."""
        self.player.attend(live)

    def act(self, observation: Any, state: Any = None, episode_start: Any = None, deterministic: bool = True) -> Any:
        """As `LLMAgent.act`."""
        return self.player.act(observation, state, episode_start, deterministic)

    def learn(
        self,
        total_timesteps: int,
        *,
        seconds: float | None = None,
        progress: Progress | None = None,
        whole: int | None = None,
    ) -> LLMPPO:
        """Learns for at most so many turns; learning rates fall linearly to a tenth over them.

        Args:
            total_timesteps, seconds, progress: as for every agent.
            whole: turns that learning rates fall over, counted from the trainer's first, where this is a part of them.
        """
        if self.env is None:
            raise ValueError("there are no environments to learn in: LLMPPO was made, or loaded, with env=None")
        budget, now = Budget(total_timesteps, seconds, progress), seconds_on(self.model.device)
        self._starts = None
        while not budget.over:
            left = budget.share_left() if whole is None else max(0.0, 1 - self.num_timesteps / whole)
            self._set_learning_rates(0.1 + 0.9 * left)
            began = now()
            rollout = self.collect()
            row = self.update(rollout)
            self.num_timesteps, self.rollouts = self.num_timesteps + rollout.rewards.numel(), self.rollouts + 1
            row |= {
                "timesteps": self.num_timesteps,
                "success": float(np.mean(self._ended[-200:])) if self._ended else float("nan"),
                "reward": rollout.rewards.mean().item(),
                "tokens": float(rollout.tokens),
                "longest_prompt": float(rollout.longest),
                "tokens_per_second": rollout.tokens / (now() - began),
            }
            self.rows.append(row)
            if not all(np.isfinite(value) for name, value in row.items() if name != "success"):
                raise FloatingPointError(f"training diverged: {row}")
            budget.spend(rollout.rewards.numel())
        return self

    def _set_learning_rates(self, share: float) -> None:
        """Of their peaks; the model's, not the value head's, rise from nothing over the first rollouts that move it."""
        s = self.settings
        risen = min(1.0, (self.rollouts - s.value_rollouts + 1) / s.warmup_rollouts) if s.warmup_rollouts else 1.0
        *of_model, of_values = zip(self.optimizer.param_groups, self._peaks, strict=True)
        for group, peak in of_model:
            group["lr"] = peak * share * max(0.0, risen)
        of_values[0]["lr"] = of_values[1] * share

    def begin(self) -> Interface:
        """Begins new episodes in the training environments, from wherever the player was; returns what it plays through."""
        self.player.attach(self.env)
        self.env.reset()
        self._starts = np.ones(self.env.num_envs, bool)
        assert self.player.interface is not None
        return self.player.interface

    def collect(self) -> Collected:
        """Plays `n_steps` turns in every environment."""
        env, player, s = self.env, self.player, self.settings
        if self._starts is None or player.interface is None or player.interface.batch is not env.batch:
            self.begin()
        assert player.interface is not None
        assert self._starts is not None
        prompts: list[list[int]] = []
        replies: list[Reply] = []
        rewards, values, starts, spoken = [], [], [], 0
        for _ in range(s.n_steps):
            asked, drawn = self.propose(self._starts)
            said = [replies[0] for replies in drawn]
            actions = player.interface.read([self.backend.decode(reply.tokens) for reply in said])
            spoken += sum(bool(turn.command) for turn in player.interface.turns)
            prompts, replies = prompts + asked, replies + said
            starts.append(self._starts)
            values.append([reply.value for reply in said])
            _, reward, self._starts, infos = env.step(actions)
            rewards.append(reward)
            self._ended += [float(infos[i].get("is_success", np.nan)) for i in np.flatnonzero(self._starts)]
        last = self._values(self._starts)
        device = self.model.device
        return Collected(
            gathered(prompts, replies, self.backend.pad, device),
            torch.tensor(np.array(rewards), dtype=torch.float32, device=device),
            torch.tensor(values, device=device),
            torch.tensor(np.array(starts), device=device),
            torch.tensor(last, device=device),
            torch.tensor(self._starts, device=device),
            replies,
            sum(map(len, prompts)) + sum(len(reply.tokens) for reply in replies),
            max(map(len, prompts)),
            spoken / len(replies),
        )

    def propose(self, starts: np.ndarray, most: int = 1) -> tuple[list[list[int]], list[list[Reply]]]:
        """Of all environments the prompt, and the distinct ones among `most` sampled replies, with values.

        Args:
            starts: (N,) bool, which episodes begin with this situation.
            most: replies that are drawn.
        """
        asked, player = self._prompts(starts), self.player
        assert player.legal is not None
        tries = player.legal(range(len(asked))) if player.constrained else None
        self.model.eval()
        sampling = Sampling(self.settings.temperature, 1.0, self.room)
        drawn = [self.backend.sample(asked, sampling, tries, self.value_head) for _ in range(most)]
        return asked, [list({tuple(reply.tokens): reply for reply in row}.values()) for row in zip(*drawn, strict=True)]

    def _values(self, starts: np.ndarray) -> list[float]:
        """Of the situations that all environments are in."""
        asked = self._prompts(starts)
        return [reply.value for reply in self.backend.sample(asked, Sampling(max_new_tokens=1), None, self.value_head)]

    def _prompts(self, starts: np.ndarray) -> list[list[int]]:
        player = self.player
        assert player.interface is not None
        player.interface.begin(np.flatnonzero(starts))
        player.interface.observe()
        return [self.backend.prompter(player.interface.messages(i), self.room) for i in range(len(starts))]

    @property
    def room(self) -> int:
        """Most tokens of a reply."""
        player = self.player
        held = player.legal.most_tokens if player.constrained and player.legal is not None else 0
        return max(player.sampling.max_new_tokens, held)

    def update(self, rollout: Collected) -> dict[str, float]:
        """Some epochs of PPO on a rollout; returns what is logged."""
        s, turns = self.settings, rollout.turns
        advantages = gae(
            rollout.rewards, rollout.values, rollout.starts, rollout.last_values, rollout.last_starts, s.gamma, s.gae_lambda
        )
        returns, advantages = (advantages + rollout.values).flatten(), advantages.flatten()
        spread = advantages.std() if len(advantages) > 1 else advantages.new_zeros(())
        scaled = (advantages - advantages.mean()) / (spread + 1e-8)
        reference = self._of_reference(turns) if s.kl_coef else None
        values_only = self.rollouts < s.value_rollouts
        told: list[dict[str, float]] = []
        self.model.train()
        for _ in range(s.n_epochs):
            moved = []
            for rows in self.shuffled(len(scaled)).split(s.batch_size):
                row = self._step(
                    turns.take(rows), scaled[rows], returns[rows], None if reference is None else reference[rows], values_only
                )
                told.append(row)
                moved.append(row["approx_kl"])
            if s.target_kl and np.mean(moved) > s.target_kl:
                break
        self.model.eval()
        left, spread = (returns - rollout.values.flatten()).var(correction=0), returns.var(correction=0)
        length = [len(reply.tokens) for reply in rollout.replies]
        return {
            **{name: float(np.mean([row[name] for row in told])) for name in told[0]},
            "explained_variance": float(1 - left / spread) if spread > 0 else 0.0,
            "command_tokens": float(np.mean(length)),
            "commands": rollout.commands,
            "updates": float(len(told)),
        }

    def _step(
        self, turns: Turns, advantages: Tensor, returns: Tensor, reference: Tensor | None, values_only: bool
    ) -> dict[str, float]:
        """One update; what is logged of it."""
        loss, row = self.loss(turns, advantages, returns, reference, values_only)
        self.descend(loss)
        return row

    def loss(
        self, turns: Turns, advantages: Tensor, returns: Tensor, reference: Tensor | None, values_only: bool
    ) -> tuple[Tensor, dict[str, float]]:
        """Of an update, and what is logged of it; see `ppo_loss`."""
        return ppo_loss(self.model, self.value_head, turns, advantages, returns, reference, self.settings, values_only)

    def shuffled(self, count: int) -> Tensor:
        """(count,) row numbers in random order."""
        return torch.randperm(count, generator=self._draw).to(self.model.device)

    def descend(self, loss: Tensor) -> None:
        """One step of the optimizer."""
        if not torch.isfinite(loss):
            raise FloatingPointError(f"training diverged: the loss is {loss.item()} after {self.num_timesteps:,} turns")
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        parameters = [p for group in self.optimizer.param_groups for p in group["params"]]
        nn.utils.clip_grad_norm_(parameters, self.settings.max_grad_norm)
        self.optimizer.step()

    @torch.no_grad()
    def _of_reference(self, turns: Turns) -> Tensor:
        """(B, C) log-probabilities of the replies by the reference."""
        out = torch.zeros_like(turns.log_probs)
        with self.reference.model() as model:
            for rows in torch.arange(len(out), device=out.device).split(2 * self.settings.batch_size):
                some = turns.take(rows)
                out[rows, : some.tokens.shape[1]] = likelihood(model, some, self.settings.temperature).log_probs
        return out

    def save(self, path: Any) -> None:
        """Writes a folder: the model as `transformers` loads it, how it plays, and all that training needs to go on."""
        saving.write(self, Path(path))

    @classmethod
    def load(cls, path: Any, env: Any = None, device: str = "auto", reference: Any = None) -> LLMPPO:
        """What `save` wrote, ready to play and, with its training environments, to go on to the same end; without `reference`,
        divergence is measured from the saved model then (of a model with adapters: from the model without them).

        Raises:
            ValueError: the folder was not written by `save`.
        """
        folder = Path(path)
        record = saving.record_of(folder)
        keywords = {name: value for name, value in record["agent"].items() if name not in ("model", "url")}
        seed = keywords.pop("seed")
        player = LLMAgent(env, model=str(folder), seed=seed, device=device, **keywords)
        trainer = cls(env, model=player, seed=seed, settings=record["settings"], reference=reference)
        saving.restore(trainer, folder)
        return trainer
