"""What stands where in a sentence, and whether two say it of the same: "north of the *kitchen*", "from the *kitchen*".

A bag of words tells that two sentences share a word, not whether it is what the one is about and what the other says of it;
a network over all words learns that only for the words that it saw there. Here a sentence is read by R roles: each is a
weighted mean of its words' contents, the weights a softmax of what the word, its neighbours, and its place say. Two sentences
are compared role by role, by inner products, as content-based addressing is (Graves et al. 2014, arXiv 1410.5401), so that
what is learned of one name is known of all.

Axes: F frames, K slots, H entries of the chain, J units a slot, U distinct sentences, L tokens, R roles, E width of contents, D
width of items.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from agents.frames import link_before

LINKS = 3
"""Entries of the chain, from the last, that are compared with each other: as far back as most reasons are long."""


class Roles(nn.Module):
    """Reads sentences by roles, and compares question, desk, slots and the last links of the chain.

    Args:
        vocabulary_size: number of tokens, padding excluded.
        length: L.
        num_roles: R.
        size: D.
        content_size: E.
    """

    def __init__(self, vocabulary_size: int, length: int, num_roles: int, size: int, content_size: int = 32) -> None:
        super().__init__()
        self.num_roles = num_roles
        self.content = nn.Embedding(vocabulary_size + 1, content_size)
        nn.init.normal_(self.content.weight, std=content_size**-0.5)  # about unit length: a word with itself scores 1
        self.weights = nn.Embedding(vocabulary_size + 1, 3 * num_roles)  # as the word itself, the one before, the one after
        self.place = nn.Parameter(torch.randn(length, num_roles))
        self.slots = nn.Linear(2 * num_roles**2, size, bias=False)
        told = 2 + LINKS
        self.pairs: Tensor
        self.register_buffer("pairs", torch.triu_indices(told, told, 1), persistent=False)
        self.num_scores = self.pairs.shape[1] * num_roles**2

    def forward(self, table: Tensor, c: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """The table (U, L) and the frames' columns -> what is added to the slots' items (F, K, D), and how alike question, desk
        and last links are, two by two (F, num_scores)."""
        roles = self.read(table).flatten(1)
        (n, K, J), (pairs, others) = c["memory"].shape, self.pairs
        alone = [F.pad(c[name][:, None], (0, J - 1)) for name in ("question", "unit")]
        links = [link_before(c["chain"], c["chain_size"] - back) for back in range(LINKS)]
        told = self._summed(roles, torch.stack([*alone, *links], 1))
        held = self._summed(roles, c["memory"])
        alike = torch.bmm(told, told.transpose(1, 2)).view(n, 2 + LINKS, self.num_roles, 2 + LINKS, self.num_roles)
        wanted = told.view(n, 2 + LINKS, self.num_roles, -1)[:, [0, 2]].flatten(1, 2)  # the question and the last link
        scores = torch.bmm(held, wanted.transpose(1, 2)).view(n, K, self.slots.in_features)
        return self.slots(scores), alike.transpose(2, 3)[:, pairs, others].flatten(1)

    def read(self, table: Tensor) -> Tensor:
        """(U, L) token ids -> (U, R, E), zeros for a row of padding."""
        here, before, after = self.weights(table).chunk(3, 2)
        logits = here + F.pad(before, (0, 0, 1, 0))[:, :-1] + F.pad(after, (0, 0, 0, 1))[:, 1:] + self.place
        there = (table > 0)[:, :, None]
        weights = logits.masked_fill(~there, -1e4).softmax(1) * there
        return torch.bmm(weights.transpose(1, 2), self.content(table))

    def _summed(self, roles: Tensor, sentences: Tensor) -> Tensor:
        """(U, R * E) and indices (F, S, J) -> (F, S * R, E), the roles of the units that stand together added up."""
        J = sentences.shape[2]
        added = sum((F.embedding(sentences[:, :, j], roles) for j in range(1, J)), F.embedding(sentences[:, :, 0], roles))
        return added.unflatten(2, (self.num_roles, -1)).flatten(1, 2)
