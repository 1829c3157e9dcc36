"""The three distances of a reward tree, chosen for one embedder on labelled paraphrases.

`paraphrases.json` holds families of criteria (what a coarse criterion stands for), each criterion in six wordings, and phrases
that name the *aspect* of a step which the criterion is about. ξ_merge is where the clusters of wordings agree best with the
criteria (adjusted Rand index), ξ_coarse where they agree best with the families, both cuts of one dendrogram; ζ is where "this
aspect lies within ζ of this criterion" finds the right criteria best (F1). Of a plateau of equal values the middle is taken.
The last two wordings of each criterion and the second aspect are held out: `Choice.held_out` says how the thresholds do there.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from reasongym.errors import DataError
from reasongym.metrics.statistics import adjusted_rand
from reasongym.prm.tree.clustering import average_linkage, cut
from reasongym.prm.tree.embedding import Embedder, distances, embedded

PARAPHRASES = Path(__file__).with_name("paraphrases.json")
HELD_OUT_WORDINGS, HELD_OUT_ASPECTS = 2, 1
GRID = np.arange(1, 200) / 200
"""Distances that are tried."""


@dataclass(frozen=True)
class Thresholds:
    """Cosine distances.

    Attributes:
        merge: ξ_merge; criteria within it are one.
        coarse: ξ_coarse; criteria within it share a coarse criterion.
        aspect: ζ; fine criteria within it of an aspect phrase are selected.
    """

    merge: float
    coarse: float
    aspect: float

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < 2:
                raise ValueError(f"the threshold {name!r} is a cosine distance between 0 and 2, got {value!r}")
        if self.merge >= self.coarse:
            raise ValueError(f"merge must be below coarse, got {self.merge!r} and {self.coarse!r}")


@dataclass(frozen=True)
class Criterion:
    """One criterion of the labelled set: its family, its name, its wordings, phrases for its aspect."""

    family: str
    name: str
    wordings: tuple[str, ...]
    aspects: tuple[str, ...]


class Choice(NamedTuple):
    """Thresholds, and their agreement with the labels: `chosen` where they were chosen, `held_out` where they were not."""

    thresholds: Thresholds
    chosen: Mapping[str, float]
    held_out: Mapping[str, float]


def labelled_criteria(path: Path = PARAPHRASES) -> tuple[Criterion, ...]:
    """The criteria of a paraphrase file, in its order.

    Raises:
        DataError: a criterion has fewer than five wordings or fewer than two aspects.
    """
    found = []
    for family, criteria in json.loads(Path(path).read_text(encoding="utf-8"))["families"].items():
        for name, entry in criteria.items():
            wordings, aspects = tuple(entry["paraphrases"]), tuple(entry["aspects"])
            if len(set(wordings)) < 5 or len(set(aspects)) < 2:
                raise DataError(f"{path}: {family}/{name} needs 5 distinct paraphrases and 2 aspects")
            found.append(Criterion(family, name, wordings, aspects))
    return tuple(found)


def choose_thresholds(embedder: Embedder, criteria: Sequence[Criterion] | None = None) -> Choice:
    """The thresholds that fit this embedder; `criteria` defaults to the shipped set."""
    criteria = labelled_criteria() if criteria is None else tuple(criteria)
    kept = [_part(c, False) for c in criteria]
    joins, fine, coarse, n = _dendrogram(embedder, kept)
    merges = [adjusted_rand(cut(joins, n, x).tolist(), fine) for x in GRID]
    merge = _middle(merges)
    above = merge < GRID
    coarser = [adjusted_rand(cut(joins, n, x).tolist(), coarse) if ok else -1.0 for x, ok in zip(GRID, above, strict=True)]
    found, wanted = _aspect_distances(embedder, kept)
    aspect = _middle([_f1(found <= x, wanted) for x in GRID])
    thresholds = Thresholds(merge, _middle(coarser), aspect)
    held_out = [_part(c, True) for c in criteria]
    return Choice(thresholds, agreement(embedder, kept, thresholds), agreement(embedder, held_out, thresholds))


def agreement(embedder: Embedder, criteria: Sequence[Criterion], thresholds: Thresholds) -> dict[str, float]:
    """How the thresholds agree with labelled criteria: two adjusted Rand indices and the F1 of aspects."""
    joins, fine, coarse, n = _dendrogram(embedder, criteria)
    found, wanted = _aspect_distances(embedder, criteria)
    return {
        "fine_ari": adjusted_rand(cut(joins, n, thresholds.merge).tolist(), fine),
        "coarse_ari": adjusted_rand(cut(joins, n, thresholds.coarse).tolist(), coarse),
        "aspect_f1": _f1(found <= thresholds.aspect, wanted),
    }


def _part(criterion: Criterion, held_out: bool) -> Criterion:
    rows = slice(-HELD_OUT_WORDINGS, None) if held_out else slice(None, -HELD_OUT_WORDINGS)
    aspects = slice(-HELD_OUT_ASPECTS, None) if held_out else slice(None, -HELD_OUT_ASPECTS)
    return Criterion(criterion.family, criterion.name, criterion.wordings[rows], criterion.aspects[aspects])


def _dendrogram(embedder: Embedder, criteria: Sequence[Criterion]) -> tuple[list, list[str], list[str], int]:
    rows = [(text, f"{c.family}/{c.name}", c.family) for c in criteria for text in c.wordings]
    texts, fine, coarse = zip(*rows, strict=True)
    return average_linkage(embedded(embedder, texts)), list(fine), list(coarse), len(texts)


def _aspect_distances(embedder: Embedder, criteria: Sequence[Criterion]) -> tuple[np.ndarray, np.ndarray]:
    """(aspects, criteria) average distances to the criterion's wordings, and whether the aspect is the criterion's."""
    phrases = embedded(embedder, [phrase for c in criteria for phrase in c.aspects])
    means = np.stack([distances(phrases, embedded(embedder, c.wordings)).mean(1) for c in criteria], axis=1)
    owner = np.repeat(np.arange(len(criteria)), [len(c.aspects) for c in criteria])
    return means, owner[:, None] == np.arange(len(criteria))


def _f1(found: np.ndarray, wanted: np.ndarray) -> float:
    total = int(found.sum()) + int(wanted.sum())
    return 2 * int((found & wanted).sum()) / total if total else 0.0


def _middle(values: Sequence[float]) -> float:
    """The middle of the first longest run of grid points with the best value."""
    best = np.flatnonzero(np.asarray(values) >= max(values) - 1e-9)
    runs = np.split(best, np.flatnonzero(np.diff(best) > 1) + 1)
    run = max(runs, key=len)
    return float(GRID[run[len(run) // 2]])
