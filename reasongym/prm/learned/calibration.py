"""From logits to probabilities that can be believed: Platt scaling, per criterion (Platt, 1999; Guo et al., 2017, arXiv
1706.04599).

p = sigmoid(a z + b). With `balanced`, errors and sound steps weigh alike, so that p answers: of as many errors as sound steps
that look like this one, how many are sound? Steps of an episode are mostly sound, so without it p is hardly ever low.
"""

from __future__ import annotations

import numpy as np


def fit_platt(logits: np.ndarray, labels: np.ndarray, *, balanced: bool = False, steps: int = 100) -> tuple[float, float]:
    """(a, b) of least cross-entropy, by Newton's method; a > 0.

    Args:
        logits: (n,).
        labels: (n,) in [-1, 1], NaN = unscored.
        balanced: weigh labels below 0 and the others alike.
        steps: of Newton's method, at most.

    Raises:
        ValueError: nothing is scored, or `balanced` and one side is missing.
    """
    known = ~np.isnan(labels)
    z, p = logits[known].astype(np.float64), (labels[known].astype(np.float64) + 1) / 2
    if not len(z):
        raise ValueError("no scored labels to calibrate on")
    weight = np.full(len(z), 1 / len(z))
    if balanced:
        wrong = labels[known] < 0
        if wrong.all() or not wrong.any():
            raise ValueError("balanced calibration needs errors and sound steps, got only one of them")
        weight = np.where(wrong, 0.5 / wrong.sum(), 0.5 / (~wrong).sum())
    a, b, prior = 1.0, 0.0, 1e-3  # a weak pull to (1, 0): separable labels have no best scale

    def loss(a: float, b: float) -> float:
        x = a * z + b
        return float(weight @ (np.logaddexp(0, x) - p * x) + prior * ((np.log(max(a, 1e-6))) ** 2 + b * b) / 2)

    for _ in range(steps):
        x = a * z + b
        q = 1 / (1 + np.exp(-np.clip(x, -60, 60)))
        error, curve = weight * (q - p), weight * q * (1 - q)
        gradient = np.array([error @ z + prior * np.log(a) / a, error.sum() + prior * b])
        hessian = np.array([[curve @ (z * z) + prior / a**2, curve @ z], [curve @ z, curve.sum() + prior]])
        move = np.linalg.solve(hessian + 1e-9 * np.eye(2), gradient)
        size, now = 1.0, loss(a, b)
        while size > 1e-6 and (a - size * move[0] <= 1e-4 or loss(a - size * move[0], b - size * move[1]) > now + 1e-15):
            size /= 2
        if size <= 1e-6 or np.abs(size * move).max() < 1e-7:
            break
        a, b = a - size * float(move[0]), b - size * float(move[1])
    return a, b
