"""`FlattenTokens`: the whole observation as one row of numbers, and the mask of legal actions.

Two forms, by the argument `mask`:

- "observation" (default): `Dict(observations=Box (D,) float32, action_mask=Box (A,) int8)`, the keys that RLlib's
  action-masking models read;
- "info": the Box alone, as CleanRL's scripts want it; the mask is in `info["action_mask"]` and `env.action_masks()`.

Token ids become floats as they are (exact up to 2^24): a network should look them up again, not treat them as sizes.
`env.parts` says where each key lies, `parts["memory"] = Part(slice(16, 96), (10, 8))`, and `unflatten` gives it its shape back:

    memory = env.unflatten(observations, "memory")      # (..., 10, 8)
"""

from __future__ import annotations

from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np
from gymnasium.vector import VectorEnv

from reasongym.errors import unknown
from reasongym.wrappers.base import Observations, SingleTransform, VectorTransform, dict_space


class Part(NamedTuple):
    """Where a key lies in the flat observation, and the shape it had."""

    where: slice
    shape: tuple[int, ...]


class Flattening:
    """See the module's docstring."""

    def __init__(self, space: gym.spaces.Dict, mask: str) -> None:
        if mask not in ("observation", "info"):
            raise unknown("place of the mask", mask, ("observation", "info"))
        self.mask = mask
        self.parts: dict[str, Part] = {}
        size, bounds = 0, []
        for key, box in space.spaces.items():
            if key == "action_mask" or not isinstance(box, gym.spaces.Box):
                continue
            length = int(np.prod(box.shape))
            self.parts[key] = Part(slice(size, size + length), box.shape)
            bounds.append((box.low.ravel(), box.high.ravel()))
            size += length
        low, high = (np.concatenate(b).astype(np.float32) for b in zip(*bounds, strict=True))
        flat = gym.spaces.Box(low, high, dtype=np.float32)
        masks = {"observations": flat, "action_mask": space["action_mask"]}
        self.space: gym.Space = gym.spaces.Dict(masks) if mask == "observation" else flat

    def __call__(self, observations: Observations, n: int) -> Any:
        """(n, D) float32, with or without the masks (n, A)."""
        flat = np.concatenate([observations[k].reshape(n, -1) for k in self.parts], axis=1, dtype=np.float32, casting="unsafe")
        if self.mask == "info":
            return flat
        return {"action_mask": observations["action_mask"], "observations": flat}

    def unflatten(self, observations: Any, key: str) -> Any:
        """One key of flat observations (..., D), an array or a tensor, in its own shape (..., *shape)."""
        if key not in self.parts:
            raise unknown("key of the observation", key, self.parts)
        where, shape = self.parts[key]
        return observations[..., where].reshape(*observations.shape[:-1], *shape)


class FlattenTokens(SingleTransform):
    """One environment with flat observations; see the module's docstring.

    Args:
        env: a ReasonGym environment with array observations.
        mask: "observation" or "info".
    """

    def __init__(self, env: gym.Env, *, mask: str = "observation") -> None:
        flattening = Flattening(dict_space(env.observation_space, "FlattenTokens"), mask)
        super().__init__(env, flattening, mask=mask)
        self.parts, self.unflatten = flattening.parts, flattening.unflatten


class VectorFlattenTokens(VectorTransform):
    """A vector of environments with flat observations; arguments as for `FlattenTokens`."""

    def __init__(self, env: VectorEnv, *, mask: str = "observation") -> None:
        flattening = Flattening(dict_space(env.single_observation_space, "VectorFlattenTokens"), mask)
        super().__init__(env, flattening)
        self.parts, self.unflatten = flattening.parts, flattening.unflatten
