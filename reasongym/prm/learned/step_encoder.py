"""Steps as vectors, and what two steps have in common. Axes: B episodes, T steps, W words, C channels, R relations, D width.

`WordEncoder` embeds the words of a step, mixes neighbours, and pools. `relations` compares the words of two steps: each of C
channels weighs the words of the one step by a gate and those of the other by another, both read off the word's neighbourhood
("is this the subject?"), and sums the weights of the pairs that are the same word. So the model reads who is who off
equality, and names that it never saw are as good as others. After relation-aware attention (Shaw, Uszkoreit and Vaswani,
2018, arXiv 1803.02155), which knows the distance of two tokens only.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from reasongym.prm.learned.windows import limit, too_long
from reasongym.prm.learned.words import FUNCTION, NAME, OTHER, SPECIAL, Words

FIXED = 6
"""Relations beside the channels: same number, later number, earlier number, how far, how many steps ago, the step itself."""


class WordRows(NamedTuple):
    """`Words` as tensors, (B, T, W) and (B, T)."""

    embedding: Tensor
    identity: Tensor
    name: Tensor
    number: Tensor

    @staticmethod
    def of(words: Words, shape: tuple[int, ...], device: Any = "cpu") -> WordRows:
        """The texts of `words`, which are the steps of a batch of this shape, in order."""
        return WordRows(*(torch.from_numpy(np.ascontiguousarray(part)).reshape(*shape, *part.shape[1:]).to(device).long()
                          for part in words))  # fmt: skip


class Gated(NamedTuple):
    """What relations need of steps: `asks` and `offers` are (B, T, W, C) gates."""

    words: WordRows
    asks: Tensor
    offers: Tensor


class WordEncoder(nn.Module):
    """Word ids -> (B, T, D) vectors, and the gates of the C channels.

    Args:
        num_embeddings: known words and special ones.
        width: D.
        channels: C.
    """

    def __init__(self, num_embeddings: int, width: int, channels: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(num_embeddings, width, padding_idx=0)
        self.mix = nn.ModuleList(nn.Conv1d(width, width, 3, padding=1) for _ in range(2))
        self.pool = nn.Linear(2 * width, width)
        self.gates = nn.Linear(width, 2 * channels)
        nn.init.normal_(self.embedding.weight, std=0.5)

    def forward(self, words: WordRows) -> tuple[Tensor, Gated]:
        shape = words.embedding.shape
        present = (words.embedding > 0).reshape(-1, shape[-1], 1)
        x = self.embedding(words.embedding).reshape(-1, shape[-1], self.embedding.embedding_dim) * present
        layer: Any
        for layer in self.mix:
            around = nn.functional.pad(x, (0, 0, 1, 1))  # the convolution as one product: several times faster on a CPU
            around = torch.cat([around[:, :-2], x, around[:, 2:]], -1)
            mixed = nn.functional.linear(around, layer.weight.permute(0, 2, 1).flatten(1), layer.bias)
            x = (x + torch.relu(mixed)) * present
        least = torch.finfo(x.dtype).min
        most = x.masked_fill(~present, least).amax(1)
        most = torch.where(present.any(1), most, torch.zeros_like(most))
        mean = x.sum(1) / present.sum(1).clamp(min=1)
        gates = torch.sigmoid(self.gates(x)) * present
        asks, offers = gates.reshape(*shape, -1).chunk(2, -1)
        return self.pool(torch.cat([most, mean], -1)).reshape(*shape[:2], -1), Gated(words, asks, offers)


class TextEncoder(nn.Module):
    """Any `transformers` encoder, by path or name: the mean of its last layer over a step's tokens.

    A step that spells a special token is read as the letters of it: only the tokenizer's own special tokens are special.

    Args:
        path: folder or name.
        max_tokens: tokens of a step that are read, or the encoder's window where that is less; more are refused with
            `WindowError`.
        model: the encoder itself, where it need not be loaded.
    """

    def __init__(self, path: str, max_tokens: int = 256, model: Any = None) -> None:
        super().__init__()
        from transformers import AutoModel, AutoTokenizer

        self.tokenizer = AutoTokenizer.from_pretrained(path)
        self.model = model if model is not None else AutoModel.from_pretrained(path)
        self.path, self.max_tokens = path, limit(max_tokens, self.model)
        if self.tokenizer.pad_token is None:
            self.tokenizer.pad_token = self.tokenizer.eos_token

    def forward(self, texts: list[str]) -> Tensor:
        """(N, D') vectors."""
        tokens = self.tokenizer(texts, return_tensors="pt", padding=True, split_special_tokens=True).to(self.model.device)
        length = int(tokens["attention_mask"].sum(1).max())
        if length > self.max_tokens:
            raise too_long("a prompt or step", length, self.max_tokens, self.model)
        states = self.model(**tokens).last_hidden_state
        mask = tokens["attention_mask"][:, :, None].to(states.dtype)
        return (states * mask).sum(1) / mask.sum(1)


def relations(later: Gated, earlier: Gated, ago: Tensor) -> Tensor:
    """(B, Q, T, R) relations of Q steps with T earlier ones, R = C + FIXED.

    Args:
        later: (B, Q, ...), the steps that attend.
        earlier: (B, T, ...), those attended to.
        ago: (Q, T) or (B, Q, T), how many steps lie between them.
    """
    x, y = later.words, earlier.words
    B, Q, W = x.identity.shape
    T = y.identity.shape[1]
    mine_words = x.identity.reshape(B, 1, Q * W, 1)
    same = (mine_words == y.identity[:, :, None, :]) & (mine_words != 0)  # (B, T, QW, V)
    offered = torch.matmul(same.to(later.asks.dtype), earlier.offers)  # (B, T, QW, C)
    shared = torch.tanh((offered.reshape(B, T, Q, W, -1) * later.asks[:, None]).sum(3)).transpose(1, 2)
    mine, theirs = x.number[:, :, None], y.number[:, None, :]
    both = (mine > 0) & (theirs > 0)
    fixed = [
        both & (mine == theirs),
        both & (theirs > mine),
        both & (theirs < mine),
        both * torch.log1p((theirs - mine).abs().to(shared.dtype)) / 4,
        (torch.log1p(ago.to(shared.dtype)) / 4).expand(B, Q, T),
        (ago == 0).expand(B, Q, T),
    ]
    return torch.cat([shared, torch.stack([part.to(shared.dtype) for part in fixed], -1)], -1)


def forget_words(words: WordRows, generator: torch.Generator, names: float, others: float) -> WordRows:
    """Augmentation: in each episode some words lose their embedding (not their identity), each word all over the episode or
    nowhere.

    Args:
        words: (B, T, W) rows.
        generator: where chance comes from.
        names, others: share of an episode's names, and of its other words; up to this much, drawn by episode.
    """
    episodes = words.embedding.shape[0]
    top = int(words.embedding.max()) + 1
    draw = torch.rand((episodes, top), generator=generator)
    limits = torch.rand((episodes, 2), generator=generator) * torch.tensor([names, others])
    flat = words.embedding.reshape(episodes, -1)
    lot = torch.gather(draw, 1, flat).reshape(words.embedding.shape)
    name, content = words.name > 0, words.identity != 0
    limit = torch.where(name, limits[:, 0, None, None], limits[:, 1, None, None])
    unknown = torch.where(name, NAME, torch.where(content, OTHER, FUNCTION))
    return words._replace(embedding=torch.where((words.embedding >= SPECIAL) & (lot < limit), unknown, words.embedding))
