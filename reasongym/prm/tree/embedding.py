"""What turns a criterion's sentence into a vector, and the distance of two of them.

Any object with `id` and `embed(texts) -> (n, d)` is an embedder. `HashedEmbedder` needs nothing but NumPy: words by their light
stems, a small thesaurus of critics' words, and character trigrams, each hashed to a place (Weinberger et al., 2009, arXiv
0902.2206). It sees shared words, not meaning; `reasongym.prm.tree.SentenceEmbedder` takes any sentence encoder by path.

A distance that means "the same" with one embedder means nothing with another (a replication of DG-PRM found that the published
threshold merged half of all criteria under another encoder), so `id` names everything that a vector depends on, and a tree
refuses an embedder whose id is not the one it was built with.

Axes: n texts, d dimensions.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Protocol, runtime_checkable

import numpy as np

from reasongym.errors import PRMError
from reasongym.prm.natural import stem
from reasongym.prm.reading import words_of
from reasongym.seeding import hash64

COMMON = words_of(
    "a an the of to in on at for by with from and or nor as is are was were be been it its this that these those what which "
    "who whether how has have had does do did no not nothing none each every all any one than then there their them while"
)
"""Words that say nothing about which criterion it is. Negation is among them: a criterion and its fault are one topic."""
FAINT = words_of("step solution fact facts thing something only still already give given make made take taken use used")
"""Words that most criteria share; they count `FAINT_WEIGHT`."""
FAINT_WEIGHT = 0.35
THESAURUS = (
    "superseded outdated stale replaced obsolete overturned untrue expired",
    "recent newest latest last current",
    "order sequence before after afterwards chronological",
    "relevant irrelevant related unrelated matters pertinent",
    "supported unsupported supports justify justified derived follows entails",
    "invented invents made-up fabricated hallucinated states stated statement",
    "evidence proof cited citation",
    "prerequisite prerequisites presupposes established",
    "premature early enough needed gathered",
    "contradict contradicts contradiction contradictory consistent agrees agreement conflicts",
    "repeat repeats repeated repetition redundant again duplicate",
    "detour direct straight shorter",
    "briefly brief wording worded padding words short concise",
    "exact precise vague exactness precision",
    "legal illegal allowed rule rules permit",
    "goal progress advances nearer closer towards",
    "person subject somebody names",
)
"""Sets of words that critics use for one another; a word adds its set's mark to its own."""
THESAURUS_WEIGHT = 1.0
TRIGRAM_WEIGHT = 0.25
_WORD = re.compile(r"[^\W_]+")
_MARKS = {stem(word): f"#{i}" for i, group in enumerate(THESAURUS) for word in group.split()}


@runtime_checkable
class Embedder(Protocol):
    """Texts to vectors. Equal texts must get equal vectors, whatever else is in the call.

    Attributes:
        id: names everything that the vectors depend on; stored with every tree.
    """

    @property
    def id(self) -> str: ...

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        """(n, d) float, finite; rows of any length (they are normalised where they are compared)."""
        ...


class HashedEmbedder:
    """Hashed stems, thesaurus marks and trigrams; see the module's docstring.

    Args:
        dimensions: d, at least 16. Two features share a place with probability 1/d.
    """

    def __init__(self, *, dimensions: int = 1024) -> None:
        if isinstance(dimensions, bool) or not isinstance(dimensions, int) or dimensions < 16:
            raise ValueError(f"dimensions must be a whole number of at least 16, got {dimensions!r}")
        self.dimensions = dimensions
        lists = "|".join((*THESAURUS, *sorted(COMMON), *sorted(FAINT)))
        self.id = f"hashed-1(dimensions={dimensions}, words={hash64(lists):016x})"

    def __repr__(self) -> str:
        return f"HashedEmbedder(dimensions={self.dimensions})"

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        """(n, d) float32 of length 1; a text without words gets a place of its own spelling."""
        out = np.zeros((len(texts), self.dimensions), np.float32)
        for i, text in enumerate(texts):
            for feature, weight in features(text):
                place = hash64(feature)
                out[i, place % self.dimensions] += weight if place >> 63 else -weight
            if not out[i].any():
                out[i, hash64(text) % self.dimensions] = 1
        return normalised(out)


@lru_cache(maxsize=1 << 14)
def features(text: str) -> tuple[tuple[str, float], ...]:
    """The features of a text and their weights; a feature that occurs twice counts sqrt(2)."""
    found: dict[str, float] = {}
    for word in map(str.lower, _WORD.findall(text)):
        if word in COMMON:
            continue
        root = stem(word)
        weight = FAINT_WEIGHT if word in FAINT else 1.0
        padded = f"^{root}$"
        each = TRIGRAM_WEIGHT * weight / max(1, len(padded) - 2) ** 0.5
        marks = [(f"w:{root}", weight)] + [(f"t:{padded[i : i + 3]}", each) for i in range(len(padded) - 2)]
        if root in _MARKS:
            marks.append((_MARKS[root], THESAURUS_WEIGHT))
        for feature, value in marks:
            found[feature] = (found.get(feature, 0.0) ** 2 + value**2) ** 0.5
    return tuple(found.items())


def normalised(vectors: np.ndarray) -> np.ndarray:
    """(n, d) rows of length 1 (zero rows stay zero)."""
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.divide(vectors, length, out=np.zeros_like(vectors), where=length > 0)


def distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(n, m) cosine distances in [0, 2] of rows (n, d) and (m, d)."""
    return np.clip(1 - normalised(a) @ normalised(b).T, 0, 2)


def embedded(embedder: Embedder, texts: Sequence[str]) -> np.ndarray:
    """(n, d) float64 unit rows of `embedder.embed(texts)`.

    Raises:
        PRMError: the embedder returned another number of rows, or something that is not finite.
    """
    if not texts:
        return np.zeros((0, 1))
    vectors = np.asarray(embedder.embed(list(texts)), dtype=float)
    if vectors.ndim != 2 or len(vectors) != len(texts) or not np.isfinite(vectors).all():
        raise PRMError(
            f"the embedder {embedder.id!r} returned an array of shape {vectors.shape} for {len(texts)} texts; "
            f"expected finite numbers, ({len(texts)}, d)"
        )
    return normalised(vectors)
