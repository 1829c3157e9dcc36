"""Natural text in tokens: the shipped word pieces, or any Hugging Face tokenizer.

The shipped vocabulary (`wordpieces.json`, at most 16,000 WordPiece entries, lower-cased) was trained by
`examples/train_vocabulary.py`. Token ids count from 1 here, as everywhere in the suite: id i stands for `vocabulary[i - 1]`,
so a language model's own id is i - 1, and 0 is always padding.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from itertools import chain, pairwise
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np

from reasongym.errors import DataError
from reasongym.types import Encoding, Encodings

SHIPPED = Path(__file__).with_name("wordpieces.json")
WORTH_THREADS = 64
"""Fewer texts are tokenised faster without threads."""
WORDS_KEPT = 1 << 18
"""Words whose tokens are remembered, where there are not more in one call; some 40 MiB."""
_ATOM = re.compile(r"[A-Za-z0-9]+|[^A-Za-z0-9]")
_SIMPLE = re.compile(r"[!-Z\\-~]+")
"""Words of printable ASCII, which BERT cuts at every symbol; "[" may begin a special token."""


class Tokenizer:
    """A Hugging Face tokenizer as the suite uses it: ids from 1, offsets in characters, no special tokens.

    Args:
        name: for messages and fingerprints.
        backend: the library's.
        by_words: that it cuts what stands between two spaces whatever stands around it, into tokens that all have characters of
            their own, as BERT's do. Each such word is then cut once, and remembered.

    Attributes:
        name: as given.
        vocabulary: token id i stands for `vocabulary[i - 1]`.
    """

    def __init__(self, name: str, backend: Any, by_words: bool = False) -> None:
        self.name, self._backend = name, backend
        self._words = _Words(self._flat) if by_words else None
        backend.no_truncation()  # a model's own limit, which would drop the end of a text without a word
        backend.no_padding()
        pieces = backend.get_vocab(with_added_tokens=True)
        names = [""] * (max(pieces.values()) + 1)
        for piece, number in pieces.items():
            names[number] = piece
        self.vocabulary = tuple(names)

    @property
    def digest(self) -> str:
        """Hash of everything that decides how it cuts texts: the same vocabulary under another name is the same tokenizer."""
        return hashlib.blake2b(self._backend.to_str().encode(), digest_size=16).hexdigest()

    def encode(self, text: str) -> Encoding:
        """The text in tokens."""
        return self.encode_all([text])[0]

    def encode_all(self, texts: list[str]) -> list[Encoding]:
        """Many texts at once, in parallel where it pays; tokens without characters of their own are left out."""
        return self._of_library(texts) if self._words is None else self._words.encode_all(texts)

    def _of_library(self, texts: list[str]) -> list[Encoding]:
        out = []
        for made in self._made(texts):
            kept = [(i + 1, a, b) for i, (a, b) in zip(made.ids, made.offsets, strict=True) if b > a]
            ids, starts, ends = zip(*kept, strict=True) if kept else ((), (), ())
            out.append(Encoding(ids, starts, ends))
        return out

    def _made(self, texts: list[str]) -> list[Any]:
        if len(texts) < WORTH_THREADS:
            return [self._backend.encode(text, add_special_tokens=False) for text in texts]
        return self._backend.encode_batch(texts, add_special_tokens=False)

    def _flat(self, texts: list[str]) -> Encodings:
        """Texts in tokens, where every token has characters of its own."""
        made = self._made(texts)
        first = np.zeros(len(made) + 1, np.int64)
        np.cumsum([len(one) for one in made], out=first[1:])
        ids = np.fromiter(chain.from_iterable([one.ids for one in made]), np.int32, int(first[-1]))
        places = np.array([place for one in made for place in one.offsets], np.int32).reshape(-1, 2)
        return Encodings(first, ids + 1, places[:, 0], places[:, 1])

    def specials(self) -> tuple[list[int], list[int]]:
        """The special tokens that the model wants before and after a text, as its own ids (from 0)."""
        made = self._backend.encode("a")
        own = [i for i, special in enumerate(made.special_tokens_mask) if not special]
        return made.ids[: own[0]], made.ids[own[-1] + 1 :]

    def __reduce__(self) -> tuple[Any, ...]:
        return _restored, (self.name, self._backend.to_str(), self._words is not None)


def _restored(name: str, text: str, by_words: bool) -> Tokenizer:
    return Tokenizer(name, _library().Tokenizer.from_str(text), by_words)


class _Words:
    """Words in tokens, each cut once; texts are put together from them. For threads, too.

    Args:
        encode: cuts what is new.
    """

    def __init__(self, encode: Callable[[list[str]], Encodings]) -> None:
        self._lock = Lock()
        self._atoms = _Memory(encode)
        self._words = _Memory(self._of_atoms)

    def encode_all(self, texts: list[str]) -> list[Encoding]:
        """As the library would cut them."""
        split = [text.split(" ") for text in texts]
        with self._lock:
            made = self._words.joined(split, gap=1)
        ids, starts, ends = made.ids.tolist(), made.starts.tolist(), made.ends.tolist()
        return [Encoding(tuple(ids[a:b]), tuple(starts[a:b]), tuple(ends[a:b])) for a, b in pairwise(made.first.tolist())]

    def _of_atoms(self, words: list[str]) -> Encodings:
        """Words from runs of letters and digits and single symbols, of which there are half as many."""
        return self._atoms.joined([_ATOM.findall(word) if _SIMPLE.fullmatch(word) else [word] for word in words])


class _Memory:
    """Strings in tokens, each cut when it is new.

    Args:
        encode: cuts them.
    """

    def __init__(self, encode: Callable[[list[str]], Encodings]) -> None:
        self._encode = encode
        self._forget()

    def _forget(self) -> None:
        self._index: dict[str, int] = {}
        self._known, self._lengths = Encodings.of([]), np.zeros(0, np.int64)

    def joined(self, texts: Sequence[Sequence[str]], gap: int = 0) -> Encodings:
        """Texts that consist of such strings, with so many characters in between."""
        rows = self._rows(list(chain.from_iterable(texts)))
        known = self._known
        sizes = known.first[rows + 1] - known.first[rows]
        ends = np.r_[0, np.cumsum(self._lengths[rows] + gap)]
        counts = np.fromiter(map(len, texts), np.int64, len(texts))
        first = np.r_[0, np.cumsum(counts)]
        before = ends[:-1] - np.repeat(ends[first[:-1]], counts)  # characters of its text that stand before each string
        total = np.r_[0, np.cumsum(sizes)]
        tokens = np.arange(total[-1]) + np.repeat(known.first[rows] - total[:-1], sizes)
        shift = np.repeat(before, sizes).astype(np.int32)
        return Encodings(total[first], known.ids[tokens], known.starts[tokens] + shift, known.ends[tokens] + shift)

    def _rows(self, strings: list[str]) -> np.ndarray:
        """Their rows among those that are known."""
        distinct = set(strings)
        new = list(distinct.difference(self._index))
        if len(self._index) + len(new) > WORDS_KEPT:
            self._forget()
            new = list(distinct)
        if new:
            self._known = self._known + self._encode(new)
            self._lengths = np.r_[self._lengths, np.fromiter(map(len, new), np.int64, len(new))]
            self._index.update(zip(new, range(len(self._index), len(self._known)), strict=True))
        return np.fromiter(map(self._index.__getitem__, strings), np.int64, len(strings))


def begins_word(text: str, start: int) -> bool:
    """Whether the token that starts at a character is not the inside of a word: spans may begin and end only between words."""
    return start == 0 or not (text[start - 1].isalnum() and text[start : start + 1].isalnum())


@lru_cache(maxsize=8)
def load_tokenizer(tokenizer: str | os.PathLike[str] | None = None) -> Tokenizer:
    """The tokenizer of a name or path; None is the shipped one.

    Args:
        tokenizer: a `tokenizer.json`, a folder that holds one, or a name on the Hugging Face hub.

    Raises:
        ImportError: the package `tokenizers` is missing.
        DataError: there is no such tokenizer, or it cannot be read.
    """
    place = SHIPPED if tokenizer is None else Path(tokenizer)
    if place.is_dir():
        place = place / "tokenizer.json"
    library = _library()
    try:
        if place.is_file():
            made = library.Tokenizer.from_file(str(place))
            return Tokenizer("shipped", made, by_words=True) if tokenizer is None else Tokenizer(str(tokenizer), made)
        return Tokenizer(str(tokenizer), library.Tokenizer.from_pretrained(str(tokenizer)))
    except Exception as error:  # the library raises bare Exception, whatever is wrong
        raise DataError(
            f"no tokenizer {str(tokenizer)!r}: expected a tokenizer.json, a folder that holds one, or a name on the "
            f"Hugging Face hub (which needs a connection); {type(error).__name__}: {error}"
        ) from error


def _library() -> Any:
    try:
        import tokenizers
    except ImportError:
        raise ImportError("natural text needs the package `tokenizers`: pip install 'reasongym[text]'") from None
    return tokenizers
