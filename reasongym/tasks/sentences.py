"""Natural text in units: sentences with their character offsets, over-long ones split again.

Sentences are found by `sentencex` (Wikimedia; rules and lists of abbreviations, nothing to download). Of the gold answers of
SQuAD's training set 99.90% lie in one sentence (by syntok 99.86%, blingfire 99.84%, spaCy's rules 99.83%, segtok 99.70%), and
its 18,896 paragraphs take 0.2 s (8 s, 2 s, 7 s, 5 s).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from reasongym.tasks.tokens import Tokenizer, begins_word
from reasongym.types import Encoding

Stretch = tuple[int, int]
"""A part of a text, [start, end) in characters."""

CUTS = {".": 4, "!": 4, "?": 4, ";": 3, ":": 3, "—": 3, "–": 2, ",": 2, ")": 2, '"': 2, "”": 2}
"""How good a place for a cut is, by the last character before it; any other place between words is worth 1."""

_NOTE = re.compile(r"(?:\[[^\[\]]{1,40}\]|:\d[\d–-]*|[)\]\"”’])+")


def sentences(text: str) -> list[Stretch]:
    """The sentences of a text in order, without the white space around them; together they cover all else.

    A note right behind a sentence, such as Wikipedia's "[citation needed]" or ":74", ends it. A piece without letters and
    digits goes with the one before it (at the beginning: with the one after it).

    Raises:
        ImportError: the package `sentencex` is missing.
    """
    out: list[Stretch] = []
    for found in _library().get_sentence_boundaries("en", text):
        start, end = _trimmed(text, found["start_index"], found["end_index"])
        note = _NOTE.match(text, start, end) if out and start == out[-1][1] else None
        if note:
            out[-1] = (out[-1][0], note.end())
            start, end = _trimmed(text, note.end(), end)
        if start >= end:
            continue
        if out and not (_says(text[start:end]) and _says(text[slice(*out[-1])])):
            out[-1] = (out[-1][0], end)
        else:
            out.append((start, end))
    return out


def units_of(texts: Sequence[str], tokenizer: Tokenizer, unit_tokens: int) -> list[list[tuple[int, int, Encoding]]]:
    """For each text its units in order: its sentences, halved until none has more than `unit_tokens` tokens.

    A unit `(a, b, e)` is `text[a:b]`, in tokens e. Units cover all text but white space, and stretches that the tokenizer has
    no token for.

    Raises:
        ValueError: a character has more tokens than a unit may have.
    """
    done: list[list[tuple[int, int, Encoding]]] = [[] for _ in texts]
    pending = [(i, start, end) for i, text in enumerate(texts) for start, end in sentences(text)]
    while pending:
        encodings = tokenizer.encode_all([texts[i][start:end] for i, start, end in pending])
        halves = []
        for (i, start, end), encoding in zip(pending, encodings, strict=True):
            if len(encoding) > unit_tokens:
                at = start + _cut(texts[i][start:end], encoding, unit_tokens)
                halves += [(i, *_trimmed(texts[i], start, at)), (i, *_trimmed(texts[i], at, end))]
            elif len(encoding):
                done[i].append((start, end, encoding))
        pending = halves
    for found in done:
        found.sort(key=lambda unit: unit[0])
    return done


def _cut(text: str, encoding: Encoding, unit_tokens: int) -> int:
    """Where to cut a text in two, in characters: at the best punctuation in its middle half, else between the words or tokens
    nearest to the middle."""
    size = len(encoding)
    best, place = (-1.0, 0.0), 0
    for i in _outward(size):
        middle = size / 4 <= i <= 3 * size / 4
        if not middle and best[0] >= 1:
            break  # nothing is worth more there
        start = end = encoding.starts[i]
        while end and text[end - 1].isspace():
            end -= 1
        if start > encoding.starts[0] and end:
            worth = 0.0
            if begins_word(text, start):
                spaced = end < start or text[start].isspace()
                last = text[end - 1]
                worth = CUTS.get(last, 1) if middle and (spaced or last == "—") else 0.5 + 0.5 * spaced
            rank = (worth, -abs(i - size / 2))
            if rank > best:
                best, place = rank, start
    if not place:
        raise ValueError(f"unit_tokens={unit_tokens} is too few for this tokenizer: {text!r:.80} alone has {size} tokens")
    return place


@lru_cache(maxsize=512)
def _outward(size: int) -> tuple[int, ...]:
    """1 ... size - 1, those nearest to the middle first."""
    return tuple(sorted(range(1, size), key=lambda i: abs(i - size / 2)))


def _trimmed(text: str, start: int, end: int) -> Stretch:
    piece = text[start:end]
    return start + len(piece) - len(piece.lstrip()), start + len(piece.rstrip())


def _says(piece: str) -> bool:
    return any(map(str.isalnum, piece))


def version() -> str:
    """Of the library, since other versions may cut otherwise."""
    from importlib.metadata import version

    _library()
    return version("sentencex")


def _library() -> Any:
    try:
        import sentencex
    except ImportError:
        raise ImportError("natural text needs the package `sentencex`: pip install 'reasongym[text]'") from None
    return sentencex
