"""A causal language model as the backbone of a `LearnedPRM`: prompt and steps are one text, a step's logits are read at its
last token.

Each text is tokenized by itself and followed by a line break, so one pass over an episode and step by step see the same
tokens. A *node* holds the keys and values of one step's tokens; an episode's are put together when a step is added.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from reasongym.prm.learned.windows import limit, too_long
from reasongym.prm.records import StepRecord

POOL = 4_096
"""Nodes that are kept, unless more than half as many are live."""
FOLDER = "language_model"
Layers = list[tuple[Tensor, Tensor]]


class StepLM(nn.Module):
    """Any causal `transformers` model, with a linear head of k criteria on its last layer.

    Args:
        path: folder or name of the model and its tokenizer.
        criteria: k.
        max_tokens: of an episode, or the model's window where that is less; longer ones are refused with `WindowError`.
        model: the model without its language head, where it need not be loaded.
    """

    kind = "lm"
    windowed = 0
    """Nothing is read in part: what is too long is refused."""

    def __init__(self, path: str, criteria: int, max_tokens: int = 2_048, model: Any = None) -> None:
        super().__init__()
        from transformers import AutoModel, AutoTokenizer

        self.tokenizer = AutoTokenizer.from_pretrained(path)
        self.model = model if model is not None else AutoModel.from_pretrained(path)
        self.head = nn.Linear(self.model.config.hidden_size, criteria)
        self.max_tokens = limit(max_tokens, self.model)
        self._nodes: list[Layers] = []

    def describe(self) -> str:
        return f"{type(self.model).__name__}, {sum(parameter.numel() for parameter in self.parameters()):,} parameters"

    def config(self) -> dict[str, Any]:
        return {"max_tokens": self.max_tokens}

    def save_parts(self, folder: Path) -> None:
        """The model's config and its tokenizer."""
        self.tokenizer.save_pretrained(folder / FOLDER)
        self.model.config.save_pretrained(folder / FOLDER)

    @classmethod
    def from_config(cls, config: dict[str, Any], criteria: int, folder: Path) -> StepLM:
        from transformers import AutoConfig, AutoModel

        path = str(folder / FOLDER)
        return cls(path, criteria, config["max_tokens"], AutoModel.from_config(AutoConfig.from_pretrained(path)))

    def tokens(self, text: str) -> list[int]:
        """Token ids of a step or prompt, with its line break; nothing in it is read as a special token."""
        return self.tokenizer(text + "\n", add_special_tokens=False, split_special_tokens=True)["input_ids"]

    def length(self, record: StepRecord) -> int:
        """Tokens of a record.

        Raises:
            WindowError: more than `max_tokens`.
        """
        found = sum(len(self.tokens(text)) for text in (record.prompt, *record.steps))
        if found > self.max_tokens:
            raise too_long(f"the record of {record.prompt[:60]!r}", found, self.max_tokens, self.model)
        return found

    def forward(self, episodes: Sequence[Sequence[str]]) -> list[Tensor]:
        """(T, k) logits of each episode's texts after the first, which is the prompt."""
        parts = [[self.tokens(text) for text in episode] for episode in episodes]
        lengths = [sum(map(len, part)) for part in parts]
        for i, (length, part) in enumerate(zip(lengths, parts, strict=True)):
            if len(part) < 2:
                raise ValueError(f"record {i} has 0 steps; this model scores at least one")
            if length > self.max_tokens:
                raise too_long(f"record {i}", length, self.max_tokens, self.model)
        ids = torch.zeros((len(parts), max(lengths)), dtype=torch.long, device=self.head.weight.device)
        mask = torch.zeros_like(ids)
        for i, part in enumerate(parts):
            flat = [token for tokens in part for token in tokens]
            ids[i, : len(flat)] = torch.tensor(flat, device=ids.device)
            mask[i, : len(flat)] = 1
        states = self.model(input_ids=ids, attention_mask=mask, use_cache=False).last_hidden_state
        ends = [np.cumsum([len(tokens) for tokens in part])[1:] - 1 for part in parts]
        return [self.head(states[i, torch.from_numpy(end).to(ids.device)]) for i, end in enumerate(ends)]

    @torch.no_grad()
    def full(self, episodes: Sequence[Sequence[str]], batch: int = 16) -> list[np.ndarray]:
        """`forward` in batches, without gradients."""
        self.eval()
        out: list[np.ndarray] = []
        for start in range(0, len(episodes), batch):
            out += [logits.float().cpu().numpy() for logits in self(episodes[start : start + batch])]
        return out

    @torch.no_grad()
    def extend(self, paths: Sequence[tuple[int, ...]], texts: Sequence[str]) -> tuple[np.ndarray, list[int]]:
        """(n, k) logits of one more text after each path of nodes, and the new nodes."""
        from transformers import DynamicCache

        self.eval()
        logits, nodes = [], []
        for path, text in zip(paths, texts, strict=True):
            cache, past = DynamicCache(config=self.model.config), 0
            if path:
                layers = [self._nodes[node] for node in path]
                for depth in range(len(layers[0])):
                    keys, values = (torch.cat([layer[depth][part] for layer in layers], 2) for part in (0, 1))
                    cache.update(keys, values, depth)
                past = cache.get_seq_length()
            ids = torch.tensor([self.tokens(text)], device=self.head.weight.device)
            if past + ids.shape[1] > self.max_tokens:
                raise too_long("an episode", past + ids.shape[1], self.max_tokens, self.model)
            states = self.model(input_ids=ids, past_key_values=cache, use_cache=True).last_hidden_state
            logits.append(self.head(states[0, -1]).float().cpu().numpy())
            nodes.append(len(self._nodes))
            grown: Any = cache.layers
            self._nodes.append([(layer.keys[:, :, past:].clone(), layer.values[:, :, past:].clone()) for layer in grown])
        return np.stack(logits), nodes

    @property
    def most_nodes(self) -> int:
        """How many nodes to keep, live ones apart."""
        return POOL

    def keep(self, nodes: Sequence[int]) -> None:
        """Forgets all nodes but these, which are numbered anew in their order."""
        self._nodes = [self._nodes[node] for node in nodes]

    def clear(self) -> None:
        """Forgets all nodes."""
        self._nodes = []

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_nodes": []}
