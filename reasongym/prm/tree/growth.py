"""How a reward tree becomes its next version: criteria inserted one by one, two trees merged, all clustered again.

Insertion, for one wording x, with distances averaged over the wordings of a criterion:

1. a wording that is known is counted once more;
2. the nearest fine criterion within ξ_merge takes x in;
3. else x is a new fine criterion of the nearest coarse one within ξ_coarse;
4. else x is a new coarse criterion with one fine one.

Where one ends up this way depends on the order. So `grow` ends, by default, with `recluster`: the average-linkage dendrogram
of all wordings, cut at ξ_merge and ξ_coarse, which no order changes. Coarse names and fine ids go to the cluster that keeps
most of their wordings. A coarse criterion with more than half of all fine ones is cut in two until none has.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from reasongym.errors import PRMError
from reasongym.prm.tree.clustering import average_linkage, cut, halves
from reasongym.prm.tree.embedding import Embedder, distances, embedded, normalised
from reasongym.prm.tree.tree import Coarse, Fine, RewardTree, slug
from reasongym.seeding import hash64

Groups = list[list[list[str]]]
"""Wordings of each fine criterion of each coarse one."""


def grow(tree: RewardTree, criteria: Iterable[str], embedder: Embedder, *, recluster_all: bool = True) -> RewardTree:
    """The next version: the criteria inserted one after another, then clustered again.

    Args:
        tree: the version to grow from; it stays as it is.
        criteria: wordings, in the order in which they are inserted; a repeated one counts as often as it occurs.
        embedder: the tree's own.
        recluster_all: whether order is made irrelevant at the end; without it, no coarse criterion is cut in two either.

    Raises:
        PRMError: another embedder.
        ValueError: an empty wording.
    """
    tree.check_embedder(embedder)
    named = [text.strip() for text in criteria]
    if not all(named):
        raise ValueError("a criterion is a text, got an empty one; filter raw criteria with reasongym.prm.tree.raw_criteria")
    counts = {text: count for fine in tree.fine for text, count in fine.wordings.items()}
    vectors = _Vectors(embedder, [*counts, *named])
    groups = [[list(fine.wordings) for fine in coarse.fine] for coarse in tree.coarse]
    for text in named:
        if text not in counts:
            _insert(groups, text, vectors, tree)
        counts[text] = counts.get(text, 0) + 1
    if recluster_all:
        groups = _clustered(list(counts), vectors, tree)
    return _tree(tree, [tree], groups, counts, vectors)


def recluster(tree: RewardTree, embedder: Embedder) -> RewardTree:
    """The next version, of the same wordings, with no trace of the order in which they came."""
    return grow(tree, (), embedder)


def merge(first: RewardTree, second: RewardTree, embedder: Embedder) -> RewardTree:
    """The tree of both trees' wordings, each counted as often as in both; names and ids of `first` go before those of `second`.

    Raises:
        PRMError: the trees belong to different embedders, or have different thresholds.
    """
    for tree in (first, second):
        tree.check_embedder(embedder)
    if first.thresholds != second.thresholds:
        raise PRMError(f"trees of different thresholds cannot be merged: {first.thresholds} and {second.thresholds}")
    counts: dict[str, int] = {}
    for fine in (*first.fine, *second.fine):
        for text, count in fine.wordings.items():
            counts[text] = counts.get(text, 0) + count
    vectors = _Vectors(embedder, list(counts))
    base = replace(first, generation=max(first.generation, second.generation))
    return _tree(base, [first, second], _clustered(list(counts), vectors, first), counts, vectors)


class _Vectors:
    """Unit vectors by text."""

    def __init__(self, embedder: Embedder, texts: Sequence[str]) -> None:
        distinct = list(dict.fromkeys(texts))
        self._rows = {text: i for i, text in enumerate(distinct)}
        self._vectors = embedded(embedder, distinct)

    def of(self, texts: Sequence[str]) -> np.ndarray:
        return self._vectors[[self._rows[text] for text in texts]]

    def medoid(self, texts: Sequence[str], counts: Mapping[str, int]) -> str:
        """The text nearest to all on average, each weighted by how often it was named; of equals the first by spelling."""
        texts = sorted(texts)
        weights = np.array([counts[text] for text in texts], dtype=float)
        apart = distances(self.of(texts), self.of(texts)) @ weights
        return texts[int(np.argmin(np.round(apart, 9)))]


def _insert(groups: Groups, text: str, vectors: _Vectors, tree: RewardTree) -> None:
    """Steps 2 to 4."""
    x = vectors.of([text])[0]
    fine = [(1 - vectors.of(wordings).mean(0) @ x, wordings) for coarse in groups for wordings in coarse]
    if fine:
        apart, wordings = min(fine, key=lambda pair: pair[0])
        if apart <= tree.thresholds.merge:
            wordings.append(text)
            return
        near = [1 - vectors.of([t for wordings in coarse for t in wordings]).mean(0) @ x for coarse in groups]
        if min(near) <= tree.thresholds.coarse:
            groups[int(np.argmin(near))].append([text])
            return
    groups.append([[text]])


def _clustered(texts: Sequence[str], vectors: _Vectors, tree: RewardTree) -> Groups:
    """The dendrogram of all wordings, sorted so that no order counts, cut twice; then none above half."""
    texts = sorted(texts)
    if not texts:
        return []
    joins = average_linkage(vectors.of(texts))
    fine, coarse = (cut(joins, len(texts), at) for at in (tree.thresholds.merge, tree.thresholds.coarse))
    groups: Groups = []
    for c in range(coarse.max() + 1):
        parts = dict.fromkeys(fine[coarse == c].tolist())
        groups.append([[texts[i] for i in np.flatnonzero(fine == part)] for part in parts])
    return _balanced(groups, vectors)


def _balanced(groups: Groups, vectors: _Vectors) -> Groups:
    """Cuts in two, where their average-linkage dendrogram joins last, what holds more than half of all fine criteria."""
    total = sum(map(len, groups))
    out: Groups = []
    waiting = list(groups)
    while waiting:
        group = waiting.pop(0)
        if len(group) * 2 <= total or len(group) == 1:
            out.append(group)
            continue
        centres = normalised(np.stack([vectors.of(wordings).mean(0) for wordings in group]))
        left = halves(centres)
        waiting[:0] = [[w for w, is_left in zip(group, left, strict=True) if is_left == side] for side in (True, False)]
    return out


def _tree(
    base: RewardTree, before: Sequence[RewardTree], groups: Groups, counts: Mapping[str, int], vectors: _Vectors
) -> RewardTree:
    """The version after `base`, with names and ids handed down from the trees before; the most supported come first."""
    groups = [sorted(group, key=lambda w: (-sum(counts[t] for t in w), min(w))) for group in groups]
    groups.sort(key=lambda group: (-sum(counts[t] for w in group for t in w), min(t for w in group for t in w)))
    flat = [wordings for group in groups for wordings in group]
    ids = _handed_down([{t: f.id for f in tree.fine for t in f.wordings} for tree in before], flat)
    names = _handed_down(
        [{t: c.name for c in tree.coarse for f in c.fine for t in f.wordings} for tree in before],
        [[t for w in group for t in w] for group in groups],
    )
    taken = {id for id in ids if id is not None}
    made: list[Fine] = []
    for wordings, kept in zip(flat, ids, strict=True):
        text = vectors.medoid(wordings, counts)
        id = kept or _new_id(min(wordings), taken)
        taken.add(id)
        made.append(Fine(id, text, {t: counts[t] for t in sorted(wordings)}))
    known = [name for name in names if name is not None]
    coarse, start = [], 0
    for group, name in zip(groups, names, strict=True):
        fine = tuple(made[start : start + len(group)])
        start += len(group)
        if name is None:
            name = slug(fine[0].text, known)
            known.append(name)
        coarse.append(Coarse(name, fine))
    return replace(base, coarse=tuple(coarse), generation=base.generation + 1)


def _handed_down(before: Sequence[Mapping[str, str]], groups: Sequence[Sequence[str]]) -> list[str | None]:
    """For each group the old name that shares most wordings with it, each name given once, earlier trees first."""
    out: list[str | None] = [None] * len(groups)
    used: set[Hashable] = set()
    for names in before:
        shared: dict[tuple[str, int], int] = {}
        for g, wordings in enumerate(groups):
            for text in wordings:
                if text in names:
                    shared[names[text], g] = shared.get((names[text], g), 0) + 1
        for (name, g), _ in sorted(shared.items(), key=lambda item: (-item[1], item[0])):
            if out[g] is None and name not in used:
                out[g] = name
                used.add(name)
    return out


def _new_id(text: str, taken: set[str]) -> str:
    """Eight hex digits of the wording's hash; counted on where another criterion has them."""
    number = hash64(text) & 0xFFFFFFFF
    while f"{number:08x}" in taken:
        number = (number + 1) & 0xFFFFFFFF
    return f"{number:08x}"
