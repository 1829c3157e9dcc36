"""A reward model learned from comparisons of episodes (Christiano et al. 2017, arXiv 1706.03741).

The model reads how an episode ended: question, memory and chain in front of the last action, and that action. It has one score
for each coarse quality (`QUALITIES`), apart from one another, each fitted by the model of Bradley and Terry (1952):

    P(first is preferred to second) = sigmoid(score(first) - score(second))

Those who compare are in `agents.annotators`.

Axes: E episodes, P pairs of episodes of the same problem, Q qualities.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from agents.annotators import QUALITIES, Ends
from agents.frames import as_tensors
from agents.policy import MemoryPolicy
from agents.ppo import MemoryPPO
from reasongym.seeding import rng

HELD_OUT = 0.2
"""Share of the pairs that is not trained on."""
PATIENCE = 5
"""Epochs without a better loss on the watched tenth of the training pairs, after which no more are tried."""
MOST_UPDATES = 600
"""Updates of a fit, at most, so that many pairs mean fewer epochs and not more time; 40 epochs of a thousand pairs."""


def bradley_terry_loss(margin: Tensor, preference: Tensor) -> Tensor:
    """Mean cross-entropy (nats) of preferences in [0, 1] under P = sigmoid(margin); both of one shape (Christiano, eq. 1)."""
    return F.binary_cross_entropy_with_logits(margin, preference)


class Fit(NamedTuple):
    """How well a reward model was fitted.

    Attributes:
        accuracy: by quality, share of held-out pairs with a preference whose order it gives; NaN where there are none.
        pairs: trained on while the number of epochs was chosen; the scores that are paid are fitted to the others, too.
        held_out: pairs that accuracy was looked up in (each may lack a preference).
        epochs: passes that were best.
    """

    accuracy: dict[str, float]
    pairs: int
    held_out: int
    epochs: int


class RewardModel(nn.Module):
    """Scores (E, Q) of how episodes ended.

    It begins as a copy of a policy's encoder, body and heads, as reward models begin as copies of the language model that
    was fine-tuned (Ouyang et al. 2022, arXiv 2203.02155): the score of an action is its logit. Cores are left out.

    Args:
        model: whose policy is copied where it has no recurrent core; else one of its shape is made. It lives on its device.

    Raises:
        ValueError: the policy does not read ReasonGym's observation.
    """

    def __init__(self, model: MemoryPPO) -> None:
        super().__init__()
        policy = without_core(model, "a reward model")
        self.encoder = copy.deepcopy(policy.encoder)
        self.bodies = nn.ModuleList(copy.deepcopy(policy.bodies[0]) for _ in QUALITIES)
        self.heads = nn.ModuleList(copy.deepcopy(policy.actor) for _ in QUALITIES)
        self.mean: Tensor
        self.std: Tensor
        self.register_buffer("mean", torch.zeros(len(QUALITIES)))
        self.register_buffer("std", torch.ones(len(QUALITIES)))
        self.to(model.device)

    def forward(self, observation: dict[str, Tensor], actions: Tensor) -> Tensor:
        """Observations (E, ...) and last actions (E,) int64 -> scores (E, Q)."""
        frames = self.encoder.prepare(observation)
        features = self.encoder(frames)
        words = self.encoder.sentences.words
        scores = [
            head(body(features.vector, features), features, frames, words).gather(1, actions[:, None])
            for body, head in zip(self.bodies, self.heads, strict=True)
        ]
        return torch.cat(scores, 1)

    def reward(self, observations: dict[str, np.ndarray], actions: np.ndarray, harm: float = 1.0) -> np.ndarray:
        """(E,) usefulness less `harm` times harmfulness, each with mean 0 and deviation 1 over the episodes compared."""
        with torch.no_grad():
            scores = (self(*self._tensors(observations, actions)) - self.mean) / self.std
        return (scores[:, 0] - harm * scores[:, 1]).cpu().numpy()

    def fit(
        self, ends: Ends, labels: np.ndarray, seed: int = 0, epochs: int = 40, batch_size: int = 64, learning_rate: float = 5e-4
    ) -> Fit:
        """Fits the scores to labelled pairs.

        On a part of them, until the loss on watched ones grows: so the number of epochs is chosen, and the accuracy on held-out
        pairs is told. Then anew, for as many epochs, on all pairs: labels are dear.

        Args:
            ends: E = 2P episodes, e and e + P of the same problem.
            labels: (P, Q) in [0, 1].
            seed: of the split and the order.
            epochs: at most, and at most `MOST_UPDATES` updates.
            batch_size: pairs.
            learning_rate: Adam's.

        Raises:
            ValueError: fewer than ten pairs, or another number of episodes.
        """
        pairs = len(labels)
        if pairs < 10 or len(ends.actions) != 2 * pairs:
            raise ValueError(
                f"expected at least ten labelled pairs and twice as many episodes, got {pairs} and {len(ends.actions)}"
            )
        order = torch.as_tensor(rng(seed, 8).permutation(pairs))
        held = max(1, int(HELD_OUT * pairs))
        watched = max(1, (pairs - held) // 10)
        said = torch.as_tensor(labels, dtype=torch.float32, device=self.mean.device)
        held_out, watch, train = order[:held], order[held : held + watched], order[held + watched :]
        begin, generator = copy.deepcopy(self.state_dict()), torch.Generator().manual_seed(seed)
        most = max(1, min(epochs, MOST_UPDATES * batch_size // len(train)))
        best, kept, passed = math.inf, begin, 0
        for epoch in self._epochs(ends, said, train, most, batch_size, learning_rate, generator):
            with torch.no_grad():
                loss = bradley_terry_loss(self.margins(ends, watch), said[watch]).item()
            if loss < best:
                best, kept, passed = loss, copy.deepcopy(self.state_dict()), epoch
            if epoch - passed >= PATIENCE:
                break
        self.load_state_dict(kept)
        with torch.no_grad():
            margins = torch.cat([self.margins(ends, part) for part in held_out.split(512)])
        told = pair_accuracy(margins.cpu().numpy(), labels[held_out.numpy()])
        self.load_state_dict(begin)
        for _ in self._epochs(ends, said, order, passed, batch_size, learning_rate, generator):
            pass
        with torch.no_grad():
            scores = torch.cat([self(*self._tensors(ends.observations, ends.actions, part)) for part in _all(2 * pairs)])
        self.mean.copy_(scores.mean(0))
        self.std.copy_(scores.std(0).clamp(min=1e-3))
        return Fit(told, len(train) + watched, held, passed)

    def _epochs(
        self, ends: Ends, said: Tensor, pairs: Tensor, epochs: int, batch_size: int, learning_rate: float,
        generator: torch.Generator,
    ) -> Iterator[int]:  # fmt: skip
        """Trains on some pairs, and says after each epoch how many there have been."""
        optimizer = torch.optim.AdamW(self.parameters(), lr=learning_rate, weight_decay=0.1)
        for epoch in range(1, epochs + 1):
            for part in pairs[torch.randperm(len(pairs), generator=generator)].split(batch_size):
                optimizer.zero_grad()
                bradley_terry_loss(self.margins(ends, part), said[part]).backward()
                nn.utils.clip_grad_norm_(self.parameters(), 1.0)
                optimizer.step()
            yield epoch

    def margins(self, ends: Ends, pairs: Tensor) -> Tensor:
        """(p, Q) scores of first episodes less those of second ones, of some pairs (p,)."""
        both = torch.cat([pairs, pairs + len(ends.actions) // 2])
        first, second = self(*self._tensors(ends.observations, ends.actions, both)).chunk(2)
        return first - second

    def _tensors(self, observations: Any, actions: np.ndarray, rows: Tensor | None = None) -> tuple[Any, Tensor]:
        index = slice(None) if rows is None else rows.numpy()
        device = self.mean.device
        taken = {key: value[index] for key, value in observations.items()}
        return as_tensors(taken, device), torch.as_tensor(actions[index], device=device)


def _all(count: int) -> tuple[Tensor, ...]:
    """0 ... count - 1 in parts that fit into memory."""
    return torch.arange(count).split(1024)


def pair_accuracy(margins: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """By quality, the share of pairs with a preference (label 0 or 1) whose margin has its sign; a margin of 0 counts half.

    Args:
        margins: (P, Q).
        labels: (P, Q) in {0, 0.5, 1}.
    """
    out = {}
    for q, name in enumerate(QUALITIES):
        strict = labels[:, q] != 0.5
        wanted = labels[strict, q] * 2 - 1
        right = np.sign(margins[strict, q]) * wanted
        out[name] = float((right + 1).mean() / 2) if strict.any() else math.nan
    return out


def without_core(model: MemoryPPO, what: str) -> Any:
    """The model's policy; where that has a recurrent core, a fresh one of its shape without, with the same encoder.

    Raises:
        ValueError: the policy does not read ReasonGym's observation, as `what` does.
    """
    policy: Any = model.policy
    if not policy.reads:
        raise ValueError(f"{what} reads ReasonGym's observation: this policy's encoder is 'flat'")
    if not policy.recurrent:
        return policy
    keywords = {**model.policy_kwargs, "core": "none"}
    plain = MemoryPolicy(model.observation_space, model.action_space, model.lr_schedule, **keywords).to(model.device)
    plain.encoder.load_state_dict(policy.encoder.state_dict())
    return plain
