"""What the lexical PRM reads off the sentences of a made-up world: their words by the part that they play.

Every distinct sentence is read once, and kept as rows of numbers in a `Lexicon`, which serves natural text (`natural`) too.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np


def words_of(text: str) -> frozenset[str]:
    return frozenset(text.split())


DETERMINERS = words_of("a an the his her its their this that these those my your our")
PREPOSITIONS = words_of(
    "to in into at of from with by for on inside above below than between under over through near during about as"
)
PLACE_PREPOSITIONS = words_of("to in into at")
CONJUNCTIONS = words_of("and or either")
NEGATIONS = words_of("not no never nobody nothing")
TIMES = words_of("yesterday today tomorrow morning afternoon evening night")
PAST = words_of("before after when")
SIDES = words_of("left right")
FUNCTION_WORDS = (DETERMINERS | PREPOSITIONS | CONJUNCTIONS | NEGATIONS | PAST) | words_of(
    "i you he she it we they him them me us who whom whose what which where why how many much is are was were be been "
    "being am do does did done have has had will would can could shall should may might must there here then so but if "
    "because while afterwards following longer back up down out off also both any some all each very s t yes maybe go"
)
MOTION = words_of("went journeyed travelled traveled moved walked ran came returned")
POSSESSION = words_of("got took grabbed picked dropped left discarded put gave handed passed received")
IRREGULAR = {"mice": "mouse", "wolves": "wolf", "men": "man", "women": "woman", "children": "child", "people": "person"}

FEW_WORDS = 512
"""Words up to which a mark for each is cheaper than finding out which ones occur."""

_WORD = re.compile(r"\w+")


class Reading(NamedTuple):
    """What is read off one sentence or question; "" is none. Of natural text `names` and `kinds` are read instead of facts."""

    content: tuple[str, ...]
    mentions: tuple[str, ...]
    subjects: tuple[str, ...]
    thing: str
    place: str
    verb: str
    negated: bool
    past: bool
    names: tuple[str, ...] = ()
    kinds: int = 0


def lemma(word: str) -> str:
    """A word lower-cased, without accents, a plural folded into its singular."""
    word = "".join(c for c in unicodedata.normalize("NFKD", word.lower()) if not unicodedata.combining(c))
    if word in IRREGULAR:
        return IRREGULAR[word]
    if len(word) > 4 and word.endswith("ies"):
        return word[:-3] + "y"
    if len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is")):
        return word[:-1]
    return word


def read(text: str) -> Reading:
    """The words of a sentence by their part in it; a pure function of the text."""
    content: list[str] = []
    mentions: list[tuple[str, str]] = []
    subjects: list[str] = []
    verb = governor = previous = ""
    at_subject, noun_phrase = True, False
    negated = dated = past = False
    for token in _WORD.findall(text):
        word = token.lower()
        past |= word in PAST
        if word in FUNCTION_WORDS or word in TIMES or (word in SIDES and previous == "the"):
            negated |= word in NEGATIONS
            dated |= word in TIMES
            noun_phrase = word in DETERMINERS or word in PREPOSITIONS
            at_subject &= word in DETERMINERS or word in CONJUNCTIONS or word in TIMES
            if word in PREPOSITIONS:
                governor = word
            elif word not in DETERMINERS and word not in CONJUNCTIONS:
                governor = ""
        else:
            stem = lemma(token)
            content.append(stem)
            if noun_phrase or token[0].isupper():
                if at_subject:
                    subjects.append(stem)
                mentions.append((stem, governor))
            else:
                verb, governor, at_subject = word, "", False
        previous = word
    thing = place = ""
    rest = mentions[len(subjects) :]
    if subjects and rest and not dated:
        if verb in POSSESSION:
            thing = next((stem for stem, preposition in rest if not preposition), "")
        elif verb in MOTION or not verb:
            place = rest[-1][0] if all(preposition in PLACE_PREPOSITIONS for _, preposition in rest) else ""
    stems = tuple(dict.fromkeys(stem for stem, _ in mentions))
    return Reading(tuple(dict.fromkeys(content)), stems, tuple(subjects[:2]), thing, place, verb, negated, past)


class Lexicon:
    """The readings of all texts seen so far, as columns; row 0 and word 0 are nothing.

    Which number a word or row has depends on what was read first; scores only count, so they do not.

    Args:
        read: reads a text.
    """

    def __init__(self, read: Callable[[str], Reading] = read) -> None:
        self._read = read
        self._rows: dict[str, int] = {}
        self._words: dict[str, int] = {"": 0}
        self.content = np.zeros((64, 4), np.int32)
        self.mentions = np.zeros((64, 4), np.int32)
        self.names = np.zeros((64, 4), np.int32)
        self.facts = np.zeros((64, 5), np.int32)
        """Two subjects, thing, place, verb."""
        self.negated = np.zeros(64, bool)
        self.past = np.zeros(64, bool)
        self.kinds = np.zeros(64, np.uint8)

    def __len__(self) -> int:
        """Texts read so far."""
        return len(self._rows)

    @property
    def num_words(self) -> int:
        """Distinct words so far, nothing included."""
        return len(self._words)

    def rows(self, table: Sequence[str], indices: np.ndarray) -> np.ndarray:
        """The row of each text `table[i]`, of the shape of `indices`; 0 for i = -1."""
        present = np.zeros(len(table) + 1, bool)
        present[indices] = True
        wanted = np.flatnonzero(present[:-1])
        row_of = np.zeros(len(table) + 1, np.int32)
        row_of[wanted] = [self._rows.get(table[i]) or self._add(table[i]) for i in wanted.tolist()]
        return row_of[indices]

    def marks(self, *words: np.ndarray) -> list[np.ndarray]:
        """(n, w) words each -> (n, v) bool each: which of v words, at least all that occur here, are in each row."""
        size = self.num_words
        if size > FEW_WORDS:
            present = np.zeros(size, bool)
            for some in words:
                present[some] = True
            present[0] = False
            here = np.flatnonzero(present)
            place = np.zeros(size, np.int32)
            size = len(here) + 1
            place[here] = np.arange(1, size)
            words = tuple(place[some] for some in words)
        out = []
        for some in words:
            marks = np.zeros((len(some), size), bool)
            marks[np.arange(len(some))[:, None], some] = True
            out.append(marks[:, 1:])
        return out

    def _add(self, text: str) -> int:
        row = self._rows[text] = len(self._rows) + 1
        if row >= len(self.negated):
            for name in ("content", "mentions", "names", "facts", "negated", "past", "kinds"):
                column = getattr(self, name)
                setattr(self, name, np.concatenate([column, np.zeros_like(column)]))
        reading = self._read(text)
        self.content = self._put(self.content, row, reading.content)
        self.mentions = self._put(self.mentions, row, reading.mentions)
        self.names = self._put(self.names, row, reading.names)
        first, second = (*reading.subjects, "", "")[:2]
        self.facts = self._put(self.facts, row, (first, second, reading.thing, reading.place, reading.verb))
        self.negated[row], self.past[row], self.kinds[row] = reading.negated, reading.past, reading.kinds
        return row

    def _put(self, column: np.ndarray, row: int, words: tuple[str, ...]) -> np.ndarray:
        if len(words) > column.shape[1]:
            column = np.pad(column, ((0, 0), (0, len(words) - column.shape[1])))
        for i, word in enumerate(words):
            column[row, i] = self._words.setdefault(word, len(self._words))
        return column
