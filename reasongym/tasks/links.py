"""What links a unit to a question or to another unit of natural text: content words that they share, as bit masks.

Each story has up to 64 *link words* of its own. They stand in for the entities of the made-up worlds: crude, deterministic, and
made of the text and its questions alone, never of answers or support.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from itertools import repeat

from reasongym.types import MAX_ENTITIES

NAMES = tuple(f"link-{i}" for i in range(MAX_ENTITIES))
"""Names of the bits, which mean another word in each story."""

STOP_WORDS = frozenset(
    "a about above after again against all also am among an and any are as at be because been before being below between "
    "both but by can cannot could did do does doing done down during each either else ever every few for from further get "
    "go got had has have having he her here hers herself him himself his how i if in instead into is it its itself just "
    "let like made make many may me might mine more most much must my myself neither no nor not now of off often on once "
    "one only or other others our ours out over own per said same say says shall she should so some still such than that "
    "the their theirs them themselves then there these they this those though through thus to too under until up upon us "
    "use used very via was we were what when where whether which while who whom whose why will with within without would "
    "yet you your yours yourself don didn doesn isn wasn weren couldn wouldn won hadn hasn haven ll ve re th".split()
)
WORDS_KEPT = 1 << 18
_WORD = re.compile(r"[^\W_]+")
_ENDINGS = (("ies", "y"), ("ied", "y"), ("ing", ""), ("ed", ""), ("es", ""), ("s", ""))


def content_words(text: str) -> set[str]:
    """The stems of a text's words that say what it is about: names, numbers, words that are no stop words."""
    found = set(map(_STEMS.__getitem__, _WORD.findall(text.lower())))
    found.discard("")
    return found


class _Stems(dict[str, str]):
    """Stems of words, remembered (a dictionary is looked up faster than a cached function)."""

    def __missing__(self, word: str) -> str:
        if len(self) >= WORDS_KEPT:
            self.clear()
        stem = self[word] = _stem(word)
        return stem


_STEMS = _Stems()


def _stem(word: str) -> str:
    """A light stem, the same for "makes" and "making"; "" of a stop word or a single letter."""
    if word.isdigit():
        return word
    if len(word) < 2 or word in STOP_WORDS:
        return ""
    for ending, instead in _ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= 3 and not word.endswith("ss"):
            word = word[: -len(ending)] + instead
            break
    return word[:-1] if word.endswith("e") and len(word) > 3 else word


def link_masks(units: Sequence[str], questions: Sequence[str]) -> tuple[list[int], list[int]]:
    """The link words of a story's units and of its questions, as masks over the same (at most 64) bits.

    A link word occurs in a unit and in a question, or in two units. Where there are more than 64, each question's
    commonest word comes first, then each one's second, and so on, then the commonest of the units alone. Measured on 60 of
    FairytaleQA's training tales: 76% of the support is linked to its question (without the limit 79%; rarest words first 65%).
    """
    in_units = [content_words(unit) for unit in units]
    in_questions = [content_words(question) for question in questions]
    counts = Counter(word for words in in_units for word in words)
    ranks: dict[str, int] = {}
    for words in in_questions:
        for rank, word in enumerate(sorted(filter(counts.__contains__, words), key=lambda word: (-counts[word], word))):
            ranks[word] = min(rank, ranks.get(word, rank))
    asked = sorted(ranks, key=lambda word: (ranks[word], -counts[word], word))
    told = (word for word, count in counts.items() if count > 1 and word not in ranks)
    chosen = asked[:MAX_ENTITIES]
    if len(chosen) < MAX_ENTITIES:
        chosen += sorted(told, key=lambda word: (-counts[word], word))[: MAX_ENTITIES - len(chosen)]
    bits = {word: 1 << i for i, word in enumerate(chosen)}
    return [_mask(words, bits) for words in in_units], [_mask(words, bits) for words in in_questions]


def _mask(words: set[str], bits: dict[str, int]) -> int:
    return sum(map(bits.get, words, repeat(0)))
