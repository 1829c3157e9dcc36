"""What a `StepNetwork` keeps of the steps that it has scored, and how a new step attends to it.

A *node* is a step behind a certain path of steps: its keys and values of every layer. What is read off its words alone (their
gates, and the step's vector) is kept once a text, however many nodes have it. Both are written once and never changed, so any
number of episodes may share a prefix.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from reasongym.prm.learned.step_encoder import FIXED, Gated, WordRows, relations
from reasongym.prm.learned.step_transformer import Layer, Shape


class Rows:
    """Tensors with one row a thing, which double when they are full."""

    def __init__(self, **like: Tensor) -> None:
        self.used = 0
        self.parts = {name: row.new_zeros((1024, *row.shape)) for name, row in like.items()}

    def __getitem__(self, name: str) -> Tensor:
        return self.parts[name]

    def add(self, n: int) -> slice:
        """Room for n more."""
        while self.used + n > len(next(iter(self.parts.values()))):
            self.parts = {name: torch.cat([part, torch.zeros_like(part)]) for name, part in self.parts.items()}
        rows = slice(self.used, self.used + n)
        self.used += n
        return rows

    def keep(self, rows: Tensor) -> None:
        """Forgets all but these, which come first from now on, in their order."""
        for part in self.parts.values():
            part[: len(rows)] = part[rows]
        self.used = len(rows)


class Pool:
    """Texts and nodes.

    Args:
        shape: of the network.
        like: a parameter of it: device and type of what is kept.

    Attributes:
        texts: a row a text: its vector, gates, identities of words, number, and how many words it has.
        nodes: a row a node: keys and values by layer, and the row of its text.
    """

    def __init__(self, shape: Shape, like: Tensor) -> None:
        none = torch.zeros((), dtype=torch.long, device=like.device)
        self._row_of: dict[str, int] = {}
        self.texts = Rows(
            vector=like.new_zeros(shape.width),
            gates=like.new_zeros((shape.max_words, 2 * shape.channels)),
            identity=none.new_zeros(shape.max_words),
            number=none,
            width=none,
        )
        self.nodes = Rows(memory=like.new_zeros((shape.layers, 2, shape.width)), text=none)

    @property
    def device(self) -> torch.device:
        return self.nodes["text"].device

    @property
    def compiled(self) -> bool:
        """Whether new steps attend by `kernels`: float32 on a CPU."""
        return self.device.type == "cpu" and self.nodes["memory"].dtype == torch.float32

    def vectors(self, texts: Sequence[str], read: Callable[[list[str]], tuple[Tensor, Gated]]) -> tuple[Tensor, Tensor]:
        """(n, D) vectors and (n,) rows of texts; those that are new are read, as (1, m, D) vectors and their gates."""
        new = [text for text in dict.fromkeys(texts) if text not in self._row_of]
        if new:
            vectors, gated = read(new)
            rows, width = self.texts.add(len(new)), gated.asks.shape[2]
            self.texts["vector"][rows], self.texts["number"][rows] = vectors[0], gated.words.number[0]
            self.texts["gates"][rows] = 0
            self.texts["gates"][rows, :width] = torch.cat([gated.asks, gated.offers], -1)[0]
            self.texts["identity"][rows] = 0
            self.texts["identity"][rows, :width] = gated.words.identity[0]
            self.texts["width"][rows] = (gated.words.embedding[0] > 0).sum(-1)
            self._row_of.update(zip(new, range(rows.start, rows.stop), strict=True))
        of = torch.tensor([self._row_of[text] for text in texts], dtype=torch.long, device=self.device)
        return self.texts["vector"][of], of

    def add(self, texts: Tensor) -> slice:
        """New nodes with the words of these rows; their keys and values are written by `attend`."""
        rows = self.nodes.add(len(texts))
        self.nodes["text"][rows] = texts
        return rows

    def keep(self, nodes: Sequence[int]) -> None:
        """Forgets all nodes but these, which are numbered anew in their order, and all texts that they do not have."""
        self.nodes.keep(torch.tensor(nodes, dtype=torch.long, device=self.device))
        texts, mine = self.nodes["text"][: len(nodes)].unique(return_inverse=True)
        self.nodes["text"][: len(nodes)] = mine
        self.texts.keep(texts)
        place = {row: i for i, row in enumerate(texts.tolist())}
        self._row_of = {text: place[row] for text, row in self._row_of.items() if row in place}


class Paths:
    """Paths of nodes that end in new ones, which attend to them.

    Args:
        pool: where the nodes are.
        before: the nodes of each path, without its new one.
        new: the new nodes.
    """

    def __init__(self, pool: Pool, before: Sequence[tuple[int, ...]], new: slice) -> None:
        self.pool, self.new = pool, new
        lengths = np.array([len(path) + 1 for path in before])
        at = np.zeros((len(before), lengths.max()), np.int64)
        for i, path in enumerate(before):
            at[i, : len(path)] = path
            at[i, len(path)] = new.start + i
        self.at, self.lengths = torch.from_numpy(at).to(pool.device), torch.from_numpy(lengths).to(pool.device)
        self.relations = self._compiled_relations() if pool.compiled else self._relations()

    def attend(self, x: Tensor, i: int, layer: Layer) -> Tensor:
        """(n, D) new steps after layer i, whose keys and values of them are kept."""
        memory = self.pool.nodes["memory"]
        memory[self.new, i] = layer.remember(x[:, None])[:, 0]
        if not self.pool.compiled:
            mask = torch.arange(self.at.shape[1], device=x.device) < self.lengths[:, None]
            return layer(x[:, None], memory[self.at, i], self.relations[:, None], mask[:, None])[:, 0]
        from reasongym.prm.learned.kernels import attend

        read, seen = torch.zeros_like(x), x.new_zeros((len(x), layer.heads, self.relations.shape[2]))
        parts = (layer.ask(x), memory, layer.bias.weight, self.relations, x.new_zeros(self.at.shape[1]))
        attend(i, *_arrays(self.at, self.lengths, *parts, read, seen))
        return layer.take(x[:, None], read[:, None], seen[:, :, None])[:, 0]

    def _relations(self) -> Tensor:
        """(n, T, R)."""
        texts, row_of = self.pool.texts, self.pool.nodes["text"]
        width = max(1, int(texts["width"][row_of[self.at]].max()))

        def gated(rows: Tensor) -> Gated:
            asks, offers = texts["gates"][:, :width][rows].chunk(2, -1)
            identity = texts["identity"][:, :width][rows]
            return Gated(WordRows(identity, identity, identity, texts["number"][rows]), asks, offers)

        ago = (self.lengths[:, None] - 1 - torch.arange(self.at.shape[1], device=self.at.device)).clamp(min=0)
        return relations(gated(row_of[self.new][:, None]), gated(row_of[self.at]), ago[:, None])[:, 0]

    def _compiled_relations(self) -> Tensor:
        from reasongym.prm.learned.kernels import relate

        texts, row_of = self.pool.texts, self.pool.nodes["text"]
        out = texts["gates"].new_zeros((*self.at.shape, texts["gates"].shape[2] // 2 + FIXED))
        words = (texts[name] for name in ("identity", "number", "width", "gates"))
        relate(*_arrays(self.at, self.lengths, row_of, *words, out))
        return out


def _arrays(*tensors: Tensor) -> tuple[Any, ...]:
    return tuple(tensor.detach().contiguous().numpy() for tensor in tensors)
