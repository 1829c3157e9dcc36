"""Observations as tensors: prepared frames, what an encoder says about them, and what both do with indices of sentences.

Axes: F frames, K slots, H entries of the chain, J units a slot, I = K + H items, L tokens, U distinct sentences, D width.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

Observation = dict[str, Tensor]
"""A batch of observations as tensors, first axis F; a space that is no Dict stands under the key "observation"."""

OCCUPIED, RECALLS = 0, 3
"""Columns of `memory_features`: whether a slot holds anything, and how often it was recalled."""

SENTENCE_COLUMNS = ("question", "unit", "memory", "chain", "before")
"""Columns of prepared frames that are indices into the table of distinct sentences."""
FEW_SENTENCES = 1_000
"""Tables below this are not worth cutting down to what a minibatch uses."""


@dataclass
class Frames:
    """Prepared observations.

    Attributes:
        columns: tensors whose first axis is the frame.
        table: (U, L) the distinct sentences as token ids, row 0 all padding; None where there are none.
        vectors: (U, E) their pretrained embeddings; None without a sentence encoder.
    """

    columns: dict[str, Tensor]
    table: Tensor | None = None
    vectors: Tensor | None = None

    def take(self, index: Tensor) -> Frames:
        """The frames `index`, in that order, with those of the sentences that they use."""
        columns = {key: value[index] for key, value in self.columns.items()}
        if self.table is None or len(self.table) < FEW_SENTENCES:
            return Frames(columns, self.table, self.vectors)
        used = torch.cat([self.table.new_zeros(1), *(columns[key].flatten() for key in SENTENCE_COLUMNS)])
        kept, place = torch.unique(used, return_inverse=True)  # row 0, all padding, stays first
        start = 1
        for key in SENTENCE_COLUMNS:
            size = columns[key].numel()
            columns[key] = place[start : start + size].view(columns[key].shape)
            start += size
        return Frames(columns, self.table[kept], None if self.vectors is None else self.vectors[kept])


class Features(NamedTuple):
    """What an encoder says about F frames.

    Attributes:
        vector: (F, D).
        items: (F, I, D') slots, then entries of the chain; None for a flat encoder.
        present: (F, I) bool, which items are not empty.
        num_slots: how many of the items are slots (K, less those that no frame uses).
        sentences: (U, D) the vectors of the table's sentences; None for a flat encoder.
        similarity: (F, K, 4 or 6) how much each slot's words are those of the question, the desk, the last entry of the
            chain, and the whole chain; 0 for slots that were recalled already; of natural text, and the words of what stood
            before those of the question; with a sentence encoder four more, the first four in cosines. None for a flat encoder.
    """

    vector: Tensor
    items: Tensor | None = None
    present: Tensor | None = None
    num_slots: int = 0
    similarity: Tensor | None = None
    sentences: Tensor | None = None


def last_link(chain: Tensor, size: Tensor) -> Tensor:
    """(F, H, J) sentence indices and (F,) lengths -> (F, J) those of the last entry; 0 (no sentence) for an empty chain."""
    if not chain.shape[1]:
        return chain.new_zeros(len(chain), chain.shape[2])
    return chain[torch.arange(len(chain), device=chain.device), (size - 1).clamp(min=0)]


def link_before(chain: Tensor, size: Tensor) -> Tensor:
    """As `last_link`, for chains cut to lengths that may be negative: 0 where nothing is left."""
    return last_link(chain, size) * (size > 0)[:, None]


def pad(rows: Tensor, length: int) -> Tensor:
    """Zero-pad the last axis to `length`."""
    return F.pad(rows, (0, length - rows.shape[-1]))


def trim(units: Tensor, present: Tensor, spare: int = 0) -> Tensor:
    """Drop what follows the last slot that any frame uses (present (F, K)) and `spare` more: (F, K, J, L) -> (F, K', J, L)."""
    used = present.any(0).nonzero()
    return units[:, : (int(used[-1]) + 1 if len(used) else 0) + spare]


def recency(positions: Tensor) -> Tensor:
    """How many held units are at least as late as each: 1 = the latest, 0 = no unit. (F, K, J) -> (F, K, J) int64."""
    flat = positions.flatten(1)
    rank = (flat[:, None, :] >= flat[:, :, None]).sum(2)
    return (rank * (flat > 0)).view(positions.shape)


def as_tensors(observation: np.ndarray | dict[str, np.ndarray], device: torch.device) -> Observation:
    """NumPy observations, one or a Dict of them, as tensors on `device`."""
    parts = observation if isinstance(observation, dict) else {"observation": observation}
    return {key: torch.as_tensor(np.asarray(value), device=device) for key, value in parts.items()}
