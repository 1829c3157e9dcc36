"""A bonus for what was seldom seen: the usual help where rewards are sparse, to compare process rewards with.

Counts of hashed observations (Tang et al. 2017, "#Exploration", arXiv 1611.04717): `r+ = r + b / sqrt(n(code(s)))`, where
code(s) is the signs of random projections (SimHash, Charikar 2002) of what is on the desk, in memory and in the chain, and n
counts how often a code was met, this time included. Observations that share most words share a code, so a bonus fades over
problems, not over steps of one problem alone.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from stable_baselines3.common.vec_env import VecEnv, VecEnvWrapper

from reasongym.seeding import rng

PARTS = ("question", "unit", "memory", "chain")
"""What is hashed: words count where they stand, in the desk or in memory, and not in which slot."""
NOVELTY = 0x6E6F76
"""Stream of the projections' generator, apart from those of the same seed elsewhere."""


class Novelty(VecEnvWrapper):
    """Adds the bonus to the rewards of training environments.

    Args:
        venv: environments whose observations are a `Dict` with the keys of `PARTS`.
        weight: b, the bonus of a code that is met for the first time.
        bits: of a code; fewer take more observations for the same.
        seed: of the projections.

    Raises:
        ValueError: `weight` or `bits` is out of range, or the observations lack a key.
    """

    def __init__(self, venv: VecEnv, weight: float = 0.05, bits: int = 24, seed: int = 0) -> None:
        if not (np.isfinite(weight) and weight > 0):
            raise ValueError(f"the weight of the bonus must be positive, got {weight!r}")
        if not 1 <= bits <= 62:
            raise ValueError(f"bits must lie in [1, 62], got {bits!r}")
        spaces = getattr(venv.observation_space, "spaces", {})
        if missing := [part for part in PARTS if part not in spaces]:
            raise ValueError(f"Novelty hashes {', '.join(PARTS)}: these observations lack {', '.join(missing)}")
        super().__init__(venv)
        tokens = 1 + max(int(spaces[part].high.max()) for part in PARTS if np.prod(spaces[part].shape))
        drawn = rng(seed, NOVELTY).standard_normal((len(PARTS), tokens, bits), dtype=np.float32)
        drawn[:, 0] = 0  # padding
        self.weight, self._projections, self._place = weight, drawn, 1 << np.arange(bits, dtype=np.int64)
        self.counts: dict[int, int] = {}

    def codes(self, observation: Any) -> np.ndarray:
        """(N,) codes of observations."""
        summed = np.zeros((self.num_envs, self._projections.shape[-1]), np.float32)
        for part, table in zip(PARTS, self._projections, strict=True):
            tokens = observation[part].reshape(self.num_envs, -1)
            rows, columns = np.nonzero(tokens)
            np.add.at(summed, rows, table[tokens[rows, columns]])
        return (summed > 0) @ self._place

    def bonus(self, observation: Any) -> np.ndarray:
        """(N,) bonuses of observations, which are counted."""
        codes = self.codes(observation).tolist()
        for code in codes:
            self.counts[code] = self.counts.get(code, 0) + 1
        return self.weight / np.sqrt([self.counts[code] for code in codes])

    def reset(self) -> Any:
        return self.venv.reset()

    def get_state(self) -> dict[str, Any]:
        """The environments' state and the counts."""
        return {"environments": self.venv.get_state(), "counts": dict(self.counts)}  # type: ignore[attr-defined]

    def set_state(self, state: dict[str, Any]) -> None:
        """Resumes from `get_state`."""
        self.venv.set_state(state["environments"])  # type: ignore[attr-defined]
        self.counts = dict(state["counts"])

    def step_wait(self) -> Any:
        observation, rewards, dones, infos = self.venv.step_wait()
        return observation, (rewards + np.where(dones, 0.0, self.bonus(observation))).astype(np.float32), dones, infos
