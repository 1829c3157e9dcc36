"""`StepTransformer` as the backbone of a `LearnedPRM`: words in, logits out; a `Pool` keeps what is needed of scored steps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from reasongym.prm.learned.pool import Paths, Pool
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
        self._pool: Pool | None = None

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
        if max(map(len, paths)) > self.shape.max_steps:
            raise ValueError(f"an episode has more than the {self.shape.max_steps} steps that this model scores")
        if self._pool is None:
            self._pool = Pool(self.shape, self.network.place)
        vectors, rows = self._pool.vectors(texts, self._read)
        grown = Paths(self._pool, paths, self._pool.add(rows))
        x = self.network.placed(vectors, grown.lengths == 1)
        layer: Any
        for i, layer in enumerate(self.network.layers):
            x = grown.attend(x, i, layer)
        return self.network.score(x).float().cpu().numpy(), list(range(grown.new.start, grown.new.stop))

    def _read(self, texts: list[str]) -> tuple[Tensor, Gated]:
        """(1, m, D) vectors and gates of texts."""
        return self.network.read(WordRows.of(self.reader(texts), (1, len(texts)), self.device), texts)

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
