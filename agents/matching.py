"""How well a sentence says what a question asks: the words of both laid side by side.

Decomposable attention (Parikh et al. 2016, arXiv 1606.01933), in one direction: each word of the question attends to the words
of the sentence, is compared with what it found, and the comparisons are added up by the words' weights. What a bag of words
cannot tell shows here: that all words are found but the one name that matters, so that the sentence is about another.

A pair of question and sentence stands in most frames of its episode: the distinct pairs are matched once and gathered.

Axes: F frames, S sentences a frame, U distinct sentences, P distinct pairs, Lq and Ls tokens of the longest, E width of words.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SHARPNESS = 10.0
"""What cosines are multiplied by before the softmax, to begin with: nearly all attention on a word that is the same."""
NUM_SCORES = 2
"""Numbers about a pair beside its vector: the share of the question's weight that is found, and the heaviest word missing."""


class QuestionMatch(nn.Module):
    """Matches sentences with questions.

    Args:
        content_size: E.
        size: width of the result.
        hidden_size: of a comparison.
    """

    def __init__(self, content_size: int, size: int, hidden_size: int = 64) -> None:
        super().__init__()
        self.sharpness = nn.Parameter(torch.tensor(SHARPNESS))
        self.asked = nn.Linear(content_size, hidden_size)
        self.found = nn.Linear(content_size, hidden_size, bias=False)
        self.covered = nn.Parameter(torch.randn(hidden_size))
        self.output = nn.Linear(2 * hidden_size + NUM_SCORES, size)

    def forward(self, question: Tensor, sentences: Tensor, table: Tensor, content: Tensor) -> tuple[Tensor, Tensor]:
        """Vectors (F, S, size) and scores (F, S, 2), zero where there is no sentence.

        Args:
            question: (F,) indices into the table.
            sentences: (F, S) the same, 0 = none.
            table: (U, L) token ids.
            content: (V + 1, E) the words' contents; their lengths are their weights.
        """
        keys = (question[:, None] * len(table) + sentences) * (sentences > 0)
        pairs, place = torch.unique(keys, return_inverse=True)
        there = (pairs > 0)[:, None]
        used, words = torch.unique(F.pad(table, (1, 0)), return_inverse=True)  # the column of padding keeps word 0 first
        asked, read = trimmed(words[pairs // len(table), 1:]), trimmed(words[pairs % len(table), 1:])
        vectors, scores = self.match(asked, read, content[used])
        return (vectors * there)[place], (scores * there)[place]

    def match(self, asked: Tensor, read: Tensor, content: Tensor) -> tuple[Tensor, Tensor]:
        """(P, Lq) and (P, Ls) words, 0 none, and their contents (V, E) -> (P, size), (P, 2)."""
        lengths, directions = content.norm(dim=1), F.normalize(content, dim=1)
        weight = lengths[asked] * (asked > 0)
        weight = weight / weight.sum(1, keepdim=True).clamp(min=1e-6)
        asking = self.asked(directions)
        q, s = F.embedding(asked, directions), F.embedding(read, directions)
        alike = torch.bmm(q, s.transpose(1, 2))
        absent = (read == 0)[:, None]
        attention = (alike * self.sharpness).masked_fill(absent, -1e4).softmax(2)
        covered = alike.masked_fill(absent, -1.0).amax(2)
        compared = F.relu(F.embedding(asked, asking) + self.found(torch.bmm(attention, s)) + covered[:, :, None] * self.covered)
        missing = weight * (1 - covered)
        scores = torch.stack([(weight * covered).sum(1), missing.amax(1)], 1)
        heavy = compared * weight[:, :, None]
        return self.output(torch.cat([heavy.sum(1), heavy.amax(1), scores], 1)), scores


def trimmed(tokens: Tensor) -> Tensor:
    """(P, L) -> (P, longest), at least one column."""
    return tokens[:, : max(int((tokens > 0).any(0).sum()), 1)]
