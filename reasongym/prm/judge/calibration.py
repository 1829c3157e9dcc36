"""Calibration per criterion: p' = σ(a · logit(p) + b), fitted to labelled steps (Platt, 1999).

A judge's "yes" at 0.9 is seldom right nine times in ten, and each criterion errs its own way. Two numbers a criterion are
fitted on a validation set by Newton's method with a weak pull (`PULL`) towards a = 1, b = 0, so that a handful of labels, or
labels that are all alike, cannot run away.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

CLIP = 0.005
"""Probabilities are kept this far from 0 and 1 before the logarithm; a verdict in words says 0 or 1."""
PULL = 0.05


@dataclass(frozen=True)
class Calibration:
    """a and b of one criterion; the default changes nothing."""

    slope: float = 1.0
    offset: float = 0.0

    def __call__(self, probability: float) -> float:
        """The calibrated probability; NaN stays NaN."""
        if self == Calibration() or math.isnan(probability):
            return probability
        return float(_sigmoid(self.slope * _logit(np.array(probability)) + self.offset))


def fit(probabilities: Sequence[float] | np.ndarray, good: Sequence[bool] | np.ndarray) -> Calibration:
    """The calibration under which the labels are most likely.

    Args:
        probabilities: of the good verdict, in [0, 1]; NaN is left out.
        good: what the labels say.

    Raises:
        ValueError: lengths differ, a probability lies outside [0, 1], or nothing is left to fit to.
    """
    p, y = np.asarray(probabilities, float), np.asarray(good, float)
    if p.shape != y.shape or p.ndim != 1:
        raise ValueError(f"probabilities and labels must be one list each, of equal length; got {p.shape} and {y.shape}")
    kept = ~np.isnan(p)
    p, y = p[kept], y[kept]
    if not len(p) or p.min() < 0 or p.max() > 1:
        raise ValueError(f"calibration needs at least one scored step, with probabilities in [0, 1]; got {p!r}")
    z = np.stack([_logit(p), np.ones(len(p))], axis=1)
    start = w = np.array([1.0, 0.0])
    for _ in range(50):
        q = _sigmoid(z @ w)
        gradient = z.T @ (q - y) + PULL * (w - start)
        hessian = (z * (q * (1 - q))[:, None]).T @ z + PULL * np.eye(2)
        step = np.linalg.solve(hessian, gradient)
        w = w - step / max(1.0, float(np.abs(step).max()))  # at most 1 at a time: no overshooting
        if np.abs(step).max() < 1e-10:
            break
    return Calibration(round(float(w[0]), 6), round(float(w[1]), 6))


def checked(calibration: Mapping[str, Calibration], criteria: Sequence[str]) -> dict[str, Calibration]:
    """One calibration a criterion, the neutral one where none is given.

    Raises:
        ValueError: a name that is no criterion of the judge.
    """
    for name in calibration:
        if name not in criteria:
            raise ValueError(f"calibration names the criterion {name!r}; this judge has {', '.join(criteria)}")
    return {name: calibration.get(name, Calibration()) for name in criteria}


def _logit(p: np.ndarray) -> np.ndarray:
    p = np.clip(p, CLIP, 1 - CLIP)
    return np.log(p / (1 - p))


def _sigmoid(z: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-z))
