"""The reward tree: coarse criteria, each with its fine ones; a value that growth makes anew and scoring only reads.

After DG-PRM (Yin et al., 2025, arXiv 2507.17849), of which no code is public: two levels, criteria in words, cosine thresholds.
Different here: a tree carries the thresholds *and* the id of the embedder they were chosen for, and refuses another; it is
frozen, so a PRM's criteria cannot change under a run (`growth` makes the next version); every wording that was
merged into a criterion is kept with how often it was named, so a tree can be clustered again, and merged with another.

Axes: c coarse criteria, f fine criteria, d dimensions of the embedder.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from reasongym.errors import DataError, PRMError, unknown
from reasongym.prm.base import RESERVED_CRITERIA
from reasongym.prm.tree.embedding import COMMON, Embedder, embedded
from reasongym.prm.tree.thresholds import Thresholds
from reasongym.seeding import hash64

FORMAT = "reward-tree-1"


@dataclass(frozen=True)
class Fine:
    """One fine criterion.

    Attributes:
        id: stays the same from version to version.
        text: the wording that stands for it: the one nearest to all others.
        wordings: every wording that was merged into it, with how often it was named.
    """

    id: str
    text: str
    wordings: Mapping[str, int]

    def __post_init__(self) -> None:
        if self.text not in self.wordings:
            raise ValueError(f"the text of criterion {self.id!r}, {self.text!r}, is none of its wordings")
        for text, count in self.wordings.items():
            if isinstance(count, bool) or not isinstance(count, int) or count < 1 or not text.strip():
                raise ValueError(f"criterion {self.id!r}: a wording is a text named at least once, got {text!r}: {count!r}")

    @property
    def support(self) -> int:
        """How often it was named, in any wording."""
        return sum(self.wordings.values())


@dataclass(frozen=True)
class Coarse:
    """One coarse criterion: the name that a PRM exposes, and its fine criteria (at least one)."""

    name: str
    fine: tuple[Fine, ...]

    @property
    def support(self) -> int:
        """How often its fine criteria were named."""
        return sum(fine.support for fine in self.fine)

    @property
    def text(self) -> str:
        """The wording of its fine criterion that was named most; of equals the first."""
        return max(self.fine, key=lambda fine: fine.support).text


@dataclass(frozen=True)
class RewardTree:
    """A version of a reward tree.

    Attributes:
        coarse: its coarse criteria, in order.
        thresholds: ξ_merge, ξ_coarse and ζ, chosen for this embedder.
        embedder: the id of the embedder.
        generation: how often it has grown.

    Raises:
        ValueError: a name, an id or a wording occurs twice, a name is reserved, a coarse criterion has no fine one.
    """

    coarse: tuple[Coarse, ...]
    thresholds: Thresholds
    embedder: str
    generation: int = 0
    _centroids: list[np.ndarray] = field(default_factory=list, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        for what, names in (
            ("name", [c.name for c in self.coarse]),
            ("id", [f.id for f in self.fine]),
            ("wording", [text for f in self.fine for text in f.wordings]),
        ):
            twice = sorted({name for name in names if names.count(name) > 1}) if len(set(names)) < len(names) else []
            if twice:
                raise ValueError(
                    f"a reward tree holds every {what} once, but {twice[0]!r} occurs {names.count(twice[0])} times"
                )
        for coarse in self.coarse:
            if not coarse.fine:
                raise ValueError(f"the coarse criterion {coarse.name!r} has no fine criterion")
            if coarse.name in RESERVED_CRITERIA:
                raise ValueError(
                    f"a coarse criterion cannot be called {coarse.name!r}: {', '.join(RESERVED_CRITERIA)} are reserved"
                )

    @cached_property
    def fine(self) -> tuple[Fine, ...]:
        """All fine criteria, coarse by coarse."""
        return tuple(fine for coarse in self.coarse for fine in coarse.fine)

    @cached_property
    def parent(self) -> np.ndarray:
        """(f,) index of each fine criterion's coarse one."""
        return np.repeat(np.arange(len(self.coarse)), [len(coarse.fine) for coarse in self.coarse])

    @cached_property
    def version(self) -> str:
        """A name that changes with the content: part of every cache key and record."""
        content = self.to_json()
        return f"{FORMAT}:g{self.generation}:{hash64(json.dumps(content, sort_keys=True)):016x}"

    @property
    def largest_share(self) -> float:
        """The share of all fine criteria that the largest coarse one holds; 0 of an empty tree."""
        return max((len(c.fine) for c in self.coarse), default=0) / max(1, len(self.fine))

    def find(self, id: str) -> Fine:
        """The fine criterion of this id.

        Raises:
            UnknownNameError: there is none (a judge that invents ids ends here).
        """
        for fine in self.fine:
            if fine.id == id:
                return fine
        raise unknown("criterion id", id, [fine.id for fine in self.fine])

    def check_embedder(self, embedder: Embedder) -> None:
        """Refuses an embedder that the thresholds do not belong to.

        Raises:
            PRMError: its id is another one.
        """
        if embedder.id != self.embedder:
            raise PRMError(
                f"this tree's thresholds were chosen for the embedder {self.embedder!r}, but {embedder.id!r} was given: "
                "distances of one mean nothing to the other; use the tree's own, or grow a new tree from its wordings"
            )

    def centroids(self, embedder: Embedder) -> tuple[np.ndarray, np.ndarray]:
        """(c, d) and (f, d) means of the unit vectors of the distinct wordings of each coarse and each fine criterion.

        They are means, not unit vectors: 1 − x·mean is the *average* distance of x to the wordings.
        """
        self.check_embedder(embedder)
        if not self._centroids:  # equal ids mean equal vectors, so whose object it was does not matter
            vectors = embedded(embedder, [text for fine in self.fine for text in fine.wordings])
            owner = np.repeat(np.arange(len(self.fine)), [len(fine.wordings) for fine in self.fine])
            self._centroids.extend((_means(vectors, self.parent[owner]), _means(vectors, owner)))
        return self._centroids[0], self._centroids[1]

    def to_json(self) -> dict[str, Any]:
        """The tree as JSON values."""
        coarse = [
            {"name": c.name, "fine": [{"id": f.id, "text": f.text, "wordings": dict(f.wordings)} for f in c.fine]}
            for c in self.coarse
        ]
        return {
            "format": FORMAT,
            "generation": self.generation,
            "embedder": self.embedder,
            "thresholds": asdict(self.thresholds),
            "coarse": coarse,
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> RewardTree:
        """The tree that `to_json` wrote.

        Raises:
            DataError: another format, or a part is missing or not what it should be.
        """
        if not isinstance(content, Mapping) or content.get("format") != FORMAT:
            told = content.get("format") if isinstance(content, Mapping) else type(content).__name__
            raise DataError(f"this is no reward tree of the format {FORMAT!r}: got {told!r}")
        try:
            coarse = tuple(
                Coarse(str(c["name"]), tuple(Fine(str(f["id"]), f["text"], dict(f["wordings"])) for f in c["fine"]))
                for c in content["coarse"]
            )
            return cls(coarse, Thresholds(**content["thresholds"]), str(content["embedder"]), int(content["generation"]))
        except (KeyError, TypeError, ValueError, AttributeError) as wrong:
            raise DataError(f"a part of this reward tree is missing or wrong: {wrong}") from wrong

    def save(self, path: str | os.PathLike) -> None:
        """Writes the tree as JSON, in one piece."""
        unready = Path(f"{os.fspath(path)}.tmp")
        unready.write_text(json.dumps(self.to_json(), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        os.replace(unready, path)

    @classmethod
    def load(cls, path: str | os.PathLike) -> RewardTree:
        """Reads what `save` wrote.

        Raises:
            DataError: the file is no JSON, or no reward tree.
        """
        try:
            content = json.loads(Path(path).read_text(encoding="utf-8"))
        except (ValueError, OSError) as wrong:
            raise DataError(f"cannot read a reward tree from {os.fspath(path)}: {wrong}") from wrong
        return cls.from_json(content)


def empty_tree(embedder: Embedder, thresholds: Thresholds) -> RewardTree:
    """A tree without criteria, for `reasongym.prm.tree.grow`."""
    return RewardTree((), thresholds, embedder.id)


def slug(text: str, taken: Sequence[str], words: int = 4) -> str:
    """A short name made of the words of `text` that say most, unlike all that are taken and reserved."""
    said = re.findall(r"[^\W_]+", text.lower())
    name = "_".join([word for word in said if word not in COMMON][:words] or said[:words] or ["criterion"])
    out, i = name, 1
    while out in taken or out in RESERVED_CRITERIA:
        i += 1
        out = f"{name}_{i}"
    return out


def _means(vectors: np.ndarray, owner: np.ndarray) -> np.ndarray:
    """(g, d) means of the (n, d) vectors of each owner; owners are 0 ... g-1, each with at least one."""
    if not len(owner):
        return np.zeros((0, vectors.shape[1]))
    sums = np.zeros((int(owner.max()) + 1, vectors.shape[1]))
    np.add.at(sums, owner, vectors)
    return sums / np.bincount(owner)[:, None]
