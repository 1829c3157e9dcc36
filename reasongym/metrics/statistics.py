"""Statistics that results are reported with."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import groupby


def wilson(right: int, total: int, z: float = 1.959964) -> tuple[float, float]:
    """95% interval of a share of `right` in `total` (Wilson, 1927); (0, 1) where nothing was counted."""
    if not total:
        return 0.0, 1.0
    share, n = right / total, total
    centre, half = share + z * z / (2 * n), z * (share * (1 - share) / n + z * z / (4 * n * n)) ** 0.5
    return max(0.0, (centre - half) / (1 + z * z / n)), min(1.0, (centre + half) / (1 + z * z / n))


def auc(scores: Sequence[float], positive: Sequence[bool]) -> float:
    """Area under the ROC curve: how often a positive scores above a negative, a tie counting half (Mann and Whitney, 1947).

    Returns:
        In [0, 1], 0.5 by chance; NaN where there is no positive or no negative.

    Raises:
        ValueError: the lengths differ, or a score is NaN.
    """
    pairs = sorted(zip(scores, positive, strict=True), key=lambda pair: pair[0])
    if any(score != score for score, _ in pairs):
        raise ValueError("a score is NaN, which has no rank: leave unscored items out, or score them 0")
    below, wins, positives = 0, 0.0, 0
    for _, group in groupby(pairs, key=lambda pair: pair[0]):
        tied = [bool(flag) for _, flag in group]
        above, negatives = sum(tied), len(tied) - sum(tied)
        wins += above * (below + negatives / 2)
        below, positives = below + negatives, positives + above
    return wins / (positives * below) if positives and below else float("nan")


def adjusted_rand(a: Sequence[object], b: Sequence[object]) -> float:
    """Adjusted Rand index of two partitions of the same things (Hubert and Arabie, 1985): pairs they agree on, less chance.

    Args:
        a, b: the part that each thing belongs to, in the same order.

    Returns:
        At most 1 (the same partition), about 0 for unrelated ones.
    """
    both, left, right = (Counter(parts) for parts in (zip(a, b, strict=True), a, b))
    together, pairs_a, pairs_b = (sum(n * (n - 1) // 2 for n in counts.values()) for counts in (both, left, right))
    pairs = len(a) * (len(a) - 1) // 2
    expected = pairs_a * pairs_b / pairs if pairs else 0.0
    most = (pairs_a + pairs_b) / 2
    return (together - expected) / (most - expected) if most != expected else 1.0
