"""A small Transformer encoder (Vaswani et al. 2017, arXiv 1706.03762) over units, the question last.

Sentences are sums of word embeddings with position encoding, and the encoder attends among sentences, as in the bAbI
experiments of the Universal Transformer (Dehghani et al. 2019, arXiv 1807.03819, section 3.1). Sinusoids
count units back from the question, so longer texts than those trained on have places too. The answer is read at the question.

Axes: B problems, M units, L tokens, D width, C choices.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from agents.baselines.supervised_memory.base import Read, Training, position_encoding
from agents.baselines.supervised_memory.stories import Stories


class Transformer(nn.Module):
    """See above.

    Args:
        vocabulary_size: V, padding excluded.
        num_choices: C.
        size: D.
        num_layers, num_heads: of the encoder.
        dropout: in the layers.
    """

    defaults = Training("adam", 3e-4, epochs=200, batch_size=64, max_grad_norm=1.0)

    def __init__(
        self,
        vocabulary_size: int,
        num_choices: int,
        size: int = 128,
        num_layers: int = 3,
        num_heads: int = 4,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        if size % (2 * num_heads):
            raise ValueError(f"size must be a multiple of twice num_heads={num_heads}, got {size}")
        self.size = size
        self.words = nn.Embedding(vocabulary_size + 1, size, padding_idx=0)
        nn.init.normal_(self.words.weight, std=size**-0.5)
        self.words.weight.data[0] = 0
        layer = nn.TransformerEncoderLayer(size, num_heads, 4 * size, dropout, batch_first=True, norm_first=True)
        self.layers = nn.TransformerEncoder(layer, num_layers, nn.LayerNorm(size), enable_nested_tensor=False)
        self.asked = nn.Parameter(0.1 * torch.randn(size))
        self.answers = nn.Linear(size, num_choices)

    def begin_epoch(self, epoch: int) -> None:
        """Nothing changes between epochs."""

    def forward(self, stories: Stories) -> Read:
        encoding = position_encoding(stories.table.shape[1], self.size).to(stories.table.device)
        sentences = (self.words(stories.table) * encoding).sum(1)
        length = stories.lengths[:, None]
        back = (length - torch.arange(stories.units.shape[1], device=length.device)[None]).clamp(min=0)
        units = sentences[stories.units] + self.places(back)
        question = sentences[stories.question] + self.asked
        absent = torch.cat([stories.units == 0, torch.zeros_like(length, dtype=torch.bool)], 1)
        x = self.layers(torch.cat([units, question[:, None]], 1), src_key_padding_mask=absent)
        return Read(self.answers(x[:, -1]))

    def places(self, back: Tensor) -> Tensor:
        """Sinusoids (B, M, D) of how many units back from the question (B, M)."""
        rate = 10_000 ** (-torch.arange(0, self.size, 2, device=back.device) / self.size)
        angle = back[:, :, None] * rate
        return 0.1 * torch.cat([angle.sin(), angle.cos()], 2)
