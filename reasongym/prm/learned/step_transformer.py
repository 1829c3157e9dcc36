"""A causal transformer over the steps of an episode, whose attention sees how two steps are related.

Axes: B episodes, T steps (the prompt is step 0), Q steps that attend, H heads, R relations, k criteria. Logits and values of
attention take the relation r_ij linearly, per head: softmax_j(q_i k_j / sqrt(d) + u r_ij) (v_j + M r_ij). A step attends to
itself and to earlier steps, so no later step can change its score.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from reasongym.prm.learned.step_encoder import FIXED, Gated, TextEncoder, WordEncoder, WordRows, relations


@dataclass(frozen=True)
class Shape:
    """Sizes of the network.

    Attributes:
        width: D.
        channels: C, ways in which words of two steps are compared.
        layers, heads: of the transformer.
        hidden: width of its feed-forward layers.
        max_words: W, words of a step that are read.
        max_steps: most steps of an episode.
    """

    width: int = 96
    channels: int = 16
    layers: int = 3
    heads: int = 4
    hidden: int = 192
    max_words: int = 40
    max_steps: int = 1024

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ValueError(f"{name} must be a whole number of at least 1, got {value!r}")
        if self.width % self.heads:
            raise ValueError(f"width must be a multiple of heads, got width={self.width} and heads={self.heads}")


class Layer(nn.Module):
    """Attention with relations, and a feed-forward layer, each behind a normalisation."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        d, relation = shape.width, shape.channels + FIXED
        self.heads = shape.heads
        self.before, self.between = nn.LayerNorm(d), nn.LayerNorm(d)
        self.query, self.key_value, self.out = nn.Linear(d, d), nn.Linear(d, 2 * d), nn.Linear(d, d)
        self.bias = nn.Linear(relation, shape.heads, bias=False)
        self.related = nn.Parameter(torch.randn(shape.heads, relation, d // shape.heads) * relation**-0.5)
        self.feed = nn.Sequential(nn.Linear(d, shape.hidden), nn.GELU(), nn.Linear(shape.hidden, d))
        nn.init.normal_(self.bias.weight, std=0.5)

    def remember(self, x: Tensor) -> Tensor:
        """(B, Q, D) -> (B, Q, 2, D) keys and values."""
        return self.key_value(self.before(x)).unflatten(-1, (2, -1))

    def forward(self, x: Tensor, memory: Tensor, r: Tensor, mask: Tensor) -> Tensor:
        """(B, Q, D) steps over (B, T, 2, D) keys and values, (B, Q, T, R) relations, and (B, Q, T) bool: may be attended to."""
        q, k, v = (part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in (self.ask(x), *memory.unbind(2)))
        logits = q @ k.transpose(-1, -2) + self.bias(r).permute(0, 3, 1, 2)
        weights = logits.masked_fill(~mask[:, None], torch.finfo(logits.dtype).min).softmax(-1)
        seen = torch.matmul(weights.transpose(1, 2), r).transpose(1, 2)
        return self.take(x, (weights @ v).transpose(1, 2).flatten(2), seen)

    def ask(self, x: Tensor) -> Tensor:
        """(B, Q, D) -> (B, Q, D) queries, scaled."""
        return self.query(self.before(x)) * (x.shape[-1] // self.heads) ** -0.5

    def take(self, x: Tensor, read: Tensor, seen: Tensor) -> Tensor:
        """(B, Q, D) steps after the layer, which attended to (B, Q, D) values under (B, H, Q, R) relations."""
        read = read + torch.matmul(seen, self.related).transpose(1, 2).flatten(2)
        x = x + self.out(read)
        return x + self.feed(self.between(x))


class StepTransformer(nn.Module):
    """Scores all steps of episodes in one pass; its parts score one more step where the earlier ones are kept (`StepNetwork`).

    Args:
        num_embeddings: of the words.
        criteria: k.
        shape: sizes.
        text_encoder: embeds the steps instead of the words' own encoder, which then only compares them.
    """

    def __init__(self, num_embeddings: int, criteria: int, shape: Shape, text_encoder: TextEncoder | None = None) -> None:
        super().__init__()
        self.shape = shape
        self.words = WordEncoder(num_embeddings, shape.width, shape.channels)
        self.text_encoder = text_encoder
        if text_encoder is not None:
            self.project = nn.Linear(text_encoder.model.config.hidden_size, shape.width)
        self.place = nn.Parameter(torch.randn(2, shape.width) * 0.02)  # the prompt, a step
        self.layers = nn.ModuleList(Layer(shape) for _ in range(shape.layers))
        self.last = nn.LayerNorm(shape.width)
        self.head = nn.Linear(shape.width, criteria)

    def read(self, words: WordRows, texts: list[str] | None = None) -> tuple[Tensor, Gated]:
        """(B, T, D) vectors and gates of steps, by their words alone. `texts`: all B T of them."""
        x, gated = self.words(words)
        if self.text_encoder is not None:
            assert texts is not None
            distinct = {text: i for i, text in enumerate(dict.fromkeys(text for text in texts if text), 1)}
            nothing = x.new_zeros(1, x.shape[-1])  # an empty prompt, and padding, which is never attended to
            vectors = torch.cat([nothing, self.project(self.text_encoder([*distinct]))]) if distinct else nothing
            rows = torch.tensor([distinct.get(text, 0) for text in texts], device=x.device)
            x = vectors[rows].reshape(x.shape)
        return x, gated

    def placed(self, x: Tensor, prompt: Tensor) -> Tensor:
        """(B, T, D) vectors that know whether they are prompts, as `prompt` (B, T) says."""
        return x + torch.where(prompt[..., None], self.place[0], self.place[1])

    def score(self, x: Tensor) -> Tensor:
        """(..., D) steps after the last layer -> (..., k) logits."""
        return self.head(self.last(x))

    def forward(self, words: WordRows, lengths: Tensor, texts: list[str] | None = None) -> Tensor:
        """(B, T, k) logits in one pass; of step 0, the prompt, they mean nothing. `lengths` (B,) with the prompt."""
        B, T = words.number.shape
        steps = torch.arange(T, device=lengths.device)
        x, gated = self.read(words, texts)
        x = self.placed(x, (steps == 0).expand(B, T))
        ago = steps[:, None] - steps
        mask = (ago >= 0) & (steps < lengths[:, None])[:, None, :]
        mask = mask | (ago == 0)  # padding attends to itself
        r = relations(gated, gated, ago.clamp(min=0))
        layer: Any
        for layer in self.layers:
            x = layer(x, layer.remember(x), r, mask)
        return self.score(x)
