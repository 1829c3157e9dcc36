"""The head that answers with a span: logits of START, END and ABSTAIN, read off the words of the entry recalled last.

Tokens are embedded with the policy's word table, marked where the question has them too, mixed with their neighbours by two
convolutions that know the question (the reader of Chen et al. 2017, arXiv 1704.00051, cut down to what trains on a CPU), and
pointed at by what the policy's body knows. It runs on the frames in which something may be pointed at; the others are few words
away from an answer and cost nothing.

Axes: F frames, S of them in which START or END is legal, P = J * L positions of an entry (J units of L tokens), R units held by
these entries, T tokens of the longest, D width.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from agents.frames import Frames, last_link

REACH = 5
"""Width of a convolution, in tokens."""


class Held(NamedTuple):
    """The R units that S entries of the chain hold: most hold one, so most positions are empty.

    Attributes:
        tokens: (R, T) token ids, T the longest of them.
        entry, place: (R,) which entry holds the unit, and at which of its places.
        entries: S.
    """

    tokens: Tensor
    entry: Tensor
    place: Tensor
    entries: int

    @classmethod
    def of(cls, ids: Tensor, table: Tensor) -> Held:
        """Of (S, J) sentences, 0 = none, of a table (U, L)."""
        entry, place = (ids > 0).nonzero(as_tuple=True)
        tokens = table[ids[entry, place]]
        return cls(tokens[:, : int((tokens > 0).any(0).sum())], entry, place, len(ids))


class SpanHead(nn.Module):
    """Logits of the answers of a span task.

    Args:
        size: width of the body.
        item_size: D, width of the word embeddings.
        unit_tokens, units_per_slot: L, J.
    """

    def __init__(self, size: int, item_size: int, unit_tokens: int, units_per_slot: int) -> None:
        super().__init__()
        self.unit_tokens, self.positions = unit_tokens, unit_tokens * units_per_slot
        self.num_choices = 2 * self.positions + 1
        self.shared = nn.Parameter(0.5 * torch.randn(item_size))
        self.question = nn.Linear(item_size, item_size)
        self.first = nn.Conv1d(item_size, item_size, REACH, padding=REACH // 2)
        self.second = nn.Conv1d(item_size, item_size, REACH, padding=REACH // 2)
        self.asked = nn.Linear(size + item_size, 2 * item_size)
        self.begun = nn.Linear(item_size, item_size, bias=False)
        self.points = nn.Linear(item_size, 2)
        self.abstain = nn.Linear(size, 1)
        for layer in (self.asked, self.begun, self.points, self.abstain):
            nn.init.orthogonal_(layer.weight, 0.1)

    def forward(self, h: Tensor, frames: Frames, sentences: Tensor, words: nn.Embedding) -> Tensor:
        """(F, size), the distinct sentences as vectors (U, D), and the embeddings of the words -> (F, 2P + 1)."""
        assert frames.table is not None
        c, P = frames.columns, self.positions
        abstain = self.abstain(h)
        legal = c["action_mask"][:, -self.num_choices : -1]
        rows = legal.any(1).nonzero().squeeze(1)
        pointed = h.new_zeros(len(h), 2 * P)
        if len(rows):
            ids = last_link(c["chain"][rows], c["chain_size"][rows])
            held = Held.of(ids, frames.table[:, : self.unit_tokens])
            asked = c["question"][rows]
            starts, ends = self._point(h[rows], held, frames.table[asked], sentences[asked], c["span_start"][rows], words)
            pointed = pointed.index_copy(0, rows, torch.cat([self._spread(starts, held), self._spread(ends, held)], 1))
        return torch.cat([pointed, abstain], 1)

    def _point(
        self, h: Tensor, held: Held, question: Tensor, asked: Tensor, begun: Tensor, words: nn.Embedding
    ) -> tuple[Tensor, Tensor]:
        """START and END logits (R, T) of the units held. h (S, size), question (S, Lq) tokens, asked (S, D), begun (S, 2)."""
        tokens, entry = held.tokens, held.entry
        shared = ((tokens[:, :, None] == question[entry][:, None, :]) & (tokens > 0)[:, :, None]).any(2)
        x = words(tokens) + shared[:, :, None] * self.shared + self.question(asked)[entry][:, None]
        x = x.transpose(1, 2)
        x = F.relu(self.first(x))
        x = (x + F.relu(self.second(x))).transpose(1, 2)
        start_query, end_query = self.asked(torch.cat([h, asked], 1)).chunk(2, 1)
        place = (begun[:, 1] * self.positions - 1).round().long().clamp(min=0)[entry] - held.place * self.unit_tokens
        here = (place[:, None] == torch.arange(tokens.shape[1], device=x.device)) & (begun[entry, :1] > 0)
        chosen = x.new_zeros(len(h), x.shape[2]).index_add(0, entry, (x * here[:, :, None]).sum(1))
        end_query = end_query + self.begun(chosen)
        plain = self.points(x)
        scale = x.shape[2] ** -0.5
        starts = torch.einsum("rtd,rd->rt", x, start_query[entry]) * scale + plain[:, :, 0]
        return starts, torch.einsum("rtd,rd->rt", x, end_query[entry]) * scale + plain[:, :, 1]

    def _spread(self, logits: Tensor, held: Held) -> Tensor:
        """(R, T) -> (S, P), 0 where nothing is held."""
        units = self.positions // self.unit_tokens
        spread = logits.new_zeros(held.entries * units, self.unit_tokens)
        rows = F.pad(logits, (0, self.unit_tokens - logits.shape[1]))
        return spread.index_copy(0, held.entry * units + held.place, rows).view(held.entries, self.positions)
