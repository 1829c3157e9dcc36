"""A memory core without RL: LSTM, DNC, RMC or any other of `agents.memory.CORES`, read unit by unit, the question last.

The answer is a linear layer on what the core says when it has read the question. Trained as the DNC (Graves et al. 2016,
Nature 538, and its released code): RMSProp 1e-4 with momentum 0.9, batches of 16, gradients cut at 50. Cores have the sizes
of `agents.memory`, smaller than their papers' (the DNC's: 256 words of 64, LSTM-256); the LSTM has 256 units.

What differs: papers read words, this reads units (the stream of the environments' desk), encoded by a sum with learned word
positions and a small network (`agents.encoders.SentenceEncoder`).

With a support loss, a unit's relevance is a bilinear form of what the core said at the unit and at the question.

Axes: B problems, M units, D width, H core output, C choices.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from agents.baselines.supervised_memory.base import Read, Training
from agents.baselines.supervised_memory.stories import Stories
from agents.encoders import SentenceEncoder
from agents.memory import CORES
from reasongym.errors import unknown


class Recurrent(nn.Module):
    """See above.

    Args:
        vocabulary_size: V, padding excluded.
        num_choices: C.
        core: name in `CORES`, of one that remembers.
        size: D.
        core_size: the core's `hidden_size`; 0 its own default (LSTM and GRU: 256).
        sentence_tokens: tokens of the longest sentence.
        core_options: the core's other arguments.
    """

    defaults = Training("rmsprop", 1e-4, epochs=200, batch_size=16, max_grad_norm=50.0)

    def __init__(
        self,
        vocabulary_size: int,
        num_choices: int,
        core: str = "lstm",
        size: int = 64,
        core_size: int = 0,
        sentence_tokens: int = 24,
        core_options: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        if core not in recurrent_cores():
            raise unknown("recurrent core", core, recurrent_cores())
        self.length = sentence_tokens
        self.sentences = SentenceEncoder(vocabulary_size, sentence_tokens, size, 2 * size)
        sizes: dict[str, Any] = dict(core_options or {})
        if core_size or core in ("gru", "lstm"):
            sizes["hidden_size"] = core_size or 256
        made: Any = CORES[core](size + 1, **sizes)
        self.core = made
        width: int = made.output_size
        self.relevance = nn.Linear(width, width)
        self.answers = nn.Linear(width, num_choices)

    def begin_epoch(self, epoch: int) -> None:
        """Nothing changes between epochs."""

    def forward(self, stories: Stories) -> Read:
        table = stories.table
        if table.shape[1] > self.length:
            raise ValueError(f"a sentence has {table.shape[1]} tokens; this network was made for sentence_tokens={self.length}")
        sentences = self.sentences(F.pad(table, (0, self.length - table.shape[1])))
        B, M = stories.units.shape
        # texts end together, so that the question is everybody's last step; a reset begins each where its text does
        place = torch.arange(M, device=table.device)[None] - (M - stories.lengths[:, None])
        units = stories.units.gather(1, place.clamp(min=0)) * (place >= 0)
        x = torch.cat([sentences[units], sentences[stories.question][:, None]], 1)
        asked = F.one_hot(torch.full((B,), M, device=x.device), M + 1).to(x.dtype)[:, :, None]
        reset = torch.cat([place == 0, torch.zeros_like(place[:, :1], dtype=torch.bool)], 1)
        reset[:, 0] = True
        inputs = torch.cat([x, asked], 2).transpose(0, 1)
        core: Any = self.core
        y, _ = core(inputs, core.initial_state(B), reset.t(), False)
        last = y[-1]
        mattered = torch.einsum("mbh,bh->bm", y[:-1], self.relevance(last)) * last.shape[1] ** -0.5
        back = (M - stories.lengths[:, None] + torch.arange(M, device=x.device)[None]).clamp(max=M - 1)
        return Read(self.answers(last), mattered.sigmoid().gather(1, back))


def recurrent_cores() -> list[str]:
    """Names of the cores that remember by themselves."""
    return [name for name, core in CORES.items() if getattr(core, "recurrent", True)]
