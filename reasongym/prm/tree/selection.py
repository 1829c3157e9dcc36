"""Which criteria of a reward tree a step is judged on.

`DynamicSelection`, in two stages: *coarse* criteria from the step and the μ steps before it (within ξ_coarse of an aspect of
any of them, or named by the judge), then *fine* ones of those within ζ of an aspect of the step itself. Where nothing is in
reach the nearest stands in, and the step is marked; at most `budget` are kept, each aspect's nearest before any
aspect's second.

The others are what it is compared with: every criterion, as many drawn at random, the same ones at every step.

Axes: n contexts, f fine criteria, b selected criteria at most.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np

from reasongym.prm.tree.aspects import AspectReader, Aspects, RelationAspects
from reasongym.prm.tree.context import Context
from reasongym.prm.tree.embedding import Embedder, embedded
from reasongym.prm.tree.tree import RewardTree
from reasongym.seeding import hash64, rng


class Selection(NamedTuple):
    """Criteria by step.

    Attributes:
        fine: (n, b) int32 indices into `tree.fine`, nearest first; -1 after the last.
        distance: (n, b) float64, of the aspect that selected it; NaN where no distance was asked for.
        fallback: (n,) bool, nothing was in reach and the nearest stands in.
    """

    fine: np.ndarray
    distance: np.ndarray
    fallback: np.ndarray


class Selector(Protocol):
    """Selects criteria.

    Attributes:
        mu: how many earlier steps it reads.
        version: part of every cache key and record.
    """

    @property
    def mu(self) -> int: ...

    @property
    def version(self) -> str: ...

    def select(self, tree: RewardTree, contexts: Sequence[Context]) -> Selection:
        """At least one criterion for every context."""
        ...


class DynamicSelection:
    """See the module's docstring.

    Args:
        embedder: the tree's.
        aspects: reads the aspects of a step; by rule unless given.
        mu: μ, how many earlier steps are read.
        budget: most criteria of a step.
    """

    def __init__(self, embedder: Embedder, aspects: AspectReader | None = None, *, mu: int = 2, budget: int = 4) -> None:
        self.mu, self.budget = _whole("mu", mu, 0), _whole("budget", budget, 1)
        self.aspects: AspectReader = aspects or RelationAspects()
        self._embedder = embedder
        self._vectors: dict[str, np.ndarray] = {}

    @property
    def version(self) -> str:
        """Changes with what reads the aspects."""
        return f"dynamic-1(mu={self.mu}, budget={self.budget}, {self.aspects.version})"

    def select(self, tree: RewardTree, contexts: Sequence[Context]) -> Selection:
        """One to `budget` criteria for every context.

        Raises:
            PRMError: the embedder is not the tree's.
            ValueError: the tree is empty.
        """
        _filled(tree)
        coarse_means, fine_means = tree.centroids(self._embedder)
        cut = [
            context._replace(earlier=context.earlier[len(context.earlier) - min(self.mu, len(context.earlier)) :])
            for context in contexts
        ]
        rows = []
        for context in cut:
            own = self.aspects.read(tree, context)
            coarse = self._coarse(tree, context, own, coarse_means)
            rows.append(self._fine(tree, own, coarse, fine_means))
        return _padded(rows)

    def _coarse(self, tree: RewardTree, context: Context, own: Aspects, means: np.ndarray) -> np.ndarray:
        """(c,) bool, the coarse criteria of the step and the steps before it; the nearest where none is in reach."""
        if own.coarse is not None:
            return np.isin(np.arange(len(tree.coarse)), own.coarse)
        phrases = list(own.phrases)
        for j, earlier in enumerate(context.earlier):
            phrases += self.aspects.read(tree, Context(context.prompt, context.earlier[:j], earlier)).phrases
        apart = self._distances(phrases, means).min(axis=0)
        reached = apart <= tree.thresholds.coarse
        return reached if reached.any() else apart == apart.min()

    def _fine(
        self, tree: RewardTree, own: Aspects, coarse: np.ndarray, means: np.ndarray
    ) -> tuple[list[int], list[float], bool]:
        """Indices and distances of fine criteria, and whether they are stand-ins."""
        apart = np.where(coarse[tree.parent], self._distances(own.phrases, means), np.inf)
        within = apart <= tree.thresholds.aspect
        fallback = not within.any()
        if fallback:
            within = apart == apart.min()
        order = np.argsort(apart, axis=1, kind="stable")
        found: dict[int, float] = {}
        for place in range(apart.shape[1]):  # each aspect's nearest, then each one's second
            for p in range(len(apart)):
                f = int(order[p, place])
                if within[p, f]:
                    found.setdefault(f, float(apart[p, f]))
        kept = list(found.items())[: 1 if fallback else self.budget]
        return [f for f, _ in kept], [d for _, d in kept], fallback

    def _distances(self, phrases: Sequence[str], means: np.ndarray) -> np.ndarray:
        """(phrases, criteria) average distances to the wordings of each criterion."""
        new = [phrase for phrase in dict.fromkeys(phrases) if phrase not in self._vectors]
        self._vectors.update(zip(new, embedded(self._embedder, new), strict=True))
        return np.clip(1 - np.stack([self._vectors[phrase] for phrase in phrases]) @ means.T, 0, 2)


class AllCriteria:
    """No selection: every fine criterion at every step. Costs f calls of the scorer a step."""

    mu, version = 0, "all-1"

    def select(self, tree: RewardTree, contexts: Sequence[Context]) -> Selection:
        """All of them, for every context."""
        _filled(tree)
        return _padded([(list(range(len(tree.fine))), [np.nan] * len(tree.fine), False)] * len(contexts))


class RandomSelection:
    """As many criteria as another selector takes at the same step, drawn at random: what is left when only the number counts.

    Args:
        like: whose numbers are matched.
        seed: of the draw, which is a pure function of it and of the context.
    """

    def __init__(self, like: Selector, *, seed: int = 0) -> None:
        self._like, self._seed, self.mu = like, seed, like.mu

    @property
    def version(self) -> str:
        """Changes with the selector that it is like."""
        return f"random-1(seed={self._seed}, like={self._like.version})"

    def select(self, tree: RewardTree, contexts: Sequence[Context]) -> Selection:
        """Distinct criteria, for every context."""
        counts = (self._like.select(tree, contexts).fine >= 0).sum(axis=1)
        rows = []
        for context, count in zip(contexts, counts.tolist(), strict=True):
            drawn = rng(self._seed, hash64(repr(context))).permutation(len(tree.fine))[:count].tolist()
            rows.append((drawn, [np.nan] * count, False))
        return _padded(rows)


class FixedSelection:
    """A flat rubric: the same criteria at every step.

    Args:
        ids: of the fine criteria; by default the `budget` that were named most.
        budget: how many, where no ids are given.
    """

    mu = 0

    def __init__(self, ids: Sequence[str] | None = None, *, budget: int = 4) -> None:
        self._ids, self._budget = None if ids is None else tuple(ids), _whole("budget", budget, 1)
        self.version = f"fixed-1({', '.join(self._ids) if self._ids else f'budget={budget}'})"

    def select(self, tree: RewardTree, contexts: Sequence[Context]) -> Selection:
        """The same criteria for every context.

        Raises:
            UnknownNameError: an id is not in the tree.
        """
        _filled(tree)
        if self._ids is None:
            support = [-fine.support for fine in tree.fine]
            chosen = np.argsort(support, kind="stable")[: self._budget].tolist()
        else:
            chosen = [tree.fine.index(tree.find(id)) for id in self._ids]
        return _padded([(chosen, [np.nan] * len(chosen), False)] * len(contexts))


def _padded(rows: Sequence[tuple[list[int], list[float], bool]]) -> Selection:
    width = max((len(fine) for fine, _, _ in rows), default=0)
    fine, distance = np.full((len(rows), width), -1, np.int32), np.full((len(rows), width), np.nan)
    for i, (chosen, apart, _) in enumerate(rows):
        fine[i, : len(chosen)], distance[i, : len(chosen)] = chosen, apart
    return Selection(fine, distance, np.array([fallback for _, _, fallback in rows], bool))


def _filled(tree: RewardTree) -> None:
    if not tree.fine:
        raise ValueError("this reward tree has no criteria yet; grow it first with reasongym.prm.tree.grow")


def _whole(name: str, value: object, least: int) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
        raise ValueError(f"{name} must be a whole number of at least {least}, got {value!r}")
    return int(value)
