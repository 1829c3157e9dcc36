"""Statistics that results are reported with."""

from __future__ import annotations


def wilson(right: int, total: int, z: float = 1.959964) -> tuple[float, float]:
    """95% interval of a share of `right` in `total` (Wilson, 1927); (0, 1) where nothing was counted."""
    if not total:
        return 0.0, 1.0
    share, n = right / total, total
    centre, half = share + z * z / (2 * n), z * (share * (1 - share) / n + z * z / (4 * n * n)) ** 0.5
    return max(0.0, (centre - half) / (1 + z * z / n)), min(1.0, (centre + half) / (1 + z * z / n))
