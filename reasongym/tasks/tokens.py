"""Natural text in tokens: the shipped word pieces, or any Hugging Face tokenizer.

The shipped vocabulary (`wordpieces.json`, at most 16,000 WordPiece entries, lower-cased) was trained by
`examples/train_vocabulary.py`. Token ids count from 1 here, as everywhere in the suite: id i stands for `vocabulary[i - 1]`,
so a language model's own id is i - 1, and 0 is always padding.
"""

from __future__ import annotations

import hashlib
import os
from functools import lru_cache
from pathlib import Path
from typing import Any

from reasongym.errors import DataError
from reasongym.types import Encoding

SHIPPED = Path(__file__).with_name("wordpieces.json")
WORTH_THREADS = 64
"""Fewer texts are tokenised faster without threads."""


class Tokenizer:
    """A Hugging Face tokenizer as the suite uses it: ids from 1, offsets in characters, no special tokens.

    Attributes:
        name: for messages and fingerprints.
        vocabulary: token id i stands for `vocabulary[i - 1]`.
    """

    def __init__(self, name: str, backend: Any) -> None:
        self.name, self._backend = name, backend
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
        if len(texts) < WORTH_THREADS:
            encoded = [self._backend.encode(text, add_special_tokens=False) for text in texts]
        else:
            encoded = self._backend.encode_batch(texts, add_special_tokens=False)
        out = []
        for made in encoded:
            kept = [(i + 1, a, b) for i, (a, b) in zip(made.ids, made.offsets, strict=True) if b > a]
            ids, starts, ends = zip(*kept, strict=True) if kept else ((), (), ())
            out.append(Encoding(ids, starts, ends))
        return out

    def specials(self) -> tuple[list[int], list[int]]:
        """The special tokens that the model wants before and after a text, as its own ids (from 0)."""
        made = self._backend.encode("a")
        own = [i for i, special in enumerate(made.special_tokens_mask) if not special]
        return made.ids[: own[0]], made.ids[own[-1] + 1 :]

    def __reduce__(self) -> tuple[Any, ...]:
        return _restored, (self.name, self._backend.to_str())


def _restored(name: str, text: str) -> Tokenizer:
    return Tokenizer(name, _library().Tokenizer.from_str(text))


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
            return Tokenizer("shipped" if tokenizer is None else str(tokenizer), library.Tokenizer.from_file(str(place)))
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
