"""A language model that learns in the rounds of self-reward."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from agents.llm.sampling import Reply
from agents.llm.surrogate import PPOSettings
from agents.llm.turns import Likelihood, Turns, gathered, likelihood
from agents.llm_dpo import Preference, learn_pairs
from agents.llm_ppo import LLMPPO
from agents.llm_rounds.judge import LanguageJudge, Live
from agents.llm_rounds.player import TextPlayer
from agents.llm_rounds.reading import Lessons, Prompts, Read, split
from agents.self_reward.episodes import Played
from agents.self_reward.rewards import SelfRewardVecEnv
from agents.self_reward.settings import Settings
from agents.self_reward.updates import Pairs, self_imitation_loss


@dataclass(frozen=True)
class Language:
    """Makes the learner of a run.

    Attributes:
        model: folder or name of a causal language model to begin with.
        ppo: further hyper-parameters (`PPOSettings`); `n_steps`, `batch_size` and `learning_rate` are the run's.
        agent: keywords of `LLMAgent`.
    """

    model: str
    ppo: Mapping[str, Any] = field(default_factory=dict)
    agent: Mapping[str, Any] = field(default_factory=dict)

    def __call__(self, paid: SelfRewardVecEnv, settings: Settings, device: str) -> LanguageLearner:
        return LanguageLearner(paid, settings, self.model, device, dict(self.ppo), **self.agent)


class LanguageLearner(LLMPPO):
    """A language model as `self_reward.learner.Learner`.

    Args:
        paid: training environments that pay what the run's weights say.
        settings: of the run.
        model: folder or name.
        device: where it lives.
        ppo: further hyper-parameters.
        agent: keywords of `LLMAgent`; replies are always constrained to legal commands, without history.
    """

    def __init__(
        self, paid: SelfRewardVecEnv, settings: Settings, model: str, device: str, ppo: dict[str, Any], **agent: Any
    ) -> None:
        s, of_run = settings, {"n_steps": settings.n_steps, "batch_size": settings.batch_size}
        chosen = PPOSettings(**{"value_rollouts": 0, **ppo, **of_run, "learning_rate": s.learning_rate})
        self.prompts, self.updates, self._run = Prompts(), 0, s
        self._lessons: Lessons | None = None
        self._imitated: list[tuple[float, int, int]] = []
        super().__init__(
            paid, model=model, seed=s.seed, device=device, settings=chosen, **{**agent, "constrained": True, "history": 0}
        )
        self.device = self.model.device

    @property
    def gamma(self) -> float:
        """Discount per turn."""
        return self.settings.gamma

    def as_player(self) -> TextPlayer:
        """It, playing."""
        return TextPlayer(self)

    def predict(self, observation: Any, state: Any, episode_start: Any, deterministic: bool) -> tuple[np.ndarray, Any]:
        """As `act`."""
        return self.act(observation, state, episode_start, deterministic)

    def new_judge(self) -> LanguageJudge:
        """A copy of it that judges."""
        return LanguageJudge(self)

    def heard(self, judge: LanguageJudge | None) -> Live | None:
        """The judge, reading what the model is being shown."""
        return None if judge is None else Live(self, judge)

    def reseed(self, seed: int) -> None:
        """All that it draws from."""
        torch.manual_seed(seed)
        self.backend.generator.manual_seed(seed)
        self._draw.manual_seed(seed)

    def turns_of(self, read: Read, actions: np.ndarray) -> Turns:
        """Situations and what was done there, as turns; their log-probabilities are 0."""
        prompts = [self.prompts[place] for place in read["prompt"].tolist()]
        return self.turns(prompts, read["action_mask"], actions)

    def turns(self, prompts: Sequence[Sequence[int]], masks: np.ndarray, actions: np.ndarray) -> Turns:
        """Prompts and what was done there, as turns."""
        replies = [self._reply(mask, action) for mask, action in zip(masks, actions.tolist(), strict=True)]
        return gathered(prompts, replies, self.backend.pad, self.model.device)

    def _reply(self, mask: np.ndarray, action: int) -> Reply:
        assert self.player.legal is not None
        tokens, allowed = self.player.legal.path(mask, action)
        return Reply(tokens, [0.0] * len(tokens), allowed, True)

    # ---- learning --------------------------------------------------------------------------------------------------

    def lessons_of(self, played: Played, returns: np.ndarray) -> Lessons:
        """Episodes to learn from; `returns` (F,)."""
        return Lessons(dict(played.observations), played.actions, np.asarray(returns, np.float32))

    def learn_pairs(self, pairs: Pairs) -> dict[str, float]:
        """Step-wise DPO."""
        if not len(pairs) or not self._run.dpo_epochs:
            return {}
        read = pairs.observations
        told = [
            Preference(self.prompts[place], self._reply(mask, chosen), self._reply(mask, rejected))
            for place, mask, chosen, rejected in zip(
                read["prompt"].tolist(), read["action_mask"], pairs.chosen.tolist(), pairs.rejected.tolist(), strict=True
            )
        ]
        left = max(0.0, 1 - self.num_timesteps / (self._run.rounds * self._run.frames))
        rate = self._run.learning_rate * (0.1 + 0.9 * left)
        return learn_pairs(self, told, beta=self._run.dpo_beta, epochs=self._run.dpo_epochs, learning_rate=rate)

    def improve(self, frames: int, lessons: Lessons | None) -> dict[str, float]:
        """PPO for so many turns, with self-imitation on the lessons."""
        before, rows = self.num_timesteps, len(self.rows)
        self._starts, self._lessons, self._imitated = None, lessons, []
        self.env.unwrapped.seed(int(torch.randint(2**31, ()).item()))
        self.learn(frames, whole=self._run.rounds * self._run.frames)
        self._lessons = None
        told = {name: float(np.mean([row[name] for row in self.rows[rows:]])) for name in ("entropy", "kl", "clipped")}
        if self._imitated:
            losses, imitated, fresh = np.array(self._imitated).T
            told |= {"self_imitation_loss": float(losses.mean()), "replayed": float(imitated.sum() / (imitated + fresh).sum())}
        return {"ppo_frames": float(self.num_timesteps - before), **told}

    def loss(
        self, turns: Turns, advantages: Tensor, returns: Tensor, reference: Tensor | None, values_only: bool
    ) -> tuple[Tensor, dict[str, float]]:
        """As PPO's; where there are lessons, self-imitation of whole commands on `replay_share` of the mix is added."""
        loss, row = super().loss(turns, advantages, returns, reference, values_only)
        s, fresh = self._run, len(turns.ids)
        count = int(fresh * s.replay_share / (1 - s.replay_share))
        if self._lessons is None or not s.sil_coef or values_only or not count:
            return loss, row
        read, actions, earned = self._lessons.draw(count, self._draw)
        now = self.likelihood(self.turns_of(read, actions))
        values = self.value_head(now.hidden)
        imitation = self_imitation_loss(now.log_probs.sum(1), values, torch.as_tensor(earned, device=values.device))
        self._imitated.append((imitation.item(), count, fresh))
        return loss + s.sil_coef * imitation, row

    def descend(self, loss: Tensor) -> None:
        super().descend(loss)
        self.updates += 1

    def likelihood(self, turns: Turns) -> Likelihood:
        """How likely the model finds turns now."""
        return likelihood(self.model, turns, self.settings.temperature)

    def refit_value(self, lessons: Lessons, epochs: int = 2, batch_size: int = 256) -> float:
        """Fits the value head, and nothing else, to what was earned. Returns the last epoch's squared error."""
        everything = np.arange(len(lessons.actions))
        with torch.no_grad():
            parts = [self.likelihood(self.turns_of(*lessons.take(rows)[:2])).hidden for rows in split(everything, batch_size)]
        hidden, earned = torch.cat(parts), torch.as_tensor(lessons.returns, device=self.model.device)
        optimizer = torch.optim.AdamW(self.value_head.parameters(), lr=self.settings.value_learning_rate, weight_decay=0.0)
        last: list[float] = []
        for _ in range(epochs):
            last = []
            for rows in self.shuffled(len(hidden)).split(batch_size):
                error = (self.value_head(hidden[rows]) - earned[rows]).square().mean()
                optimizer.zero_grad()
                error.backward()
                optimizer.step()
                last.append(error.item())
        return float(np.mean(last))

    # ---- what is kept ----------------------------------------------------------------------------------------------

    def kept(self) -> dict[str, Any]:
        """What a checkpoint needs."""
        return {
            "policy": self.model.state_dict(), "value_head": self.value_head.state_dict(), "rows_of_ppo": self.rows,
            "optimizer": self.optimizer.state_dict(), "frames": self.num_timesteps, "rollouts": self.rollouts,
            "updates": self.updates,
        }  # fmt: skip

    def resume(self, kept: dict[str, Any]) -> None:
        """Goes on from what was kept."""
        self.model.load_state_dict(kept["policy"])
        self.value_head.load_state_dict(kept["value_head"])
        self.optimizer.load_state_dict(kept["optimizer"])
        self.rows, self.num_timesteps, self.updates = kept["rows_of_ppo"], kept["frames"], kept["updates"]
        self.rollouts = kept["rollouts"]
