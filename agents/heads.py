"""The heads of MemoryPPO's networks: pointers at slots, answers by their words, plain outputs.

The heads for STORE, UPDATE and RECALL point at slots, so they know no slot number: permuting the slots permutes the logits.
Axes: F frames, K slots, C choices, A = 1 + 3K + C actions, D width.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from agents.bodies import linear
from agents.frames import Features, Frames
from agents.gates import ROOM, SELDOM, GatingNetwork
from agents.spans import SpanHead


def padded(rows: list[list[int]]) -> Tensor:
    """Lists of token ids as one (len(rows), longest) int64 tensor, 0 padded."""
    longest = max((len(row) for row in rows), default=0)
    return torch.tensor([row + [0] * (longest - len(row)) for row in rows], dtype=torch.long)


class ChoiceHead(nn.Module):
    """Logits of closed answers: linear, plus (where the choices' words are known) a query against the embeddings of their
    words, so that what is learned about naming one place serves for all.

    Args:
        size: width of the body.
        item_size: D.
        num_choices: C.
        choice_tokens: (C, L) token ids of the choices, 0 padded; None where they are unknown.
    """

    def __init__(self, size: int, item_size: int, num_choices: int, choice_tokens: Tensor | None = None) -> None:
        super().__init__()
        self.item_size, self.num_choices = item_size, num_choices
        self.answers = linear(size, num_choices, gain=0.01)
        self.register_buffer("choice_tokens", choice_tokens, persistent=False)
        self.naming = None if choice_tokens is None else linear(size, item_size, gain=0.1)

    def forward(self, h: Tensor, frames: Frames, sentences: Tensor, words: nn.Embedding) -> Tensor:
        """(F, size) and the embeddings of the words -> (F, C)."""
        answers = self.answers(h)
        if self.naming is not None:
            names = words(self.choice_tokens).sum(1)
            answers = answers + self.naming(h) @ names.t() * (2 * self.item_size**-0.5)
        return answers


class PointerHead(nn.Module):
    """Logits of NEXT, of STORE, UPDATE and RECALL per slot, and of the answers (`choices`).

    A slot's logit is a query against the slot's item, plus its similarity to question, desk and chain, weighted by kind of
    action. What an untrained head does is where exploration begins: it keeps what it reads while there is room (what is lost
    cannot be recalled), seldom overwrites, then rather what resembles the desk, and recalls what shares words with the
    question or with the last entry. All of these weights are learned on.

    Args:
        size: width of the body.
        item_size: D.
        num_slots: K.
        num_similarities: how many similarities of a slot the encoder tells.
        choices: the head of the answers.
        gate: decides on the kind of action; the logits are then log-probabilities of both levels. None: one flat softmax.
        similarity_groups: the columns at which such similarities begin: question, desk, last entry, chain.
    """

    def __init__(
        self,
        size: int,
        item_size: int,
        num_slots: int,
        num_similarities: int,
        choices: ChoiceHead | SpanHead,
        gate: GatingNetwork | None = None,
        similarity_groups: tuple[int, ...] = (0,),
    ) -> None:
        super().__init__()
        self.num_slots, self.item_size = num_slots, item_size
        self.num_choices = choices.num_choices
        self.gate = gate
        if gate is None:
            self.next = linear(size, 1, gain=0.01)
            self.kinds = linear(size, 3, gain=0.01)
            self.kinds.bias.data[:2] = SELDOM
        self.room = nn.Parameter(torch.tensor(ROOM))  # added where a slot is empty
        self.queries = linear(size, 3 * item_size, gain=0.1)
        self.similarity = nn.Linear(num_similarities, 3, bias=False)
        nn.init.zeros_(self.similarity.weight)
        for begin in similarity_groups:
            self.similarity.weight.data[2, [begin, begin + 2]] = 1.0  # recall what is like question or last entry
            self.similarity.weight.data[0, begin + 1] = 1.0  # overwrite what is like the desk
        self.choices = choices

    def forward(self, h: Tensor, features: Features, frames: Frames, words: nn.Embedding) -> Tensor:
        """(F, size), items, and the embeddings of the words -> (F, A)."""
        assert features.items is not None
        assert features.sentences is not None
        assert features.similarity is not None
        assert features.present is not None
        K = features.num_slots
        queries = self.queries(h).view(-1, 3, self.item_size)
        pointers = torch.bmm(queries, features.items[:, :K].transpose(1, 2)) * self.item_size**-0.5
        if self.gate is None:
            pointers = pointers + self.kinds(h)[:, :, None]
        pointers = pointers + self.similarity(features.similarity).transpose(1, 2)
        empty = ~features.present[:, :K]
        pointers = torch.cat([pointers[:, :1] + self.room * empty[:, None], pointers[:, 1:]], 1)
        pointers = F.pad(pointers, (0, self.num_slots - K))  # trimmed slots are illegal anyway
        answers = self.choices(h, frames, features.sentences, words)
        if self.gate is None:
            return torch.cat([self.next(h), pointers.flatten(1), answers], 1)
        logits = torch.cat([h.new_zeros(len(h), 1), pointers.flatten(1), answers], 1)
        return self.gate.log_probs(h, features, frames, logits)


class FlatHead(nn.Module):
    """One linear layer over the body's output."""

    def __init__(self, size: int, num_outputs: int, gain: float) -> None:
        super().__init__()
        self.output = linear(size, num_outputs, gain)

    def forward(self, h: Tensor, features: Features) -> Tensor:
        return self.output(h)
