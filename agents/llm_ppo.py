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

import copy
import json
import time
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from agents.base import REWARDS
from agents.budget import Budget, Progress
from agents.llm.agent import LLMAgent
from agents.llm.models import LocalModel
from agents.llm.sampling import Reply, Sampling
from agents.llm.supervised import adamw
from agents.llm.turns import Turns, gathered, likelihood, per_turn
from agents.rollout import gae
from reasongym.text.interface import Interface

AGENT, VALUE, OPTIMIZER = "agent.json", "value_head.pt", "optimizer.pt"


@dataclass(frozen=True)
class PPOSettings:
    """Hyper-parameters.

    Attributes:
        n_steps: turns of each environment in a rollout.
        n_epochs, batch_size: passes over a rollout, and turns in an update.
        learning_rate: of the model; `value_learning_rate` of the value head.
        gamma, gae_lambda: discount and trace decay, per turn.
        clip_range: of the ratio, token by token.
        ent_coef, vf_coef, kl_coef: weights of entropy, value loss and divergence from the reference.
        target_kl: an epoch that moves the policy further than this ends the rollout's updates; 0: never.
        max_grad_norm: clip of the gradient.
        value_rollouts: rollouts at the beginning in which the value head alone is trained.
        temperature: that commands are sampled with, and that ratios are taken at.
    """

    n_steps: int = 16
    n_epochs: int = 4
    batch_size: int = 128
    learning_rate: float = 1e-4
    value_learning_rate: float = 1e-3
    gamma: float = 0.97
    gae_lambda: float = 0.95
    clip_range: float = 0.2
    ent_coef: float = 0.0
    vf_coef: float = 0.5
    kl_coef: float = 0.01
    target_kl: float = 0.0
    max_grad_norm: float = 1.0
    value_rollouts: int = 1
    temperature: float = 1.0

    def __post_init__(self) -> None:
        if min(self.n_steps, self.n_epochs, self.batch_size) < 1 or self.temperature <= 0:
            raise ValueError(
                "n_steps, n_epochs and batch_size must be at least 1 and temperature positive, got "
                f"{self.n_steps!r}, {self.n_epochs!r}, {self.batch_size!r}, {self.temperature!r}"
            )


class ValueHead(nn.Module):
    """(B, H) hidden states to (B,) values; it begins at 0."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        last = nn.Linear(hidden, 1)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        self.layers = nn.Sequential(nn.LayerNorm(hidden), nn.Linear(hidden, hidden), nn.Tanh(), last)

    def forward(self, hidden: Tensor) -> Tensor:
        return self.layers(hidden.float())[..., 0]


@dataclass
class Collected:
    """A rollout of T turns in N environments, turn (t, n) at row t * N + n.

    Attributes:
        turns: T * N of them.
        rewards, values, starts: (T, N).
        last_values, last_starts: (N,) of the turn after the last.
        replies: as they were drawn.
        tokens: of prompts and commands.
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
    commands: float


class LLMPPO:
    """Trains a language model; an `agents.base.Agent`.

    Args:
        env: training environments by number; they are played in words.
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
        if isinstance(model, LLMAgent):
            self.player = model
            self.player.attach(env)
        else:
            chosen = {"constrained": True, "instructions": "none", **agent}
            self.player = LLMAgent(env, model=model, seed=seed, device=device, **chosen)
        if not isinstance(self.player.backend, LocalModel):
            raise ValueError("only a model in this process can be trained: give a folder or a name, and no url")
        if self.player.sampling.top_p < 1:
            raise ValueError("top_p must be 1 in training: a ratio of probabilities needs the same support before and after")
        self.backend, self.env = self.player.backend, env
        torch.manual_seed(seed)
        self.model = self.backend.model
        self.value_head = ValueHead(self.model.config.get_text_config().hidden_size).to(self.model.device)
        self.reference = _Reference(self.model, reference, needed=self.settings.kl_coef > 0)
        s = self.settings
        self.optimizer = adamw(self.model, s.learning_rate)
        self.optimizer.add_param_group({"params": list(self.value_head.parameters()), "lr": s.value_learning_rate})
        self._peaks = [group["lr"] for group in self.optimizer.param_groups]
        self.rows: list[dict[str, float]] = []
        self.num_timesteps, self._starts = 0, None  # type: int, np.ndarray | None
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
        budget = Budget(total_timesteps, seconds, progress)
        self._starts = None
        while not budget.over:
            left = budget.share_left() if whole is None else max(0.0, 1 - self.num_timesteps / whole)
            for group, peak in zip(self.optimizer.param_groups, self._peaks, strict=True):
                group["lr"] = peak * (0.1 + 0.9 * left)
            began = time.perf_counter()
            rollout = self.collect()
            row = self.update(rollout)
            self.num_timesteps += rollout.rewards.numel()
            row |= {
                "timesteps": self.num_timesteps,
                "success": float(np.mean(self._ended[-200:])) if self._ended else float("nan"),
                "reward": rollout.rewards.mean().item(),
                "tokens": float(rollout.tokens),
                "tokens_per_second": rollout.tokens / (time.perf_counter() - began),
            }
            self.rows.append(row)
            if not all(np.isfinite(value) for name, value in row.items() if name != "success"):
                raise FloatingPointError(f"training diverged: {row}")
            budget.spend(rollout.rewards.numel())
        return self

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
            self._ended += [float(infos[i]["is_success"]) for i in np.flatnonzero(self._starts)]
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
        sampling = Sampling(self.settings.temperature, 1.0, self._room)
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
        return [self.backend.prompter(player.interface.messages(i), self._room) for i in range(len(starts))]

    @property
    def _room(self) -> int:
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
        scaled = (advantages - advantages.mean()) / (advantages.std() + 1e-8)
        reference = self._of_reference(turns) if s.kl_coef else None
        values_only = len(self.rows) < s.value_rollouts
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
        spread = returns.var()
        explained = 1 - (returns - rollout.values.flatten()).var() / spread if spread > 0 else torch.tensor(float("nan"))
        length = [len(reply.tokens) for reply in rollout.replies]
        return {
            **{name: float(np.mean([row[name] for row in told])) for name in told[0]},
            "explained_variance": float(explained) if spread > 0 else 0.0,
            "command_tokens": float(np.mean(length)),
            "commands": rollout.commands,
            "updates": float(len(told)),
        }

    def _step(
        self, turns: Turns, advantages: Tensor, returns: Tensor, reference: Tensor | None, values_only: bool
    ) -> dict[str, float]:
        """One update; what is logged of it."""
        s = self.settings
        loss, row = ppo_loss(self.model, self.value_head, turns, advantages, returns, reference, s, values_only)
        self.descend(loss)
        return row

    def shuffled(self, count: int) -> Tensor:
        """(count,) row numbers in random order."""
        return torch.randperm(count, generator=self._draw).to(self.model.device)

    def descend(self, loss: Tensor) -> None:
        """One step of the optimizer."""
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
        """Writes a folder: the model as `transformers` loads it, the value head, the optimizer, and how it plays."""
        folder = Path(path)
        folder.mkdir(parents=True, exist_ok=True)
        self.model.save_pretrained(folder)
        self.backend.tokenizer.save_pretrained(folder)
        torch.save(self.value_head.state_dict(), folder / VALUE)
        torch.save({"optimizer": self.optimizer.state_dict(), "timesteps": self.num_timesteps}, folder / OPTIMIZER)
        record = {"settings": asdict(self.settings), "agent": {**self.player.arguments, "model": None}}
        (folder / AGENT).write_text(json.dumps(record, indent=1) + "\n")

    @classmethod
    def load(cls, path: Any, env: Any = None, device: str = "auto", reference: Any = None) -> LLMPPO:
        """What `save` wrote, ready to play and, with its training environments, to go on; without `reference`, divergence is
        measured from the saved model then.

        Raises:
            ValueError: the folder was not written by `save`.
        """
        folder = Path(path)
        if not (folder / AGENT).is_file():
            raise ValueError(f"{folder} was not written by LLMPPO.save: it holds no {AGENT}")
        record = json.loads((folder / AGENT).read_text())
        keywords = {name: value for name, value in record["agent"].items() if name not in ("model", "url")}
        seed = keywords.pop("seed")
        player = LLMAgent(env, model=str(folder), seed=seed, device=device, **keywords)
        trainer = cls(env, model=player, seed=seed, settings=record["settings"], reference=reference)
        trainer.value_head.load_state_dict(torch.load(folder / VALUE, map_location=trainer.model.device, weights_only=True))
        kept = torch.load(folder / OPTIMIZER, map_location=trainer.model.device, weights_only=True)
        trainer.optimizer.load_state_dict(kept["optimizer"])
        trainer.num_timesteps = kept["timesteps"]
        return trainer


def ppo_loss(
    model: Any,
    value_head: ValueHead,
    turns: Turns,
    advantages: Tensor,
    returns: Tensor,
    reference: Tensor | None,
    s: PPOSettings,
    values_only: bool = False,
) -> tuple[Tensor, dict[str, float]]:
    """The loss of B turns: clipped surrogate (Schulman et al. 2017, eq. 7), value, entropy and divergence.

    Args:
        turns: B of them, C tokens the longest reply.
        advantages, returns: (B,).
        reference: (B, at least C) log-probabilities of the replies by the reference; None: no divergence.
        values_only: only the value head's loss, which does not reach the model then.
    """
    with torch.set_grad_enabled(not values_only):
        now = likelihood(model, turns, s.temperature)
    values = value_head(now.hidden)
    value_loss = 0.5 * (values - returns).square().mean()
    free, chose = turns.free, turns.free.any(1)
    change = now.log_probs - turns.log_probs
    ratio = change.exp()
    gain = torch.minimum(ratio * advantages[:, None], ratio.clamp(1 - s.clip_range, 1 + s.clip_range) * advantages[:, None])
    choices = chose.sum().clamp(min=1)
    policy_loss = -per_turn(gain, free).sum() / choices
    entropy = per_turn(now.entropy, free).sum() / choices
    divergence = torch.zeros_like(entropy)
    if reference is not None:
        behind = reference[:, : free.shape[1]] - now.log_probs
        divergence = per_turn(behind.exp() - behind - 1, free).sum() / choices  # Schulman's k3: unbiased, never negative
    loss = s.vf_coef * value_loss
    if not values_only:
        loss = loss + policy_loss - s.ent_coef * entropy + s.kl_coef * divergence
    with torch.no_grad():
        clipped = (((ratio - 1).abs() > s.clip_range) & free).sum() / free.sum().clamp(min=1)
        approx_kl = per_turn(ratio - 1 - change, free).sum() / choices
    row = {
        "policy_loss": policy_loss, "value_loss": value_loss, "entropy": entropy, "kl": divergence, "clipped": clipped,
        "approx_kl": approx_kl,
    }  # fmt: skip
    return loss, {name: value.item() for name, value in row.items()}


class _Reference:
    """The policy as it was at the beginning: a frozen copy, or of a model with adapters the model without them."""

    def __init__(self, model: Any, given: Any, needed: bool) -> None:
        self._adapted = given is None and hasattr(model, "disable_adapter")
        whole = model if given is None else given
        self._model = whole if self._adapted or not needed else copy.deepcopy(whole).eval().requires_grad_(False)

    @contextmanager
    def model(self) -> Any:
        """The model to ask."""
        training = self._model.training
        with self._model.disable_adapter() if self._adapted else nullcontext():
            self._model.eval()
            try:
                yield self._model
            finally:
                self._model.train(training)
