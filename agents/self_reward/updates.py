"""How the agent learns in a round: preferences between steps, PPO with self-imitation beside it, and the value head anew.

    self-imitation (Oh et al. 2018, arXiv 1806.05635)     -log pi(a|s) max(R - V(s), 0)
    step-wise DPO (Lai et al. 2024, arXiv 2406.18629)     -log sigmoid(b (d(chosen) - d(rejected))),  d = log pi - log ref

What differs: self-imitation's value loss is left out (the critic is refitted between rounds), and a *step* is one action.

Axes: F frames, P pairs, A actions, T time, B columns (episodes).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from agents.frames import Frames, as_tensors
from agents.memory import State
from agents.policy import MemoryPolicy
from agents.ppo import MemoryPPO
from agents.rollout import Minibatch
from agents.self_reward.episodes import Played
from agents.self_reward.judge import Judge
from agents.self_reward.playing import PolicyPlayer
from agents.self_reward.replay import REPLAY_SHARE


def self_imitation_loss(log_prob: Tensor, values: Tensor, returns: Tensor, weight: Tensor | None = None) -> Tensor:
    """Mean of -log pi(a|s) max(R - V(s), 0) over frames (F,), or those of weight 1; no gradient goes into V."""
    gained = (returns - values.detach()).clamp(min=0)
    if weight is None:
        return -(log_prob * gained).mean()
    return -(log_prob * gained * weight).sum() / weight.sum().clamp(min=1)


def dpo_loss(chosen: Tensor, rejected: Tensor, ref_chosen: Tensor, ref_rejected: Tensor, beta: float) -> Tensor:
    """Mean of -log sigmoid(beta ((chosen - ref_chosen) - (rejected - ref_rejected))) over pairs (P,) of log-probabilities."""
    return -F.logsigmoid(beta * ((chosen - ref_chosen) - (rejected - ref_rejected))).mean()


class Lessons:
    """Frames of recorded episodes, to be learned from: single ones, or, for a recurrent core, whole episodes as columns.

    Args:
        policy: whose network reads them.
        played: the episodes, with what was read.
        returns: (F,) what was earned from each step on.
        weight: (E,) how often an episode is drawn, relative to others; None: all alike.
    """

    def __init__(self, policy: MemoryPolicy, played: Played, returns: np.ndarray, weight: np.ndarray | None = None) -> None:
        device, lengths = policy.device, np.diff(played.starts)
        self.columns = policy.recurrent
        weight = np.ones(len(lengths)) if weight is None else weight
        order = np.arange(len(played.actions))
        self.T, self.lessons = 1, len(order)
        valid = np.ones(len(order), bool)
        by_frame = played.spread(weight)
        if self.columns:  # time first, episodes side by side, the first frame standing in after an end
            self.T, self.lessons = int(lengths.max()), len(lengths)
            time = np.arange(self.T)[:, None]
            valid = (time < lengths).ravel()
            order = np.where(time < lengths, played.starts[:-1] + time, 0).ravel()
            by_frame = weight
        observations = {key: value[order] for key, value in played.observations.items()}
        self.frames = policy.prepare(as_tensors(observations, device))
        self.actions = torch.as_tensor(played.actions[order], device=device)
        self.returns = torch.as_tensor(returns[order], dtype=torch.float32, device=device)
        self.valid = torch.as_tensor(valid, dtype=torch.float32, device=device)
        self.weight = torch.as_tensor(by_frame / by_frame.sum(), dtype=torch.float64, device=device)
        self.initial = policy.initial_state

    def draw(self, count: int) -> Lesson:
        """At most `count` frames, by weight, with repetition; draws from torch's generator.

        Where an episode alone is longer, a recurrent core reads all of it, and `count` of its frames, drawn, count.
        """
        lesson = self._take(torch.multinomial(self.weight, max(1, count // self.T), replacement=True))
        real = lesson.valid.nonzero().squeeze(1)
        if len(real) <= count:
            return lesson
        valid = torch.zeros_like(lesson.valid)
        valid[real[torch.randperm(len(real), device=real.device)[:count]]] = 1.0
        return lesson._replace(valid=valid)

    def once(self, batch_size: int) -> list[Lesson]:
        """All frames once, in random order, in parts of about `batch_size`."""
        order = torch.randperm(self.lessons, device=self.actions.device)
        return [self._take(part) for part in order.split(max(1, batch_size // self.T))]

    def _take(self, places: Tensor) -> Lesson:
        index = (torch.arange(self.T, device=places.device)[:, None] * self.lessons + places).flatten()
        reset = torch.zeros(self.T, len(places), dtype=torch.bool, device=places.device)
        reset[0] = self.columns
        state = self.initial(len(places)) if self.columns else ()
        return Lesson(self.frames.take(index), state, reset, self.actions[index], self.returns[index], self.valid[index])


class Lesson(NamedTuple):
    """Some frames of `Lessons`: prepared frames, the cores' state, (T, B) resets, (F,) actions, returns, 1 where real."""

    frames: Frames
    state: State
    reset: Tensor
    actions: Tensor
    returns: Tensor
    valid: Tensor


class Pairs(NamedTuple):
    """Pairs of actions at P states.

    Attributes:
        observations: by key (P, ...), as the network reads them.
        states: the cores' states before the step.
        chosen, rejected: (P,) int64 actions.
        report: how they came about, for the round's row.
    """

    observations: dict[str, np.ndarray]
    states: tuple[np.ndarray, ...]
    chosen: np.ndarray
    rejected: np.ndarray
    report: dict[str, float]

    def __len__(self) -> int:
        return len(self.chosen)


class SelfRewardPPO(MemoryPPO):
    """MemoryPPO that also imitates replayed steps which went better than expected, and learns from pairs of steps.

    Args:
        args, keywords: as for MemoryPPO.
        horizon: frames of all rounds: schedules follow them.
        sil_coef: weight of self-imitation.
        replay_share: of a minibatch; at most a quarter, the rest is fresh.
        dpo_beta: b of step-wise DPO.
        dpo_epochs: passes over a round's pairs.
    """

    def __init__(
        self, *args: Any, horizon: int = 1_000_000, sil_coef: float = 0.1, replay_share: float = REPLAY_SHARE,
        dpo_beta: float = 0.1, dpo_epochs: int = 2, **keywords: Any,
    ) -> None:  # fmt: skip
        if not 0 < replay_share <= REPLAY_SHARE:
            raise ValueError(f"replay_share must lie in (0, {REPLAY_SHARE}]: fresh frames are the anchor; got {replay_share!r}")
        if sil_coef < 0 or not dpo_beta > 0 or dpo_epochs < 0 or horizon < 1:
            raise ValueError(f"got sil_coef={sil_coef}, dpo_beta={dpo_beta}, dpo_epochs={dpo_epochs}, horizon={horizon}")
        self.horizon, self.sil_coef, self.replay_share = horizon, sil_coef, replay_share
        self.dpo_beta, self.dpo_epochs = dpo_beta, dpo_epochs
        self.lessons: Lessons | None = None
        self.imitated: list[tuple[float, int, int]] = []
        super().__init__(*args, **keywords)

    # ---- a `Learner` -----------------------------------------------------------------------------------------------

    def as_player(self) -> PolicyPlayer:
        """Its policy, playing."""
        return PolicyPlayer(self.policy)

    @property
    def updates(self) -> int:
        """So far."""
        return self._n_updates

    def new_judge(self) -> Judge:
        """A judge that is a copy of it."""
        return Judge(self)

    def heard(self, judge: Judge | None) -> Judge | None:
        """It reads what its judge reads."""
        return judge

    def reseed(self, seed: int) -> None:
        """Torch's own generator is all that it draws from."""
        torch.manual_seed(seed)

    def lessons_of(self, played: Played, returns: np.ndarray) -> Lessons:
        """Episodes to learn from; `returns` (F,)."""
        return Lessons(self.policy, played, returns)

    def improve(self, frames: int, lessons: Lessons | None) -> dict[str, float]:
        """PPO for so many frames in its environments, with self-imitation on the lessons."""
        before, paid = self.num_timesteps, self.get_env()
        assert paid is not None
        self._last_obs, self.lessons, self.imitated = None, lessons, []
        paid.unwrapped.seed(int(torch.randint(2**31, ()).item()))
        self.learn(frames, reset_num_timesteps=False)
        self.lessons = None
        row = {"ppo_frames": float(self.num_timesteps - before)}
        if self.imitated:
            losses, imitated, fresh = np.array(self.imitated).T
            row |= {"self_imitation_loss": float(losses.mean()), "replayed": float(imitated.sum() / (imitated + fresh).sum())}
        return row

    def kept(self) -> dict[str, Any]:
        """What a checkpoint needs."""
        parts = {"policy": self.policy.state_dict(), "optimizer": self.policy.optimizer.state_dict()}
        return {**parts, "frames": self.num_timesteps, "updates": self._n_updates}

    def resume(self, kept: dict[str, Any]) -> None:
        """Goes on from what was kept."""
        self.policy.load_state_dict(kept["policy"])
        self.policy.optimizer.load_state_dict(kept["optimizer"])
        self.num_timesteps, self._n_updates = kept["frames"], kept["updates"]

    # ---- how it learns ---------------------------------------------------------------------------------------------

    def _update_current_progress_remaining(self, num_timesteps: int, total_timesteps: int) -> None:
        super()._update_current_progress_remaining(num_timesteps, max(self.horizon, num_timesteps))

    def loss(self, batch: Minibatch) -> tuple[Tensor, dict[str, float]]:
        """As MemoryPPO's; where there are lessons, self-imitation on `replay_share` of the mixed minibatch is added."""
        loss, record = super().loss(batch)
        if self.lessons is None or not self.sil_coef:
            return loss, record
        fresh = len(batch.actions)
        lesson = self.lessons.draw(int(fresh * self.replay_share / (1 - self.replay_share)))
        log_probs, values, _ = self.policy.evaluate(lesson.frames, lesson.state, lesson.reset)
        log_prob = log_probs.gather(1, lesson.actions[:, None]).squeeze(1)
        imitation = self_imitation_loss(log_prob, values, lesson.returns, lesson.valid)
        self.imitated.append((imitation.item(), int(lesson.valid.sum()), fresh))
        return loss + self.sil_coef * imitation, {**record, "self_imitation_loss": imitation.item()}

    def learn_pairs(self, pairs: Pairs, batch_size: int = 64) -> dict[str, float]:
        """Step-wise DPO; the reference is the policy as it is now. Returns the mean loss, and the share of pairs whose
        order the policy agrees with, before and after."""
        if not len(pairs) or not self.dpo_epochs:
            return {}
        policy = self.policy
        policy.set_training_mode(True)
        frames = policy.prepare(as_tensors(pairs.observations, self.device))
        state = tuple(torch.as_tensor(s, device=self.device) for s in pairs.states)
        actions = torch.as_tensor(np.stack([pairs.chosen, pairs.rejected], 1), device=self.device)

        def both(rows: Tensor) -> Tensor:
            reset = torch.zeros(1, len(rows), dtype=torch.bool, device=self.device)
            log_probs, _, _ = policy.evaluate(frames.take(rows), tuple(s[rows] for s in state), reset)
            return log_probs.gather(1, actions[rows])

        everything = torch.arange(len(pairs), device=self.device)
        with torch.no_grad():
            reference = both(everything)
        losses = []
        for _ in range(self.dpo_epochs):
            for rows in everything[torch.randperm(len(pairs), device=self.device)].split(batch_size):
                now, then = both(rows), reference[rows]
                loss = dpo_loss(now[:, 0], now[:, 1], then[:, 0], then[:, 1], self.dpo_beta)
                policy.optimizer.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(policy.parameters(), self.max_grad_norm)
                policy.optimizer.step()
                losses.append(loss.item())
        with torch.no_grad():
            after = both(everything)
        told = [float((p[:, 0] > p[:, 1]).float().mean()) for p in (reference, after)]
        return {"dpo_loss": float(np.mean(losses)), "preferred_before": told[0], "preferred_after": told[1]}

    def refit_value(self, lessons: Lessons, epochs: int = 2, batch_size: int = 1024, learning_rate: float = 5e-4) -> float:
        """Fits the critic and, where it has one, its body to new returns, and nothing else. Returns the last squared error."""
        policy = self.policy
        trained = [*policy.critic.parameters(), *(policy.bodies[-1].parameters() if len(policy.bodies) > 1 else ())]
        optimizer = torch.optim.AdamW(trained, lr=learning_rate, weight_decay=0.0)
        policy.set_training_mode(True)
        last: list[float] = []
        for _ in range(epochs):
            last = []
            for lesson in lessons.once(batch_size):
                _, values, _ = policy.evaluate(lesson.frames, lesson.state, lesson.reset)
                error = ((values - lesson.returns).square() * lesson.valid).sum() / lesson.valid.sum().clamp(min=1)
                gradients = torch.autograd.grad(error, trained)
                for parameter, gradient in zip(trained, gradients, strict=True):
                    parameter.grad = gradient
                nn.utils.clip_grad_norm_(trained, self.max_grad_norm)
                optimizer.step()
                last.append(error.item())
        return float(np.mean(last)) if last else float("nan")

    def _excluded_save_params(self) -> list[str]:
        return [*super()._excluded_save_params(), "lessons", "imitated"]
