"""The audit's scripted policies, vectorised over N environments; each is a function of the situation alone.

They read observation and mask; those of the expert also read what `expert_action` reads.
Axes: N environments, K slots, A actions.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np


class Situation(NamedTuple):
    """What a policy decides on.

    Attributes:
        env: the environments, for `expert_action`; also those in words.
        observation: theirs, as of the last step.
        problem: (N,) int64, problem being played (with `step`, the key of random numbers).
        step: (N,) int64, steps taken in the episode.
        guess: the choice to guess: the training majority.
        seed: of random policies.
    """

    env: Any
    observation: dict[str, np.ndarray]
    problem: np.ndarray
    step: np.ndarray
    guess: int
    seed: int

    @property
    def mask(self) -> np.ndarray:
        """(N, A) bool, the legal actions."""
        return self.observation["action_mask"].astype(bool)

    @property
    def slots(self) -> int:
        """K."""
        return self.observation["memory_features"].shape[1]

    @property
    def answers(self) -> int:
        """The first ANSWER action."""
        return 1 + 3 * self.slots

    @property
    def reading(self) -> np.ndarray:
        """(N,) bool, the desk is not empty."""
        return self.observation["progress"][:, 2] > 0


Policy = Callable[[Situation], np.ndarray]
"""(N,) int64 actions."""


def expert(s: Situation) -> np.ndarray:
    """The best action, from support and gold."""
    return s.env.expert_action()


def random(s: Situation) -> np.ndarray:
    """Uniform over the legal actions."""
    mask = s.mask
    return (noise(s, mask.shape[1]) * mask).argmax(1)


def noise(s: Situation, width: int) -> np.ndarray:
    """(N, width) uniform in (0, 1), a pure function of (seed, problem, step): SplitMix64 of the three."""
    key = scatter(scatter(scatter(np.full(1, s.seed, np.uint64)) ^ s.problem.astype(np.uint64)) ^ s.step.astype(np.uint64))
    bits = scatter(key[:, None] + np.arange(width, dtype=np.uint64))
    return (bits >> np.uint64(11)).astype(np.float64) * 2.0**-53 + 2.0**-54


def scatter(x: np.ndarray) -> np.ndarray:
    """SplitMix64's output function (Steele, Lea & Flood, 2014) of uint64s."""
    x = x + np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def any_kind(s: Situation, of_kinds: np.ndarray, of_actions: np.ndarray) -> np.ndarray:
    """(N,) random actions: each legal kind equally likely, then each legal action of it. Both arguments (N,) in (0, 1)."""
    mask, bounds = s.mask, (0, 1, 1 + s.slots, 1 + 2 * s.slots, s.answers, s.mask.shape[1])
    kinds = np.stack([mask[:, low:high].any(1) for low, high in pairwise(bounds)], axis=1)
    kind = nth(kinds, of_kinds)
    place = np.arange(mask.shape[1])
    inside = (place >= np.array(bounds)[kind][:, None]) & (place < np.array(bounds)[kind + 1][:, None])
    return nth(mask & inside, of_actions)


def nth(flags: np.ndarray, draws: np.ndarray) -> np.ndarray:
    """(N,) index of a set flag of each row (N, A) bool, by a draw (N,) in (0, 1); 0 where none is set."""
    counts = flags.cumsum(1)
    return (counts > np.floor(draws * counts[:, -1])[:, None]).argmax(1)


def wandering(epsilon: float) -> Policy:
    """The expert, with a random legal action (each kind equally likely) in a share `epsilon` of the steps."""

    def policy(s: Situation) -> np.ndarray:
        draws = noise(s, 3)
        return np.where(draws[:, 0] < epsilon, any_kind(s, draws[:, 1], draws[:, 2]), s.env.expert_action())

    return policy


def guess(s: Situation) -> np.ndarray:
    """The training majority."""
    return np.full(len(s.step), s.answers + s.guess)


def answer_at_once(s: Situation) -> np.ndarray:
    """NEXT to the end, then guesses."""
    return np.where(s.reading, 0, guess(s))


def last_unit(s: Situation) -> np.ndarray:
    """Keeps only the unit read last, recalls it, guesses."""
    if s.slots == 0:
        return answer_at_once(s)
    first_recall, mask = 1 + 2 * s.slots, s.mask
    return np.where(s.reading, np.where(mask[:, 1], 1, 0), np.where(mask[:, first_recall], first_recall, guess(s)))


def keep(s: Situation) -> np.ndarray:
    """Keeps every unit: fills a slot, then the next, then begins again with the first (of the orders tried, what pays most)."""
    if s.slots == 0:
        return np.zeros(len(s.step), np.int64)
    width = s.observation["memory_positions"].shape[2]
    slot = s.step // width % s.slots
    action = np.where(s.step % width == 0, 1 + slot, 1 + s.slots + slot)
    return np.where(s.mask[np.arange(len(slot)), action], action, 0)


def hoard(s: Situation) -> np.ndarray:
    """Keeps every unit it can, then guesses."""
    return np.where(s.reading, keep(s), guess(s))


def recall_all(s: Situation) -> np.ndarray:
    """Keeps every unit it can, recalls every slot, guesses."""
    return np.where(s.reading, keep(s), first_recall(s, guess(s)))


def first_recall(s: Situation, otherwise: np.ndarray) -> np.ndarray:
    """The first legal RECALL, else another action."""
    recalls = s.mask[:, 1 + 2 * s.slots : s.answers]
    return np.where(recalls.any(1), 1 + 2 * s.slots + recalls.argmax(1), otherwise) if s.slots else otherwise


def stall(s: Situation) -> np.ndarray:
    """Keeps every unit it can, then never answers: NEXT on an empty desk, the cheapest step that changes nothing."""
    return np.where(s.reading, keep(s), 0)


def expert_then_guess(s: Situation) -> np.ndarray:
    """The expert, but for its answer, which is guessed."""
    action = s.env.expert_action()
    return np.where(action >= s.answers, guess(s), action)


POLICIES: dict[str, Policy] = {
    "expert": expert,
    "random": random,
    "stall": stall,
    "hoard": hoard,
    "recall-all": recall_all,
    "answer-at-once": answer_at_once,
    "last-unit": last_unit,
    "expert-then-guess": expert_then_guess,
}
"""The audited policies by name."""
