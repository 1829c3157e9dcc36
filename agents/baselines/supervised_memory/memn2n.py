"""End-to-end memory network (Sukhbaatar, Szlam, Weston and Fergus 2015, arXiv 1503.08895).

The last `memory_size` units are kept as they are: what is remembered is not chosen, it is everything that fits. `num_hops`
attentions read them. Adjacent tying: A of a hop is C of the hop before, and B is A of the first. Position and temporal
encoding, random noise, linear start, and training as in the paper (section 4.2): d = 20 (50 jointly), SGD 0.005 (that of
linear starts, for the batch's summed loss) halved every 25 epochs, 100 epochs, batches of 32, gradients cut at 40, weights
from N(0, 0.1); and as results hang on them, the best of ten trainings, as far as the budget lasts.

What differs: answers are the id's choices, which may be lists, so W is a matrix of its own and not tied to C; linear start
lasts a fixed number of epochs instead of until the validation loss rises; the best training is the one that answers most
watched problems, not the one of the least training error.

Axes: B problems, M units, L tokens, D width, C choices.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from agents.baselines.supervised_memory.base import Read, Training, gaussian, last_units, position_encoding
from agents.baselines.supervised_memory.stories import Stories

ABSENT = -1e9
"""Attention to a place without a unit."""


class MemN2N(nn.Module):
    """See above.

    Args:
        vocabulary_size: V, padding excluded.
        num_choices: C.
        size: D.
        num_hops: attentions.
        memory_size: units kept.
        noise: share of empty memories that training mixes in, so that temporal encodings are not learned by heart.
        linear_epochs: epochs at the beginning without the attentions' softmax.
    """

    defaults = Training("sgd", 0.005, halve_every=25, epochs=100, batch_size=32, max_grad_norm=40.0, summed=True, restarts=9)

    def __init__(
        self,
        vocabulary_size: int,
        num_choices: int,
        size: int = 20,
        num_hops: int = 3,
        memory_size: int = 50,
        noise: float = 0.1,
        linear_epochs: int = 20,
    ) -> None:
        super().__init__()
        self.size, self.memory_size, self.noise, self.linear_epochs = size, memory_size, noise, linear_epochs
        self.words = nn.ModuleList(nn.Embedding(vocabulary_size + 1, size, padding_idx=0) for _ in range(num_hops + 1))
        self.times = nn.ModuleList(nn.Embedding(memory_size + 1, size, padding_idx=0) for _ in range(num_hops + 1))
        self.answers = nn.Linear(size, num_choices, bias=False)
        self.linear = False
        gaussian(self)

    def begin_epoch(self, epoch: int) -> None:
        self.linear = epoch < self.linear_epochs

    def forward(self, stories: Stories) -> Read:
        units, back = last_units(stories.units, self.memory_size)
        if self.training and self.noise:
            units, back = self._with_noise(units, back)
        there = units > 0
        encoding = position_encoding(stories.table.shape[1], self.size).to(units.device)
        sentences = [(words(stories.table) * encoding).sum(1) for words in self.words]  # m_i = sum_j l_j * A x_ij
        u = sentences[0][stories.question]  # B = A^1
        for hop in range(len(self.words) - 1):
            m = sentences[hop][units] + self.times[hop](back)  # (B, M, D)
            c = sentences[hop + 1][units] + self.times[hop + 1](back)  # A^{k+1} = C^k
            match = (m @ u[:, :, None]).squeeze(2)
            linear = self.linear and self.training
            p = match * there if linear else torch.where(there, match, ABSENT).softmax(1) * there  # eq. 1
            u = u + (p[:, :, None] * c).sum(1)  # eqs. 2 and 4
        return Read(self.answers(u))

    def _with_noise(self, units: Tensor, back: Tensor) -> tuple[Tensor, Tensor]:
        """Lets time jump at random places by one, as if an empty memory stood there (section 4.1, "RN")."""
        jumps = (torch.rand(units.shape, device=units.device) < self.noise) & (units > 0)
        later = jumps.flip(1).cumsum(1).flip(1) * (units > 0)
        back = back + later
        return units * (back <= self.memory_size), back * (back <= self.memory_size)
