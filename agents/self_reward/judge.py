"""The agent's own judge: a copy of the agent with a head that says of each action how well it will end, or whether it is sound.

The same network that acts judges, as in self-rewarding language models (Yuan et al. 2024, arXiv 2401.10020): encoder, body and
pointer head are copied from the policy as it begins, so what the agent has learned to read, its judge can, and what the agent
is unsure of, its judge doubts: the logit of an action is its log-probability and a bias of the state, both fitted on, round by
round, to what the run's arm knows. It reads observations and nothing else. A core's memory
is left out, so a step is judged by what stands on desk, slots and chain.

What its numbers mean decides how they become rewards (`judge_scores`):

| meaning | probability | of a step that is not the last | of the last step |
| --- | --- | --- | --- |
| value | that the episode ends well | its change since the step before: stalling earns nothing, up and down nets 0 | 2p - 1 |
| correct | that the step is sound | 2p - 1 where negative, else 0: praise for each step would pay for taking many | 2p - 1 |

An episode that ends without an answer is judged -1.

Axes: F frames, A actions, n steps.
"""

from __future__ import annotations

import copy
import hashlib
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from agents.distributions import masked_log_probs
from agents.frames import as_tensors
from agents.ppo import MemoryPPO
from agents.reward_model import without_core

MEANINGS = ("value", "correct")
PATIENCE = 2
"""Epochs without a better loss on the watched steps, after which fitting ends."""
MOST = 4096
"""Frames judged at a time."""


class OwnJudge(nn.Module):
    """What all judges do that are copies of an agent: tell probabilities, and be fitted to what an arm knows.

    Attributes:
        batch_size, learning_rate: of AdamW, in fitting.
        most: frames judged at a time.
    """

    batch_size, learning_rate, most = 512, 1e-3, MOST
    _hash = ""

    def logits(self, observations: dict[str, np.ndarray], actions: np.ndarray) -> torch.Tensor:
        """(F,) of these actions; observations as the agent read them."""
        raise NotImplementedError

    @property
    def version(self) -> str:
        """A hash of the weights."""
        if not self._hash:
            digest = hashlib.blake2b(digest_size=6)
            for name, value in sorted(self.state_dict().items()):
                digest.update(name.encode() + value.detach().float().cpu().numpy().tobytes())
            self._hash = f"judge-{digest.hexdigest()}"
        return self._hash

    def load_state_dict(self, *args: Any, **keywords: Any) -> Any:
        """As torch's; the version follows."""
        self._hash = ""
        return super().load_state_dict(*args, **keywords)

    def probability(self, observations: dict[str, np.ndarray], actions: np.ndarray) -> np.ndarray:
        """(F,) float32 in [0, 1]: of these actions."""
        with torch.no_grad():
            parts = [
                self.logits({key: value[i : i + self.most] for key, value in observations.items()}, actions[i : i + self.most])
                for i in range(0, len(actions), self.most)
            ]
        return torch.cat(parts).sigmoid().float().cpu().numpy()

    def fit(
        self,
        observations: dict[str, np.ndarray],
        actions: np.ndarray,
        targets: np.ndarray,
        watched: np.ndarray,
        *,
        balanced: bool = False,
        epochs: int = 6,
    ) -> dict[str, float]:
        """Fits the logits by cross-entropy until the watched steps grow worse; the best parameters stay. Draws from torch.

        Args:
            observations, actions: F steps.
            targets: (F,) in [0, 1]; NaN = unknown: left out.
            watched: (F,) bool, steps that are not fitted to, of other problems than the others.
            balanced: whether good and bad steps weigh alike.
            epochs: at most.

        Returns:
            `fitted` (1), `steps` fitted to, `loss` (nats) on the watched steps before and after, and `epochs`; where there are
            fewer than ten of either, only `fitted` (0) and `steps`.
        """
        known = np.flatnonzero(~np.isnan(targets))
        train, watch = (torch.as_tensor(np.flatnonzero(rows)) for rows in (~watched[known], watched[known]))
        if min(len(train), len(watch)) < 10:
            return {"fitted": 0.0, "steps": float(len(train))}
        device = next(self.parameters()).device
        target = torch.as_tensor(targets[known], dtype=torch.float32, device=device)
        share = float(target.mean().clamp(0.02, 0.98))
        weight = target * (0.5 / share) + (1 - target) * (0.5 / (1 - share)) if balanced else torch.ones_like(target)

        def loss_of(rows: torch.Tensor) -> torch.Tensor:
            index = known[rows.numpy()]
            logit = self.logits({key: value[index] for key, value in observations.items()}, actions[index])
            return F.binary_cross_entropy_with_logits(logit, target[rows], weight[rows])

        def watched_loss() -> float:
            with torch.no_grad():
                return sum(loss_of(part).item() * len(part) for part in watch.split(self.most)) / len(watch)

        optimizer = torch.optim.AdamW(self.parameters(), lr=self.learning_rate, weight_decay=0.1)
        before = best = watched_loss()
        kept, stale, passed = copy.deepcopy(self.state_dict()), 0, 0
        while stale < PATIENCE and passed < epochs:
            for part in train[torch.randperm(len(train))].split(self.batch_size):
                optimizer.zero_grad()
                loss_of(part).backward()
                nn.utils.clip_grad_norm_(self.parameters(), 1.0)
                optimizer.step()
            passed += 1
            loss = watched_loss()
            stale += 1
            if loss < best:
                best, kept, stale = loss, copy.deepcopy(self.state_dict()), 0
        self.load_state_dict(kept)
        return {"fitted": 1.0, "steps": float(len(train)), "loss_before": before, "loss": best, "epochs": float(passed)}


class Judge(OwnJudge):
    """Probabilities of actions being good, by a copy of a memory policy.

    Args:
        model: whose policy is copied; a recurrent core is left out (then body and head of its shape are new).

    Raises:
        ValueError: the policy does not read ReasonGym's observation.
    """

    def __init__(self, model: MemoryPPO) -> None:
        super().__init__()
        policy = without_core(model, "a judge")
        self.encoder, self.body, self.head = (copy.deepcopy(part) for part in (policy.encoder, policy.bodies[0], policy.actor))
        self.bias = nn.Linear(self.body.output_size, 1)
        nn.init.zeros_(self.bias.weight)
        nn.init.zeros_(self.bias.bias)
        self.to(model.device)

    def forward(self, observation: dict[str, torch.Tensor]) -> torch.Tensor:
        """Observations (F, ...) -> logits (F, A): log-probabilities of the head among what is legal, plus a state's bias."""
        frames = self.encoder.prepare(observation)
        frames.columns["action_mask"] = observation["action_mask"].bool()
        features = self.encoder(frames)
        h = self.body(features.vector, features)
        logits = self.head(h, features, frames, self.encoder.sentences.words)
        return masked_log_probs(logits, frames.columns["action_mask"]) + self.bias(h)

    def logits(self, observations: dict[str, np.ndarray], actions: np.ndarray) -> torch.Tensor:
        device = self.bias.weight.device
        taken = torch.as_tensor(actions.astype(np.int64), device=device)
        return self(as_tensors(observations, device)).gather(1, taken[:, None]).squeeze(1)


def judge_scores(
    now: np.ndarray, before: np.ndarray, answered: np.ndarray, ended: np.ndarray, meaning: str
) -> tuple[np.ndarray, np.ndarray]:
    """What the judge's probabilities of n steps earn; see the module's docstring.

    Args:
        now, before: (n,) the probability of the step, and of the one before in its episode (NaN: there is none).
        answered: (n,) bool, the step ended its episode with an answer.
        ended: (n,) bool, the step ended its episode.
        meaning: of `MEANINGS`.

    Returns:
        (n,) `judge`, of steps that are not the last, and (n,) `verdict`, of last ones; both in [-1, 1], 0 where not judged.
    """
    step = now - before if meaning == "value" else np.minimum(2 * now - 1, 0)
    verdict = np.where(answered, 2 * now - 1, -1.0) * ~np.isnan(now)
    return np.where(ended, 0, np.nan_to_num(step)), np.where(ended, np.nan_to_num(verdict), 0)
