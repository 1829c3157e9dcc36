"""Recurrent entity network (Henaff, Weston, Szlam, Bordes and LeCun 2017, arXiv 1612.03969).

`num_blocks` blocks, each a key w_j and a hidden state h_j, read every unit in parallel; a gate says which of them it
concerns. The question is read last: the blocks are attended to once. Defaults as in the paper's bAbI experiments: 20 blocks,
d = 100, Adam 0.01 halved every 25 epochs, 200 epochs, batches of 32, weights from N(0, 0.1), gradients cut at 40, phi a
PReLU.

What differs: answers are the id's choices instead of words.

With a support loss (`Training.support_coef`), a unit's relevance is the gate of the blocks that the question attends to.

Axes: B problems, M units, L tokens, J blocks, D width, C choices.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from agents.baselines.supervised_memory.base import Read, Training, gaussian
from agents.baselines.supervised_memory.stories import Stories

LONGEST = 64
"""Tokens of a sentence that have a multiplicative mask of their own; later ones share the last."""


class EntNet(nn.Module):
    """See above.

    Args:
        vocabulary_size: V, padding excluded.
        num_choices: C.
        size: D.
        num_blocks: J.
    """

    defaults = Training("adam", 0.01, halve_every=25, epochs=200, batch_size=32, max_grad_norm=40.0)

    def __init__(self, vocabulary_size: int, num_choices: int, size: int = 100, num_blocks: int = 20) -> None:
        super().__init__()
        self.words = nn.Embedding(vocabulary_size + 1, size, padding_idx=0)
        self.keys = nn.Parameter(0.1 * torch.randn(num_blocks, size))
        self.U, self.V, self.W = (nn.Linear(size, size, bias=False) for _ in range(3))
        self.H = nn.Linear(size, size, bias=False)
        self.R = nn.Linear(size, num_choices, bias=False)
        self.phi, self.phi_out = nn.PReLU(size, init=1.0), nn.PReLU(size, init=1.0)
        gaussian(self)
        self.unit_mask, self.question_mask = (nn.Parameter(torch.ones(LONGEST, size)) for _ in range(2))

    def begin_epoch(self, epoch: int) -> None:
        """Nothing changes between epochs."""

    def forward(self, stories: Stories) -> Read:
        words = self.words(stories.table)
        place = torch.arange(stories.table.shape[1], device=words.device).clamp(max=LONGEST - 1)
        s = (words * self.unit_mask[place]).sum(1)  # eq. 1: (U, D)
        q = (words * self.question_mask[place]).sum(1)[stories.question]
        h, gates = self.read(s[stories.units], stories.units > 0)
        p = torch.einsum("bd,bjd->bj", q, h).softmax(1)  # eq. 7
        u = torch.einsum("bj,bjd->bd", p, h)
        y = self.R(self.phi_out(q + self.H(u)))  # eqs. 8 and 9
        return Read(y, torch.einsum("bj,bmj->bm", p, gates))

    def read(self, s: Tensor, there: Tensor) -> tuple[Tensor, Tensor]:
        """Reads units s (B, M, D), of which some are there (B, M) -> blocks (B, J, D) and gates (B, M, J) in (0, 1)."""
        B, M, D = s.shape
        w = self.keys
        h = w[None].expand(B, -1, -1)  # h_j begins as its key
        from_keys, from_units = self.V(w)[None], self.W(s)
        unit_key = torch.einsum("bmd,jd->bmj", s, w)
        gates = []
        for t in range(M):
            g = (torch.einsum("bd,bjd->bj", s[:, t], h) + unit_key[:, t]).sigmoid()  # eq. 3
            candidate = self.phi((self.U(h) + from_keys + from_units[:, t, None]).flatten(0, 1)).view(B, -1, D)  # eq. 4
            new = F.normalize(h + g[:, :, None] * candidate, dim=2)  # eqs. 5 and 6
            h = torch.where(there[:, t, None, None], new, h)
            gates.append(g)
        return h, torch.stack(gates, 1)
