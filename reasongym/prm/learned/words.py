"""Step texts as rows of words: what the learned PRM's own encoder reads. Pure functions of a text and a list of known words.

Each word has an *embedding* (a known word's own; one for all numbers; one each for unknown names, unknown function words, and
all other unknown words) and an *identity*: content words and numbers alone are compared, words by their lemma, so that "Mary"
is Mary in every step, known or not. Pronouns have no identity.
"""

from __future__ import annotations

import re
import warnings
import zlib
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from reasongym.prm.reading import DETERMINERS, FUNCTION_WORDS, TIMES, lemma

PAD, NUMBER, NAME, FUNCTION, OTHER = range(5)
SPECIAL = 5
"""Embeddings that are no known word's."""
PRONOUNS = frozenset("he she they him her them it".split())
_TOKEN = re.compile(r"\d+|\w+")


class Words(NamedTuple):
    """N texts of at most W words: (N, W) int32 each, 0 = none; `number` (N,) int32 is the first number of the text."""

    embedding: np.ndarray
    identity: np.ndarray
    name: np.ndarray  # 1: a name, by its capital
    number: np.ndarray


class WordReader:
    """Reads texts, and remembers those it has read.

    Args:
        vocabulary: known words, in order.
        max_words: W, at least 8. Of a longer text the first and last halves are kept, and a warning says so.

    Attributes:
        windowed: how many times a text longer than that was read.
    """

    def __init__(self, vocabulary: Sequence[str], max_words: int = 40) -> None:
        if max_words < 8:
            raise ValueError(f"max_words must be at least 8, got {max_words}")
        self.vocabulary, self.max_words = tuple(vocabulary), max_words
        self._rows = {word: i + SPECIAL for i, word in enumerate(self.vocabulary)}
        self._read: dict[str, np.ndarray] = {}
        self._tokens: dict[str, list[tuple[int, int, int]]] = {}
        self._cut: set[str] = set()
        self.windowed = 0
        self._told = False

    @property
    def num_embeddings(self) -> int:
        return SPECIAL + len(self.vocabulary)

    def __call__(self, texts: Iterable[str]) -> Words:
        """The texts, padded to the longest."""
        rows = [self._of(text) for text in texts]
        self.windowed += sum(text in self._cut for text in texts) if self._cut else 0
        width = max((row.shape[1] - 1 for row in rows), default=0)
        out = np.zeros((len(rows), 3, max(width, 1)), np.int32)
        number = np.zeros(len(rows), np.int32)
        for i, row in enumerate(rows):
            out[i, :, : row.shape[1] - 1] = row[:, 1:]
            number[i] = row[0, 0]
        return Words(out[:, 0], out[:, 1], out[:, 2], number)

    def _of(self, text: str) -> np.ndarray:
        """(3, 1 + words) int32; the first column holds the number."""
        row = self._read.get(text)
        if row is None:
            if len(self._read) > 200_000:
                self._read.clear()
                self._cut.clear()
                self._tokens.clear()
            row = self._read[text] = self._parse(text)
        return row

    def _parse(self, text: str) -> np.ndarray:
        columns: list[tuple[int, int, int]] = []
        first = 0
        for found in _TOKEN.finditer(text):
            token, word = found.group(), found.group().lower()
            if token.isdecimal():
                value = min(int(token), 1_000_000)
                first = first or value
                columns.append((NUMBER, -1 - value, 0))
            else:
                if token not in self._tokens:
                    self._tokens[token] = self._word(token, word)
                columns += self._tokens[token]
        return np.array([(first, 0, 0), *self._fitted(columns, text)], np.int32).T

    def _word(self, token: str, word: str) -> list[tuple[int, int, int]]:
        """(embedding, identity, name?) of a word that is no number; nothing for a determiner."""
        if word in PRONOUNS:
            return [(NAME, 0, 0)]
        if word in DETERMINERS:
            return []
        function, name = word in FUNCTION_WORDS or word in TIMES, token[0].isupper()
        unknown = FUNCTION if function else NAME if name else OTHER
        identity = 0 if function else 1 + zlib.crc32(lemma(token).encode()) % 0x7FFFFFF0
        return [(self._rows.get(word, unknown), identity, int(name and not function))]

    def _fitted(self, columns: list[tuple[int, int, int]], text: str) -> list[tuple[int, int, int]]:
        if len(columns) <= self.max_words:
            return columns
        self._cut.add(text)
        if not self._told:
            self._told = True
            warnings.warn(
                f"a step of {len(columns)} words is longer than this model's window of {self.max_words}: of it "
                f"and of others like it the first and last {self.max_words // 2} words are read ({text[:60]!r}...)",
                stacklevel=2,
            )
        half = self.max_words // 2
        return columns[:half] + columns[-half:]


def vocabulary_of(texts: Iterable[str], at_least: int = 2) -> tuple[str, ...]:
    """The words of some texts that occur `at_least` times, most frequent first; numbers, determiners and pronouns are left
    out."""
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(found.group().lower() for found in _TOKEN.finditer(text) if not found.group().isdecimal())
    kept = [word for word, count in counts.items() if count >= at_least and word not in DETERMINERS and word not in PRONOUNS]
    return tuple(sorted(kept, key=lambda word: (-counts[word], word)))
