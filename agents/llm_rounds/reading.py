"""What a language model reads in its rounds: prompts, held once, and what is learned from them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

if TYPE_CHECKING:
    from agents.llm_ppo import LLMPPO

Read = dict[str, np.ndarray]
"""What the model read in F situations: `prompt` (F,) places in `Prompts`, `action_mask` (F, A)."""


class Prompts:
    """Prompts by number, each held once."""

    def __init__(self) -> None:
        self._held: list[np.ndarray] = []
        self._places: dict[bytes, int] = {}

    def add(self, prompt: Sequence[int]) -> int:
        """The number of a prompt."""
        row = np.asarray(prompt, np.int32)
        place = self._places.setdefault(row.tobytes(), len(self._held))
        if place == len(self._held):
            self._held.append(row)
        return place

    def __getitem__(self, place: int) -> list[int]:
        return self._held[place].tolist()


@dataclass(frozen=True)
class Lessons:
    """Turns to learn from: what was read, done, and earned from there on (F,)."""

    read: Read
    actions: np.ndarray
    returns: np.ndarray

    def take(self, rows: np.ndarray) -> tuple[Read, np.ndarray, np.ndarray]:
        """Some of them."""
        return {key: value[rows] for key, value in self.read.items()}, self.actions[rows], self.returns[rows]

    def draw(self, count: int, generator: torch.Generator) -> tuple[Read, np.ndarray, np.ndarray]:
        """So many, with repetition."""
        return self.take(torch.randint(len(self.actions), (count,), generator=generator).numpy())


def shown(learner: LLMPPO, rows: np.ndarray) -> list[list[int]]:
    """What the model is shown now in some of the environments that it plays in."""
    interface = learner.player.interface
    assert interface is not None
    return [learner.backend.prompter(interface.messages(i), learner.room) for i in rows.tolist()]


def split(rows: np.ndarray, size: int) -> list[np.ndarray]:
    """Rows in parts of at most so many."""
    return [rows[i : i + size] for i in range(0, len(rows), size)]
