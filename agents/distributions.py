"""Distributions over actions as log-probabilities: masked, flat or in two levels; entropy and sampling.

Axes: F frames, A = 1 + 3K + C actions, K slots, C choices.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

ILLEGAL = -1e9
"""Logit of an illegal action. Finite, so that no gradient is NaN; its probability is exactly 0 in float32."""

KINDS = ("NEXT", "STORE", "UPDATE", "RECALL", "ANSWER")
"""Kinds of action, in the order of the action space."""


def masked_log_probs(logits: Tensor, mask: Tensor | None) -> Tensor:
    """(F, A) logits and legal actions -> log-probabilities, about -1e9 where illegal."""
    if mask is not None:
        logits = torch.where(mask, logits, ILLEGAL)
    return F.log_softmax(logits, 1)


def by_kind(actions: Tensor, num_slots: int) -> tuple[Tensor, ...]:
    """(F, A) -> what belongs to each of the `KINDS`: (F, 1), three times (F, K), (F, C).

    Raises:
        ValueError: fewer actions than NEXT and three a slot.
    """
    choices = actions.shape[1] - 1 - 3 * num_slots
    if choices < 0:
        raise ValueError(
            f"{num_slots} slots need at least {1 + 3 * num_slots} actions (NEXT, and STORE, UPDATE and RECALL of each), "
            f"got {actions.shape[1]}"
        )
    return actions.split([1, num_slots, num_slots, num_slots, choices], 1)


def kind_totals(logits: Tensor, mask: Tensor, num_slots: int) -> Tensor:
    """Log of the sum of the exponentials over each kind's legal actions, (F, A) -> (F, 5); about -1e9 where none is legal."""
    legal = torch.where(mask, logits, ILLEGAL)
    empty = logits.new_full((len(logits), 1), ILLEGAL)  # a kind without any action: K = 0
    return torch.cat([torch.cat([part, empty], 1).logsumexp(1, keepdim=True) for part in by_kind(legal, num_slots)], 1)


def two_level_log_probs(kinds: Tensor, logits: Tensor, mask: Tensor, num_slots: int) -> Tensor:
    """log P(a) = log P(kind of a) + log P(a | its kind), both among what is legal.

    A kind without a legal action has probability 0. With `kinds = kind_totals(logits, ...)` this is the flat softmax.

    Args:
        kinds: (F, 5) logits of the `KINDS`.
        logits: (F, A); only differences within a kind matter.
        mask: (F, A) bool; each frame has a legal action.
        num_slots: K.

    Returns:
        (F, A), about -1e9 or less where illegal.
    """
    there = torch.cat([part.any(1, keepdim=True) for part in by_kind(mask, num_slots)], 1)
    first = masked_log_probs(kinds, there)
    second = zip(by_kind(logits, num_slots), by_kind(mask, num_slots), strict=True)
    return torch.cat([first[:, k : k + 1] + masked_log_probs(*part) for k, part in enumerate(second)], 1)


def entropy(log_probs: Tensor) -> Tensor:
    """Entropy in nats of each row (F, A); illegal actions count nothing."""
    return -(log_probs.exp() * log_probs).sum(1)


def sample(log_probs: Tensor) -> Tensor:
    """One action a row by the Gumbel trick: (F, A) -> (F,) int64. Illegal actions are never drawn."""
    noise = -torch.empty_like(log_probs).exponential_().log()
    return (log_probs + noise).argmax(1)
