"""Which tokens may come next, where replies are to be legal commands and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache

import numpy as np

from reasongym.text.interface import Interface


class Node:
    """A place in a trie of token sequences.

    Attributes:
        next: the nodes after it, by token; none: a sequence ends here.
        allowed: their tokens.
        tail: the tokens up to the sequence's end, where only one is left; None where there is a choice yet.
    """

    __slots__ = ("allowed", "next", "tail")

    def __init__(self, sequences: Sequence[tuple[int, ...]], depth: int = 0) -> None:
        after: dict[int, list[tuple[int, ...]]] = {}
        for tokens in sequences:
            if len(tokens) > depth:
                after.setdefault(tokens[depth], []).append(tokens)
        self.next = {token: Node(rest, depth + 1) for token, rest in after.items()}
        self.allowed = tuple(after)
        self.tail: tuple[int, ...] | None = sequences[0][depth:] if len(sequences) == 1 else None


class LegalCommands:
    """The legal commands of a text environment's rows as tries of tokens.

    Answers that are written have no end of possible forms, so where answers are spans only pointing (`start`, `end`, `abstain`)
    is left; own words (`store K: ...`) are left out for the same reason.

    Args:
        interface: of the environments.
        encode: token ids of a command, its end included.
    """

    def __init__(self, interface: Interface, encode: Callable[[str], Sequence[int]]) -> None:
        self._interface, actions = interface, interface.batch.shapes.actions
        self._sequences = [tuple(encode(interface.commands.of(action))) for action in range(actions)]
        longest = max(map(len, self._sequences))
        self.most_tokens = longest
        """Of a command."""
        self._trie = lru_cache(maxsize=4096)(self._of)

        self._actions = {tokens: action for action, tokens in enumerate(self._sequences)}

    def __call__(self, rows: Sequence[int]) -> list[Node]:
        """A trie for each of some environments."""
        return self.under(self._interface.batch.observation.action_mask[list(rows)])

    def under(self, masks: np.ndarray) -> list[Node]:
        """A trie for each of some (R, A) action masks."""
        return [self._trie(mask.tobytes()) for mask in masks]

    def action(self, tokens: Sequence[int]) -> int:
        """The action that a command's tokens stand for."""
        return self._actions[tuple(tokens)]

    def path(self, mask: np.ndarray, action: int) -> tuple[list[int], list[tuple[int, ...]]]:
        """The tokens of a legal action's command, and what could have stood in the place of each, under its (A,) mask."""
        node, tokens, allowed = self._trie(mask.tobytes()), self._sequences[action], []
        for token in tokens:
            allowed.append(node.allowed)
            node = node.next[token]
        return list(tokens), allowed

    def _of(self, mask: bytes) -> Node:
        legal = np.flatnonzero(np.frombuffer(mask, self._interface.batch.observation.action_mask.dtype))
        return Node([self._sequences[action] for action in legal])
