"""A learned gate: a network that decides *what kind of thing* to do, before the pointers say with which slot.

    P(action) = P(NEXT | STORE | UPDATE | RECALL | ANSWER) * P(slot or choice | kind)

In the flat head all pointers and answers compete in one softmax, so how often it stores hangs on how many slots there are and
how much each resembles the desk. Here a gating network reads the desk, the slots, the question, what the observer thought of
the last step, and the complexity of the task (what is still to be read, per free slot), and decides on the kind alone; the
pointers compete among themselves. Legality holds at both levels. The environment's gate closes slots by salience; this one
is the agent's own.

Axes: F frames, K slots, C choices, A = 1 + 3K + C actions, D width of sentences and items.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from agents.distributions import KINDS, kind_totals, two_level_log_probs
from agents.frames import OCCUPIED, Features, Frames

SELDOM = -5.0
"""Logit of overwriting, or of adding to, one slot before anything is learned: what is lost cannot be recalled."""
ROOM = 7.0
"""Added to storing into an empty slot."""
NUM_TASK = 3
"""Numbers that say how complex the task is; see `GatingNetwork.task`."""


class GatingNetwork(nn.Module):
    """Logits of the kinds of action.

    Untrained it gives each kind the weight that its legal actions have in a flat head that has read nothing (`prior`), so that
    both begin to explore alike and an ablation compares what they learn.

    Args:
        size: width of the body, which has read slots and chain by attention.
        item_size: D.
        num_slots: K.
        num_similarities: how many similarities of a slot the encoder tells.
        num_extras: width of progress and the observer's scores.
        hidden_size: width of the hidden layer.
    """

    def __init__(
        self, size: int, item_size: int, num_slots: int, num_similarities: int, num_extras: int, hidden_size: int = 64
    ) -> None:
        super().__init__()
        self.num_slots = num_slots
        self.hidden = nn.Linear(size + 3 * item_size + num_similarities + num_extras + NUM_TASK, hidden_size)
        self.output = nn.Linear(hidden_size, len(KINDS))
        nn.init.orthogonal_(self.output.weight, 0.01)
        nn.init.zeros_(self.output.bias)

    def forward(self, h: Tensor, features: Features, frames: Frames) -> Tensor:
        """(F, size) and what was read -> (F, 5)."""
        assert features.items is not None
        assert features.present is not None
        assert features.sentences is not None
        assert features.similarity is not None
        c, K = frames.columns, features.num_slots
        held = (features.items[:, :K] * features.present[:, :K, None]).sum(1) / max(1, self.num_slots)
        nothing = features.similarity.new_zeros(len(h), 1, features.similarity.shape[2])  # K = 0
        likest = torch.cat([features.similarity, nothing], 1).amax(1)
        read = [h, features.sentences[c["question"]], features.sentences[c["unit"]], held, likest, c["extras"], self.task(c)]
        return self.output(F.relu(self.hidden(torch.cat(read, 1)))) + self.prior(c)

    def task(self, c: dict[str, Tensor]) -> Tensor:
        """The share of the text still to come, the share of slots that are free, and their ratio as in the environment's gate:
        what is to come per free slot (and one). (F, 3), each in [0, 1]."""
        to_come = 1 - c["extras"][:, :1]  # progress stands first, the share read first in it
        free = self.num_slots - (c["slot_features"][:, :, OCCUPIED] > 0).sum(1, keepdim=True)
        return torch.cat([to_come, free / max(1, self.num_slots), to_come / (1 + free)], 1)

    def prior(self, c: dict[str, Tensor]) -> Tensor:
        """Logits of the kinds (F, 5) in a flat head that has not read anything."""
        mask, K = c["action_mask"], self.num_slots
        flat = torch.zeros(mask.shape, device=mask.device)
        flat[:, 1 : 1 + 2 * K] = SELDOM
        occupied = c["slot_features"][:, :, OCCUPIED] > 0
        flat[:, 1 : 1 + K] += ROOM * ~F.pad(occupied, (0, K - occupied.shape[1]))
        return kind_totals(flat, mask, K)

    def log_probs(self, h: Tensor, features: Features, frames: Frames, logits: Tensor) -> Tensor:
        """The two levels together: the pointers' and choices' logits (F, A) -> log-probabilities (F, A)."""
        return two_level_log_probs(self(h, features, frames), logits, frames.columns["action_mask"], self.num_slots)
