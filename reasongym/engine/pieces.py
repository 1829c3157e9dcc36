"""Texts as the kernels score them: where words begin, and what is left of each word after a metric's normalisation.

An answer of a span source is a run of whole words of one unit. Its score (token F1, ROUGE-L) is computed inside the kernel, so
every distinct unit is stored as *pieces*: runs of letters and digits, and single symbols, each as the index of its lower-cased
string's hash. A kernel joins pieces that the normalisation joins ("U.S." is one token, "us") and compares hashes
(`engine.spans`); a property test holds it against the metrics on strings.

SQuAD (Rajpurkar et al., 2016, the official evaluation): lower case, ASCII punctuation deleted, the words a, an, the deleted,
split at white space. ROUGE-L (Lin, 2004, as in the package rouge-score): lower case, runs of a-z and 0-9.
"""

from __future__ import annotations

import re
import string
from bisect import bisect_left
from collections.abc import Mapping, Sequence

import numpy as np

from reasongym.metrics.generated import words
from reasongym.metrics.squad import normalize
from reasongym.tasks.tokens import begins_word
from reasongym.types import Encoding

F1, ROUGE_L = 0, 1
METRICS = {"f1": F1, "rouge_l": ROUGE_L}
GLUED, SYMBOL = 1, 2
"""Flags of a piece, below its word's index: no white space before it; neither letter nor digit."""
FLAGS = 4
BASE = 0x9E3779B97F4A7C15
"""Base of the polynomial hash, modulo 2^64."""
ARTICLES = ("a", "an", "the")
MOST_TOKENS = 255
"""Most tokens of a span or reference that are compared; units are shorter, and longer references are refused."""

TOKEN = np.dtype([("piece", "i2"), ("start", "i2"), ("end", "i2"), ("begins", "i2")])
"""A token of a unit: first piece at or after the word that it begins or precedes, characters, whether it begins a word."""
TEXT = np.dtype([("token", "i8"), ("piece", "i8"), ("length", "i8")])
"""A unit: its first TOKEN (after its last one stands one more, which ends the last word) and piece, and how many tokens."""
WORD = np.dtype([("hash", "u8"), ("power", "u8")])

PIECES = ("texts", "tokens", "pieces", "words")
"""The arrays of `Pieces`."""

_ATOM = re.compile(r"[^\W_]+|\S")
_DELETED = frozenset(string.punctuation)


def hash_word(word: str) -> tuple[int, int]:
    """(hash, power): the hash of x + y is hash(x) * power(y) + hash(y), modulo 2^64."""
    value, power = 0, 1
    for character in word:
        value = (value * BASE + ord(character) + 1) % 2**64
        power = power * BASE % 2**64
    return value, power


ARTICLE_HASHES = tuple(hash_word(word)[0] for word in ARTICLES)


def reference_tokens(text: str, metric: int) -> list[str]:
    """A reference as the metric compares it."""
    return words(text) if metric == ROUGE_L else normalize(text).split()


def pieces_of(text: str, metric: int) -> list[tuple[int, str, int]]:
    """(start, lower-cased word, flags) of every piece of a text that the metric keeps."""
    out, previous, fresh = [], 0, True
    for match in _ATOM.finditer(text):
        start, atom = match.start(), match[0]
        if metric == ROUGE_L:
            out += [(start, word, 0) for word in words(atom)]
            continue
        fresh = fresh or start != previous
        previous = match.end()
        if atom in _DELETED:
            continue
        flags = (0 if fresh else GLUED) | (0 if atom[0].isalnum() else SYMBOL)
        out.append((start, atom.lower(), flags))
        fresh = False
    return out


class Pieces:
    """The distinct units of a span source in pieces; rows are added in the order of the table of units.

    Attributes:
        texts: (at least S,) TEXT.
        tokens: TOKEN rows of all units, one after another.
        pieces: int32, a word's index times `FLAGS`, plus flags.
        words: WORD rows of the distinct words.
    """

    def __init__(self, metric: int) -> None:
        self.metric = metric
        self.texts, self.tokens = np.zeros(64, TEXT), np.zeros(1024, TOKEN)
        self.pieces, self.words = np.zeros(1024, np.int32), np.zeros(256, WORD)
        self._index: dict[str, int] = {}
        self._rows = self._num_tokens = self._num_pieces = 0

    def add(self, texts: Sequence[str], encodings: Sequence[Encoding]) -> None:
        """The next units."""
        tokens: tuple[list[int], ...] = ([], [], [], [])
        pieces: list[int] = []
        rows = []
        for text, encoding in zip(texts, encodings, strict=True):
            rows.append((self._num_tokens + len(tokens[0]), self._num_pieces + len(pieces), len(encoding)))
            found = pieces_of(text, self.metric)
            pieces += [self._word(word) * FLAGS + flags for _, word, flags in found]
            _add_tokens(tokens, text, encoding, [start for start, _, _ in found])
        n, number = len(tokens[0]), len(pieces)
        self.texts = grown(self.texts, self._rows + len(rows))
        self.texts[self._rows : self._rows + len(rows)] = rows
        self.tokens = grown(self.tokens, self._num_tokens + n)
        for name, column in zip(TOKEN.names or (), tokens, strict=True):
            self.tokens[name][self._num_tokens : self._num_tokens + n] = column
        self.pieces = grown(self.pieces, self._num_pieces + number)
        self.pieces[self._num_pieces : self._num_pieces + number] = pieces
        self._rows += len(rows)
        self._num_tokens += n
        self._num_pieces += number

    def restore(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Becomes the table of these arrays, `piece_` before their names: nothing can be added to it."""
        for name in PIECES:
            setattr(self, name, arrays[f"piece_{name}"])

    def span(self, row: int, first: int, last: int) -> tuple[int, int]:
        """Characters [start, end) of unit `row` from token `first` to the end of the word that token `last` begins."""
        base, n = int(self.texts[row]["token"]), int(self.texts[row]["length"])
        while last + 1 < n and not self.tokens[base + last + 1]["begins"]:
            last += 1
        return int(self.tokens[base + first]["start"]), int(self.tokens[base + last]["end"])

    def _word(self, word: str) -> int:
        index = self._index.get(word)
        if index is None:
            index = self._index[word] = len(self._index)
            self.words = grown(self.words, index + 1)
            self.words[index] = hash_word(word)
        return index


def _add_tokens(columns: tuple[list[int], ...], text: str, encoding: Encoding, starts: list[int]) -> None:
    """Adds the TOKEN rows of a text, with one more that ends it; `starts` are those of its pieces."""
    begins = [begins_word(text, start) for start in encoding.starts]
    piece, following = [len(starts)], len(starts)
    for start, begin in zip(reversed(encoding.starts), reversed(begins), strict=True):
        if begin:
            following = bisect_left(starts, start)
        piece.append(following)
    columns[0].extend(reversed(piece))
    columns[1].extend((*encoding.starts, len(text)))
    columns[2].extend((*encoding.ends, len(text)))
    columns[3].extend((*begins, False))


def grown(array: np.ndarray, needed: int) -> np.ndarray:
    """The array, or a copy with at least twice the rows when it has fewer than `needed`."""
    if needed <= len(array):
        return array
    out = np.zeros((max(needed, 2 * len(array)), *array.shape[1:]), array.dtype)
    out[: len(array)] = array
    return out
