"""`keeping`: what a step did to the share of the support that memory holds, as a label.

It is the utility `coverage` step by step, in [-1, 1], so a PRM that learns it values what is kept and dropped without reading
the support: a learned g(WM_t). An agent that is paid by such a PRM plays with `utility="none"`, or is paid twice.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np

from reasongym.prm.base import StepBatch


class KeepingPRM:
    """The change of coverage: positive where a supporting fact comes into memory, negative where the last copy of one goes.
    Unscored where support is unknown; 0 where there is none."""

    criteria: tuple[str, ...] = ("keeping",)
    needs_annotation = True
    version = "keeping-1"
    default_beta: Mapping[str, float] = MappingProxyType({"keeping": 0.3})

    def score(self, steps: StepBatch) -> np.ndarray:
        """(n, 1) float32 in [-1, 1], NaN = unscored."""
        seen = steps.annotation
        before, after = (_distinct(bits) for bits in (seen.needed_before, seen.needed_after))
        change = (after - before) / np.maximum(seen.num_support, 1)
        return np.where(seen.num_support < 0, np.nan, change).astype(np.float32)[:, None]


def _distinct(needed: np.ndarray) -> np.ndarray:
    """(n,) how many supporting facts are held at least once, from (n, K, U) bits."""
    if not needed.size:
        return np.zeros(len(needed), np.int64)
    held = np.bitwise_or.reduce(needed.reshape(len(needed), -1), axis=1)
    return (held[:, None] >> np.arange(32) & 1).sum(axis=1)
