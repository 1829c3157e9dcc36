"""Texts as the kernels score them: where words begin, and what is left of each word after a metric's normalisation.

An answer of a span source is a run of whole words of one unit. Its score (token F1, ROUGE-L) is computed inside the kernel, so
every distinct unit is stored as *pieces*: runs of letters and digits, and single symbols, each as the index of its lower-cased
string's hash. A kernel joins pieces that the normalisation joins ("U.S." is one token, "us") and compares hashes
(`engine.spans`); a property test holds it against the metrics on strings.

SQuAD (Rajpurkar et al., 2016, the official evaluation): lower case, ASCII punctuation deleted, the words a, an, the deleted,
split at white space. ROUGE-L (Lin, 2004, as in the package rouge-score): lower case, runs of a-z and 0-9.
"""

from __future__ import annotations

import string
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain, islice

import numpy as np

from reasongym.metrics.generated import words
from reasongym.metrics.squad import normalize
from reasongym.types import Encodings

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

WHITE, ALNUM, OTHER, UNKNOWN = range(4)
"""Kinds of characters."""

_DELETED = frozenset(string.punctuation)
_KINDS = np.full(0x110000, UNKNOWN, np.uint8)


@lru_cache(maxsize=1 << 16)
def hash_word(word: str) -> tuple[int, int]:
    """(hash, power): the hash of x + y is hash(x) * power(y) + hash(y), modulo 2^64."""
    value, power = 0, 1
    for character in word:
        value = (value * BASE + ord(character) + 1) % 2**64
        power = power * BASE % 2**64
    return value, power


def hash_words(words: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """`hash_word` of each: ((n,) uint64 hashes, (n,) uint64 powers)."""
    codes = np.frombuffer("".join(words).encode("utf-32-le", "surrogatepass"), np.uint32).astype(np.uint64) + np.uint64(1)
    lengths = np.fromiter(map(len, words), np.int64, len(words))
    first = np.cumsum(lengths) - lengths
    value, power = np.zeros(len(words), np.uint64), np.ones(len(words), np.uint64)
    rows = np.arange(len(words))
    for place in range(lengths.max(initial=0)):
        rows = rows[lengths[rows] > place]
        value[rows] = value[rows] * np.uint64(BASE) + codes[first[rows] + place]
        power[rows] *= np.uint64(BASE)
    return value, power


ARTICLE_HASHES = tuple(hash_word(word)[0] for word in ARTICLES)


@lru_cache(maxsize=1 << 12)
def reference_tokens(text: str, metric: int) -> tuple[str, ...]:
    """A reference as the metric compares it."""
    return tuple(words(text) if metric == ROUGE_L else normalize(text).split())


@dataclass(frozen=True, eq=False, slots=True)
class _Joined:
    """Texts one after another, a line break behind each; places are counted in all of them together.

    Attributes:
        text: all of them.
        base: (texts + 1,) where each begins.
        kinds: (characters,) WHITE, ALNUM or OTHER.
    """

    text: str
    base: np.ndarray
    kinds: np.ndarray

    @staticmethod
    def of(texts: Sequence[str]) -> _Joined:
        text = "\n".join(texts) + "\n"
        base = np.zeros(len(texts) + 1, np.int64)
        np.cumsum([len(one) + 1 for one in texts], out=base[1:])
        return _Joined(text, base, _kinds(np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)))

    def atoms(self) -> tuple[np.ndarray, np.ndarray]:
        """(starts, ends) of runs of letters and digits, and of single symbols."""
        alnum = np.r_[False, self.kinds == ALNUM]  # the last character is white
        borders = np.flatnonzero(alnum[1:] != alnum[:-1])
        symbols = np.flatnonzero(self.kinds == OTHER)
        starts, ends = np.r_[borders[::2], symbols], np.r_[borders[1::2], symbols + 1]
        order = np.argsort(starts, kind="stable")
        return starts[order], ends[order]


def _kinds(codes: np.ndarray) -> np.ndarray:
    """Of characters by code point."""
    found = _KINDS[codes]
    if (found == UNKNOWN).any():
        for code in np.unique(codes[found == UNKNOWN]).tolist():
            character = chr(code)
            _KINDS[code] = WHITE if character.isspace() else ALNUM if character.isalnum() else OTHER
        found = _KINDS[codes]
    return found


class _Known(dict[str, tuple[int, ...]]):
    """What a function returned (a dictionary is looked up faster than a function is called)."""

    def __init__(self, function: Callable[[str], tuple[int, ...]]) -> None:
        self._function = function

    def __missing__(self, key: str) -> tuple[int, ...]:
        value = self[key] = self._function(key)
        return value


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
        self._atoms = _Known(self._words_of)
        self._rows = self._num_tokens = self._num_pieces = self._num_words = 0

    def add(self, texts: Sequence[str], encodings: Encodings) -> None:
        """The next units."""
        joined, count = _Joined.of(texts), len(texts)
        starts, words, flags = self._found(joined)
        first = np.searchsorted(starts, joined.base)
        self.texts = grown(self.texts, self._rows + count)
        rows = self.texts[self._rows : self._rows + count]
        rows["token"] = self._num_tokens + encodings.first[:-1] + np.arange(count)
        rows["piece"] = self._num_pieces + first[:-1]
        rows["length"] = np.diff(encodings.first)
        tokens = _token_rows(joined, encodings, starts, first)
        self.tokens = grown(self.tokens, self._num_tokens + len(tokens))
        self.tokens[self._num_tokens : self._num_tokens + len(tokens)] = tokens
        self.pieces = grown(self.pieces, self._num_pieces + len(starts))
        self.pieces[self._num_pieces : self._num_pieces + len(starts)] = words * FLAGS + flags
        self._hash()
        self._rows += count
        self._num_tokens += len(tokens)
        self._num_pieces += len(starts)

    def _found(self, joined: _Joined) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(start, word, flags) of every piece that the metric keeps."""
        starts, ends = joined.atoms()
        text, known = joined.text, self._atoms
        atoms = map(text.__getitem__, map(slice, starts.tolist(), ends.tolist()))
        said = list(map(known.__getitem__, atoms))
        starts = np.repeat(starts, np.fromiter(map(len, said), np.int64, len(said)))
        words = np.fromiter(chain.from_iterable(said), np.int64, len(starts))
        if self.metric == ROUGE_L:
            return starts, words, np.zeros_like(words)
        blanks = np.cumsum(joined.kinds == WHITE)[starts]
        glued = np.diff(blanks, prepend=-1) == 0
        return starts, words, glued * GLUED + (joined.kinds[starts] == OTHER) * SYMBOL

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

    def _words_of(self, atom: str) -> tuple[int, ...]:
        """The indices of an atom's words: one, none where the metric deletes it, or what ROUGE-L makes of it."""
        said = words(atom) if self.metric == ROUGE_L else [] if atom in _DELETED else [atom.lower()]
        return tuple(map(self._word, said))

    def _word(self, word: str) -> int:
        return self._index.setdefault(word, len(self._index))

    def _hash(self) -> None:
        """Fills in the words that are new."""
        new = list(islice(self._index, self._num_words, None))
        self.words = grown(self.words, len(self._index))
        rows = self.words[self._num_words : len(self._index)]
        rows["hash"], rows["power"] = hash_words(new)
        self._num_words = len(self._index)


def _token_rows(joined: _Joined, encodings: Encodings, pieces: np.ndarray, first: np.ndarray) -> np.ndarray:
    """The TOKEN rows of texts, each with one more that ends it.

    Args:
        pieces: where pieces start; those of text i are [first[i], first[i + 1]).
    """
    count, sizes = len(encodings), np.diff(encodings.first)
    of = np.repeat(np.arange(count), sizes)
    places = encodings.starts + joined.base[of]
    rows = np.zeros(len(of) + count, TOKEN)
    said, ends = np.arange(len(of)) + of, encodings.first[1:] + np.arange(count)
    for name, values in (("start", encodings.starts), ("end", encodings.ends)):
        rows[name][said] = values
        rows[name][ends] = np.diff(joined.base) - 1
    alnum = joined.kinds == ALNUM
    rows["begins"][said] = ~(alnum[places - 1] & alnum[places])
    rows["piece"][said] = np.searchsorted(pieces, places) - first[of]
    rows["piece"][ends] = np.diff(first)
    known = np.where(rows["begins"], np.arange(len(rows)), len(rows))
    known[ends] = ends
    rows["piece"] = rows["piece"][np.minimum.accumulate(known[::-1])[::-1]]  # inside a word: that of what follows it
    return rows


def grown(array: np.ndarray, needed: int) -> np.ndarray:
    """The array, or a copy with at least twice the rows when it has fewer than `needed`."""
    if needed <= len(array):
        return array
    out = np.zeros((max(needed, 2 * len(array)), *array.shape[1:]), array.dtype)
    out[: len(array)] = array
    return out
