"""The one place where randomness and stable hashes come from.

`rng(seed, *stream)` gives independent generators for any path of integers: neighbouring seeds, environments, epochs or
problems never share a stream (`seed + i` and `SeedSequence([seed, i])` both do).
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence
from typing import TypeVar

import numpy as np

T = TypeVar("T")

MASK64 = (1 << 64) - 1


def rng(seed: int, *stream: int) -> np.random.Generator:
    """A generator that is a pure function of `seed` and the path `stream`.

    Raises:
        ValueError: one of them is negative.
    """
    if seed < 0 or min(stream, default=0) < 0:
        raise ValueError(f"seed and stream must be non-negative integers, got {seed!r}, {stream!r}")
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=stream))


def hash64(text: str) -> int:
    """A stable 64-bit hash of a string (BLAKE2b), the same in every process, version and platform."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")


class Draws:
    """A small, fast stream of choices that is a pure function of a 64-bit key: what generators of one problem draw from.

    Only `Random.random` is used below, whose sequence Python guarantees from version to version.
    """

    __slots__ = ("random",)

    def __init__(self, key: int) -> None:
        self.random = random.Random(key & MASK64).random

    def below(self, n: int) -> int:
        """A whole number in [0, n)."""
        return int(self.random() * n)

    def pick(self, items: Sequence[T]) -> T:
        """One of `items`, each equally likely."""
        return items[int(self.random() * len(items))]

    def chance(self, probability: float) -> bool:
        """True with this probability."""
        return self.random() < probability

    def shuffled(self, items: Sequence[T]) -> list[T]:
        """The items in a random order (Fisher-Yates)."""
        out = list(items)
        for i in range(len(out) - 1, 0, -1):
            j = int(self.random() * (i + 1))
            out[i], out[j] = out[j], out[i]
        return out


BUCKETS = {"train": (0, 1, 2, 3, 4, 5, 6), "validation": (7,), "test": (8,), "ood": (9,)}
"""Which tenths of the hash space of canonical stories belong to a split of a procedural source."""


def story_bucket(events: object) -> int:
    """Bucket 0-9 of a canonical story (its events, not its wording, not the question)."""
    return hash64(repr(events)) % 10
