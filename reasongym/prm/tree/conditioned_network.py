"""The network of `ConditionedScorer`: reads a context once, and lets every criterion asked of it attend to what was read.

Axes: B contexts, W words of the longest, n scored pairs, d width, e dimensions of the embedder.
"""

from __future__ import annotations

import torch
from torch import nn

from reasongym.prm.tree.conditioned import FIRST_EARLIER, PLACES, STEP, ConditionedSettings


class Network(nn.Module):
    """Contexts and criteria to logits.

    Args:
        s: width, layers and the rest.
        criterion_size: e.
    """

    known: torch.Tensor

    def __init__(self, s: ConditionedSettings, criterion_size: int) -> None:
        super().__init__()
        self.width, self.word_dropout = s.width, s.word_dropout
        self.word = nn.Embedding(s.buckets, s.width, padding_idx=0)  # 0: a word left out, or not known; never trained
        self.segment = nn.Embedding(FIRST_EARLIER + max(1, s.mu), s.width)
        self.place = nn.Embedding(PLACES, s.width)
        self.marks = nn.Embedding(8, s.width)
        self.register_buffer("known", torch.ones(s.buckets, dtype=torch.bool))
        for table in (self.word, self.segment, self.place, self.marks):
            nn.init.normal_(table.weight, std=0.5 * s.width**-0.5)
        layer = nn.TransformerEncoderLayer(
            s.width, s.heads, 2 * s.width, s.dropout, batch_first=True, norm_first=True, activation="gelu"
        )
        self.encoder = nn.TransformerEncoder(layer, s.layers, nn.LayerNorm(s.width), enable_nested_tensor=False)
        self.criterion = nn.Sequential(nn.Linear(criterion_size, s.width), nn.GELU(), nn.Linear(s.width, s.width))
        self.attention = nn.MultiheadAttention(s.width, s.heads, batch_first=True)
        self.head = nn.Sequential(
            nn.Linear(4 * s.width, 2 * s.width), nn.GELU(), nn.Dropout(s.dropout), nn.Linear(2 * s.width, 1)
        )

    def forward(self, words: torch.Tensor, rows: torch.Tensor, criteria: torch.Tensor) -> torch.Tensor:
        """(B, W, 4) contexts, (n,) rows of them, (n, e) criteria -> (n,) logits."""
        word, segment, place, marks = words.unbind(-1)
        beyond = segment == 0
        word = torch.where(self.known[word], word, 0)
        if self.training and self.word_dropout:
            word = torch.where(torch.rand(word.shape) < self.word_dropout, 0, word)
        x = self.word(word) + self.segment(segment) + self.place(place) + self.marks(marks)
        x = self.encoder(x, src_key_padding_mask=beyond)
        step = (segment == STEP).unsqueeze(-1).to(x.dtype)
        pooled = (x * step).sum(1) / step.sum(1).clamp(min=1)
        query = self.criterion(criteria)
        turn = _turns(rows)
        queries = query.new_zeros(len(words), int(turn.max()) + 1, self.width)  # (B, most criteria of a context, d)
        queries[rows, turn] = query
        found, _ = self.attention(queries, x, x, key_padding_mask=beyond, need_weights=False)
        both = torch.cat([query, found[rows, turn], pooled[rows], query * pooled[rows]], dim=-1)
        return self.head(both)[:, 0]


def _turns(rows: torch.Tensor) -> torch.Tensor:
    """(n,) how many of the rows before are the same: 0, 0, 1, 0 for 5, 7, 5, 8."""
    order = rows.argsort(stable=True)
    ranked = rows[order]
    out = rows.new_empty(len(rows))
    out[order] = torch.arange(len(rows)) - torch.searchsorted(ranked, ranked)
    return out
