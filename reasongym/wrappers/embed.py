"""`EmbedObservation`: hashed bag-of-words features instead of token ids, so that a plain MLP policy can learn.

Every block of tokens (the question, the desk's unit, each slot, the chain, its last link) becomes a bag of words of length 1
in `dimensions` signed buckets (Weinberger et al., 2009, arXiv 0902.2206), exact where there are as many buckets as words.
Word order is lost. Because an MLP learns only slowly to compare two sums of words, `matches` says how much each slot, and
the desk's unit, has in common with the question and with the last link (cosines). What is no text is passed on as it is.

Axes: n environments, K slots, H links, D dimensions, L tokens of a block.
"""

from __future__ import annotations

import gymnasium as gym
import numpy as np
from gymnasium.vector import VectorEnv

from reasongym.seeding import hash64
from reasongym.wrappers.base import Observations, SingleTransform, VectorTransform, dict_space

DIMENSIONS = 160
"""Default of D: bAbI's 156 words and the padding fit without collisions."""
TEXTS = ("question", "unit", "memory", "chain")


class Embedding:
    """See the module's docstring."""

    def __init__(self, space: gym.spaces.Dict, dimensions: int) -> None:
        if isinstance(dimensions, bool) or not isinstance(dimensions, (int, np.integer)) or dimensions < 1:
            raise ValueError(f"dimensions must be a whole number of at least 1, got {dimensions!r}")
        self.dimensions = int(dimensions)
        boxes = {key: box for key, box in space.spaces.items() if isinstance(box, gym.spaces.Box)}
        words = int(boxes["question"].high.max()) + 1
        ids = np.arange(words)
        hashes = np.array([hash64(f"word {i}") for i in ids], dtype=np.uint64)
        exact = words <= self.dimensions
        self._bucket = ids if exact else (hashes >> np.uint64(1)).astype(np.int64) % self.dimensions
        self._sign = np.ones(words) if exact else np.where(hashes & np.uint64(1), 1.0, -1.0)
        self._sign[0] = 0  # padding
        slots = boxes["memory"].shape[0]
        shapes = {
            "question": (self.dimensions,),
            "unit": (self.dimensions,),
            "memory": (slots, self.dimensions),
            "chain": (self.dimensions,),
            "last_link": (self.dimensions,),
            "matches": (slots + 1, 2),
        }
        spaces: dict[str, gym.Space] = {k: gym.spaces.Box(-1.0, 1.0, shape, np.float32) for k, shape in shapes.items()}
        self._passed_on = [key for key in space.spaces if key not in TEXTS]
        self.space: gym.Space = gym.spaces.Dict({**spaces, **{key: space[key] for key in self._passed_on}})

    def __call__(self, observations: Observations, n: int) -> Observations:
        """The features of n environments."""
        question, unit, memory = (self._bags(observations[key]) for key in ("question", "unit", "memory"))
        chain = observations["chain"]
        links = (chain != 0).any(2).sum(1)
        last = chain[np.arange(n), links - 1] * (links > 0)[:, None] if chain.shape[1] else chain.sum(1)
        last_link = self._bags(last)
        compared = np.concatenate([memory, unit[:, None]], axis=1)
        against = np.stack([question, last_link], axis=2)
        features = {
            "question": question,
            "unit": unit,
            "memory": memory,
            "chain": self._bags(chain.reshape(n, -1)),
            "last_link": last_link,
            "matches": np.clip(compared @ against, -1, 1),
        }
        return {**features, **{key: observations[key] for key in self._passed_on}}

    def _bags(self, tokens: np.ndarray) -> np.ndarray:
        """(..., L) token ids -> (..., D) float32 of length 1, or 0 for an empty block."""
        blocks = tokens.reshape(int(np.prod(tokens.shape[:-1])), tokens.shape[-1])
        cells = np.arange(len(blocks))[:, None] * self.dimensions + self._bucket[blocks]
        bags = np.bincount(cells.ravel(), self._sign[blocks].ravel(), len(blocks) * self.dimensions)
        bags = bags.reshape(len(blocks), self.dimensions)
        length = np.sqrt((bags * bags).sum(1, keepdims=True))
        return (bags / np.maximum(length, 1e-9)).astype(np.float32).reshape(*tokens.shape[:-1], self.dimensions)


class EmbedObservation(SingleTransform):
    """One environment with hashed bag-of-words features; see the module's docstring.

    Args:
        env: a ReasonGym environment with array observations.
        dimensions: D, buckets of a bag.
    """

    def __init__(self, env: gym.Env, *, dimensions: int = DIMENSIONS) -> None:
        super().__init__(
            env, Embedding(dict_space(env.observation_space, "EmbedObservation"), dimensions), dimensions=dimensions
        )


class VectorEmbedObservation(VectorTransform):
    """A vector of environments with hashed bag-of-words features; arguments as for `EmbedObservation`."""

    def __init__(self, env: VectorEnv, *, dimensions: int = DIMENSIONS) -> None:
        super().__init__(env, Embedding(dict_space(env.single_observation_space, "VectorEmbedObservation"), dimensions))
