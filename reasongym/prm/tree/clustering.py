"""Average-linkage clustering of unit vectors: the order-free form of the reward tree, and what its thresholds are chosen with.

Two clusters lie as far apart as their members do on average (UPGMA, Sokal and Michener, 1958), in cosine distance. One
dendrogram cut twice gives two nested partitions: criteria within ξ_merge are one, those within ξ_coarse share a parent.

Axes: n vectors, d dimensions.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from reasongym.prm.tree.embedding import distances


class Join(NamedTuple):
    """Clusters `left` and `right` (0 ... n-1 the vectors, n + i the i-th join) become one at this average distance."""

    left: int
    right: int
    distance: float


def average_linkage(vectors: np.ndarray) -> list[Join]:
    """The n - 1 joins of (n, d) vectors, nearest first; of equal distances the pair that comes first in the rows."""
    n = len(vectors)
    apart = distances(vectors, vectors).astype(float)
    np.fill_diagonal(apart, np.inf)
    names, sizes = np.arange(n), np.ones(n)
    joins: list[Join] = []
    floor = 0.0
    for i in range(n - 1):
        a, b = divmod(int(np.argmin(apart)), n)
        a, b = min(a, b), max(a, b)
        floor = max(floor, float(apart[a, b]))  # average linkage never goes back, but for rounding
        joins.append(Join(int(names[a]), int(names[b]), floor))
        row = (sizes[a] * apart[a] + sizes[b] * apart[b]) / (sizes[a] + sizes[b])
        apart[a], apart[:, a] = row, row
        apart[a, a] = np.inf
        apart[b], apart[:, b] = np.inf, np.inf
        names[a], sizes[a] = n + i, sizes[a] + sizes[b]
    return joins


def cut(joins: list[Join], n: int, distance: float) -> np.ndarray:
    """(n,) cluster of each vector, numbered by first member, when only the joins up to `distance` are made."""
    members = [[i] for i in range(n)]
    part = np.arange(n)
    for left, right, apart in joins:
        members.append(members[left] + members[right])
        if apart <= distance:
            part[members[-1]] = min(part[members[-1]])
    return np.unique(part, return_inverse=True)[1]


def halves(vectors: np.ndarray) -> np.ndarray:
    """(n,) bool: the two clusters that the last join of n >= 2 vectors put together."""
    joins = average_linkage(vectors)
    return cut(joins[:-1], len(vectors), np.inf) == 0
