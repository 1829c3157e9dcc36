"""`StepTransformer` as the backbone of a `LearnedPRM`: words in, logits out, and a pool of what is kept of scored steps.

The pool holds one *node* a step: keys and values of every layer, and the words with their gates. A node is written once and
never changed, so any number of episodes may share a prefix.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from reasongym.prm.learned.step_encoder import Gated, TextEncoder, WordRows
from reasongym.prm.learned.step_transformer import Shape, StepTransformer
from reasongym.prm.learned.words import WordReader

POOL = 32_768
"""Nodes that are kept, unless more than half as many are live (about 8 KB each with the default shape)."""
BATCH = 4_096
"""Steps, padding included, that are scored at a time."""
ENCODER = "encoder"
"""Folder of a `transformers` encoder's config and tokenizer in a saved PRM."""


class StepNetwork(nn.Module):
    """Words or a `transformers` encoder, then a causal transformer over steps.

    Args:
        vocabulary: known words.
        criteria: k.
        shape: sizes.
        encoder: path of a `transformers` encoder that embeds the steps; None: their words do, trained from scratch.
    """

    kind = "steps"

    def __init__(
        self, vocabulary: Sequence[str], criteria: int, shape: Shape | None = None, encoder: TextEncoder | str | None = None
    ) -> None:
        super().__init__()
        self.shape = shape or Shape()
        self.reader = WordReader(vocabulary, self.shape.max_words)
        text_encoder = TextEncoder(encoder) if isinstance(encoder, str) else encoder
        self.network = StepTransformer(self.reader.num_embeddings, criteria, self.shape, text_encoder)
        self._pool: _Pool | None = None

    def describe(self) -> str:
        size = sum(parameter.numel() for parameter in self.parameters())
        return f"{self.shape.layers} layers, {size:,} parameters"

    def config(self) -> dict[str, Any]:
        encoder = self.network.text_encoder
        tokens = None if encoder is None else encoder.max_tokens
        return {"shape": asdict(self.shape), "vocabulary": self.reader.vocabulary, "encoder_max_tokens": tokens}

    def save_parts(self, folder: Path) -> None:
        """What is needed beside weights: the encoder's config and tokenizer."""
        if self.network.text_encoder is not None:
            self.network.text_encoder.tokenizer.save_pretrained(folder / ENCODER)
            self.network.text_encoder.model.config.save_pretrained(folder / ENCODER)

    @classmethod
    def from_config(cls, config: dict[str, Any], criteria: int, folder: Path) -> StepNetwork:
        encoder = None
        if config["encoder_max_tokens"]:
            from transformers import AutoConfig, AutoModel

            path = str(folder / ENCODER)
            encoder = TextEncoder(path, config["encoder_max_tokens"], AutoModel.from_config(AutoConfig.from_pretrained(path)))
        return cls(config["vocabulary"], criteria, Shape(**config["shape"]), encoder)

    @property
    def windowed(self) -> int:
        """How many times a text was read by its first and last words alone."""
        return self.reader.windowed

    @property
    def device(self) -> torch.device:
        return self.network.place.device

    @torch.no_grad()
    def full(self, episodes: Sequence[Sequence[str]]) -> list[np.ndarray]:
        """(T, k) float32 logits of each episode's texts after the first, which is the prompt.

        Raises:
            ValueError: an episode without steps, or of more than `max_steps`.
        """
        self.eval()
        out: list[np.ndarray] = [np.zeros(0)] * len(episodes)
        for i, texts in enumerate(episodes):
            if not 2 <= len(texts) <= self.shape.max_steps + 1:
                raise ValueError(
                    f"record {i} has {len(texts) - 1} steps; this model scores 1 to {self.shape.max_steps}: "
                    "cut it into several, or train with a larger max_steps"
                )
        order = sorted(range(len(episodes)), key=lambda i: len(episodes[i]))
        while order:
            T = len(episodes[order[-1]])
            some, order = order[-max(1, BATCH // T) :], order[: -max(1, BATCH // T)]
            texts = [text for i in some for text in (*episodes[i], *[""] * (T - len(episodes[i])))]
            rows = WordRows.of(self.reader(texts), (len(some), T), self.device)
            lengths = torch.tensor([len(episodes[i]) for i in some], device=self.device)
            logits = self.network(rows, lengths, texts).float().cpu().numpy()
            for j, i in enumerate(some):
                out[i] = logits[j, 1 : len(episodes[i])]
        return out

    @torch.no_grad()
    def extend(self, paths: Sequence[tuple[int, ...]], texts: Sequence[str]) -> tuple[np.ndarray, list[int]]:
        """(n, k) logits of one more text after each path of nodes, and the new nodes; an empty path: the text is a prompt."""
        self.eval()
        longest = max(map(len, paths))
        if longest > self.shape.max_steps:
            raise ValueError(f"an episode has more than the {self.shape.max_steps} steps that this model scores")
        if self._pool is None:
            self._pool = _Pool(self)
        pool, n = self._pool, len(paths)
        at = np.zeros((n, longest), np.int64)
        for i, path in enumerate(paths):
            at[i, : len(path)] = path
        lengths = torch.tensor([len(path) for path in paths], device=self.device)
        rows = WordRows.of(self.reader(texts), (n, 1), self.device)
        past, kept = pool.read(torch.from_numpy(at).to(self.device))
        logits, new, gated = self.network.extend(rows, (lengths == 0)[:, None], list(texts), past, kept, lengths)
        return logits.float().cpu().numpy(), pool.add(new, gated)

    @property
    def most_nodes(self) -> int:
        """How many nodes to keep, live ones apart."""
        return POOL

    def keep(self, nodes: Sequence[int]) -> None:
        """Forgets all nodes but these, which are numbered anew in their order."""
        if self._pool is not None:
            self._pool.keep(nodes)

    def clear(self) -> None:
        """Forgets all nodes."""
        self._pool = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_pool": None}


class _Pool:
    """Nodes in rows of arrays, which double when they are full."""

    def __init__(self, owner: StepNetwork) -> None:
        shape = owner.shape
        like = {"device": owner.device, "dtype": owner.network.place.dtype}
        self.used = 0
        self.memory = torch.zeros((1024, shape.layers, 2, shape.width), **like)  # type: ignore[call-overload]
        self.gates = torch.zeros((1024, shape.max_words, 2 * shape.channels), **like)  # type: ignore[call-overload]
        self.identity = torch.zeros((1024, shape.max_words), dtype=torch.long, device=owner.device)
        self.number = torch.zeros(1024, dtype=torch.long, device=owner.device)
        self.widths = torch.zeros(1024, dtype=torch.long, device=owner.device)

    def add(self, new: Tensor, gated: Gated) -> list[int]:
        """Keeps n steps; their nodes."""
        n, width = new.shape[0], gated.asks.shape[2]
        while self.used + n > len(self.number):
            for name in ("memory", "gates", "identity", "number", "widths"):
                part = getattr(self, name)
                setattr(self, name, torch.cat([part, torch.zeros_like(part)]))
        rows = slice(self.used, self.used + n)
        self.used += n
        self.memory[rows], self.number[rows], self.widths[rows] = new, gated.words.number[:, 0], width
        self.gates[rows, :width] = torch.cat([gated.asks, gated.offers], -1)[:, 0]
        self.identity[rows, :width] = gated.words.identity[:, 0]
        return list(range(rows.start, rows.stop))

    def keep(self, nodes: Sequence[int]) -> None:
        """As `StepNetwork.keep`."""
        at = torch.tensor(nodes, dtype=torch.long, device=self.number.device)
        for name in ("memory", "gates", "identity", "number", "widths"):
            part = getattr(self, name)
            part[: len(nodes)] = part[at]
        self.used = len(nodes)

    def read(self, at: Tensor) -> tuple[Tensor, Gated]:
        """(n, T, layers, 2, D) and the gates of nodes (n, T)."""
        width = int(self.widths[at].max()) if at.numel() else 1
        asks, offers = self.gates[:, :width][at].chunk(2, -1)
        identity = self.identity[:, :width][at]
        return self.memory[at], Gated(WordRows(identity, identity, identity, self.number[at]), asks, offers)
