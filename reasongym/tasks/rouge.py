"""The span of a unit that comes closest to an answer in free words, by ROUGE-L (Lin, "ROUGE", 2004).

F measure of the longest common subsequence of words, 2 LCS / (m + n), as in the package `rouge-score` without stemming: words
are runs of a-z and 0-9 of the lower-cased text.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from reasongym.metrics.generated import WORD
from reasongym.types import Encoding


@dataclass(frozen=True, slots=True)
class Words:
    """A unit's words: `first[i]` to `last[i]` are the tokens that word i lies in."""

    words: tuple[str, ...]
    first: tuple[int, ...]
    last: tuple[int, ...]

    @staticmethod
    def of(text: str, encoding: Encoding) -> Words:
        lowered = "".join(c if len(c) == 1 else "_" for c in map(str.lower, text))  # keeps offsets: "İ" grows when lowered
        found = [match for match in WORD.finditer(lowered) if len(encoding)]
        starts = encoding.starts
        first = tuple(max(0, bisect_right(starts, match.start()) - 1) for match in found)
        last = tuple(max(0, bisect_right(starts, match.end() - 1) - 1) for match in found)
        return Words(tuple(match.group() for match in found), first, last)


def best_span(unit: Words, references: Sequence[Sequence[str]], max_length: int) -> tuple[float, int, int]:
    """The best span's score against any of the references, and its first and last token; (0, 0, 0) where none scores.

    Args:
        max_length: most tokens between the first and the last one.
    """
    best = (0.0, 0, 0)
    for reference in references:
        if reference:
            found = _best_span(unit, reference, max_length)
            if found[0] > best[0]:
                best = found
    return best


def _best_span(unit: Words, reference: Sequence[str], max_length: int) -> tuple[float, int, int]:
    """A best span begins and ends with a word of the reference: one that does not gains by losing that word.

    The common subsequence grows by a word at a time, in the bits of one number (Hyyrö, 2004: a cleared bit i, it grew at
    word i of the reference).
    """
    places: dict[str, int] = {}
    for i, word in enumerate(reference):
        places[word] = places.get(word, 0) | 1 << i
    matches = [(j, places[word]) for j, word in enumerate(unit.words) if word in places]
    size, every = len(reference), (1 << len(reference)) - 1
    best = (0.0, 0, 0)
    for k, (start, _) in enumerate(matches):
        row, first = every, unit.first[start]
        for end, place in matches[k:]:
            if unit.last[end] - first > max_length:
                break
            hits = row & place
            row = ((row + hits) | (row - hits)) & every
            score = 2 * (size - row.bit_count()) / (size + end - start + 1)
            if score > best[0]:
                best = (score, first, unit.last[end])
    return best
