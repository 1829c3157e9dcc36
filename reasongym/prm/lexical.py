"""`lexical`: logic, coherence and goal without annotation, from the words of what the agent can see, and nothing else.

Every distinct sentence is read once: its *content words* (function words dropped, plurals folded), its *mentions* (content
words that are capitalised or stand in a noun phrase), and, for sentences about somebody's place or possessions, who, what, where
and whether it is negated. The scores of a step are then set operations on those words, for all environments at once.

With x the recalled content, Q the question's content words (none while it is hidden), C the mentions of the chain so
far, M = mentions of x, h = links in the chain so far:

| | RECALL |
| --- | --- |
| logic | -1 when every unit of x is already in the chain, or is *stale*: a visible unit (memory, chain, desk) read later says otherwise of the same person; else 0 |
| coherence | 2^-h |M ∩ (Q ∪ C)| / |M|, or -1 when that is none |
| goal | 2^-h min(1, 2 min(|M ∩ (Q ∪ C)|, |M - C|) / |M|): linked to what is asked, and new; -0.5 when that is none |

The halving bounds what all recalls of an episode can earn by 2, so recalling everything does not pay.
STORE and UPDATE are scored on coherence alone: `relevance` |M ∩ (Q ∪ C)| / |M| for the unit on the desk; 0 when that is none but M
meets the mentions of memory; else -`relevance`. So, as an observer, what it stores for the question gains salience.
Unscored (NaN): NEXT, ANSWER, illegal actions; coherence and goal without any mention, or with Q and C both empty.

*Says otherwise* is lexical: about all the same people (the mentions before the verb); then another place after a verb of motion or being, or the same place with
the other sign of negation; or the same thing with another verb of possession. Never with a time of day in either sentence, nor when
the question asks for the past (before, after, when). Pronouns are not resolved. Where a question needs a superseded fact (task 2: where
somebody was when the thing was dropped) logic errs; the annotated PRM is the one that knows.
"""  # noqa: E501

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from reasongym.prm.base import RECALL, STORE, UPDATE, StepBatch

LOGIC, COHERENCE, GOAL = range(3)


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


DETERMINERS = _words("a an the his her its their this that these those my your our")
PREPOSITIONS = _words(
    "to in into at of from with by for on inside above below than between under over through near during about as"
)
PLACE_PREPOSITIONS = _words("to in into at")
CONJUNCTIONS = _words("and or either")
NEGATIONS = _words("not no never nobody nothing")
TIMES = _words("yesterday today tomorrow morning afternoon evening night")
PAST = _words("before after when")
SIDES = _words("left right")
FUNCTION_WORDS = (DETERMINERS | PREPOSITIONS | CONJUNCTIONS | NEGATIONS | PAST) | _words(
    "i you he she it we they him them me us who whom whose what which where why how many much is are was were be been "
    "being am do does did done have has had will would can could shall should may might must there here then so but if "
    "because while afterwards following longer back up down out off also both any some all each very s t yes maybe go"
)
MOTION = _words("went journeyed travelled traveled moved walked ran came returned")
POSSESSION = _words("got took grabbed picked dropped left discarded put gave handed passed received")
IRREGULAR = {"mice": "mouse", "wolves": "wolf", "men": "man", "women": "woman", "children": "child", "people": "person"}

_WORD = re.compile(r"\w+")
MOST_TEXTS = 500_000
"""Readings that are kept."""
_CHUNK = 1 << 23
"""Most cells of a (steps, words) table of marks at a time: bounds memory with the vocabulary of natural text."""


class Reading(NamedTuple):
    """What is read off one sentence or question; "" is none."""

    content: tuple[str, ...]
    mentions: tuple[str, ...]
    subjects: tuple[str, ...]
    thing: str
    place: str
    verb: str
    negated: bool
    past: bool


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
    """

    def __init__(self) -> None:
        self._rows: dict[str, int] = {}
        self._words: dict[str, int] = {"": 0}
        self.content = np.zeros((64, 4), np.int32)
        self.mentions = np.zeros((64, 4), np.int32)
        self.facts = np.zeros((64, 5), np.int32)
        """Two subjects, thing, place, verb."""
        self.negated = np.zeros(64, bool)
        self.past = np.zeros(64, bool)

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

    def _add(self, text: str) -> int:
        row = self._rows[text] = len(self._rows) + 1
        if row >= len(self.negated):
            for name in ("content", "mentions", "facts", "negated", "past"):
                column = getattr(self, name)
                setattr(self, name, np.concatenate([column, np.zeros_like(column)]))
        reading = read(text)
        self.content = self._put(self.content, row, reading.content)
        self.mentions = self._put(self.mentions, row, reading.mentions)
        first, second = (*reading.subjects, "", "")[:2]
        self.facts = self._put(self.facts, row, (first, second, reading.thing, reading.place, reading.verb))
        self.negated[row], self.past[row] = reading.negated, reading.past
        return row

    def _put(self, column: np.ndarray, row: int, words: tuple[str, ...]) -> np.ndarray:
        if len(words) > column.shape[1]:
            column = np.pad(column, ((0, 0), (0, len(words) - column.shape[1])))
        for i, word in enumerate(words):
            column[row, i] = self._words.setdefault(word, len(self._words))
        return column


class LexicalPRM:
    """See the module's docstring for the formulas.

    Args:
        relevance: size in [0, 1] of the scores of STORE and UPDATE; 0 leaves them unscored.
    """

    criteria = ("logic", "coherence", "goal")
    needs_annotation = False
    cacheable = False  # looking a score up costs more than computing it
    default_beta: Mapping[str, float] = {"logic": 0.2, "coherence": 0.1, "goal": 0.3}

    def __init__(self, *, relevance: float = 0.25) -> None:
        if not 0 <= relevance <= 1:
            raise ValueError(f"relevance must lie in [0, 1], got {relevance!r}")
        self.relevance = relevance
        self.version = f"lexical-1(relevance={relevance:g})"
        self._lexicon = Lexicon()

    def __repr__(self) -> str:
        return f"LexicalPRM(relevance={self.relevance!r})"

    def score(self, steps: StepBatch) -> np.ndarray:
        """(n, 3) float32 scores in [-1, 1]; NaN = unscored."""
        if len(self._lexicon) > MOST_TEXTS:  # own words and natural text know no end; what is read anew scores the same
            self._lexicon = Lexicon()
        values = np.full((len(steps), 3), np.nan, np.float32)
        stored = (steps.kind == STORE) | (steps.kind == UPDATE)
        for kind, score in ((steps.kind == RECALL, self._recalls), (stored & (self.relevance > 0), self._stores)):
            rows = np.flatnonzero(kind & ~steps.illegal)
            size = max(1, _CHUNK // max(1024, self._lexicon.num_words))
            for start in range(0, len(rows), size):
                chunk = rows[start : start + size]
                values[chunk] = score(steps, chunk)
        return values

    def _recalls(self, steps: StepBatch, rows: np.ndarray) -> np.ndarray:
        each = np.arange(len(rows))
        slot, links = steps.slot[rows], steps.chain_length[rows] - 1
        units, positions = steps.memory_before[rows, slot], steps.positions_before[rows, slot]
        chain, chain_positions = steps.chain[rows], steps.chain_positions[rows]  # copies: the new link is taken out
        chain[each, links] = chain_positions[each, links] = -1
        recalled, linked_to, said = self._marks(steps, rows, units, chain)
        size, linked = recalled.sum(1), (recalled & linked_to).sum(1)
        new = (recalled & ~said).sum(1)
        halving = 0.5**links
        coherence = np.where(linked > 0, halving * linked / np.maximum(size, 1), -1)
        useful = np.minimum(linked, new)
        goal = np.where(useful > 0, halving * np.minimum(1, 2 * useful / np.maximum(size, 1)), -0.5)
        unjudged = (size == 0) | ~linked_to.any(1)
        coherence[unjudged] = goal[unjudged] = np.nan
        known = (positions[:, :, None] == chain_positions.reshape(len(rows), 1, -1)).any(2)
        useless = known | self._stale(steps, rows, units, positions, chain, chain_positions)
        logic = np.where((useless | (units < 0)).all(1), -1, 0)
        return np.stack([logic, coherence, goal], axis=1)

    def _stores(self, steps: StepBatch, rows: np.ndarray) -> np.ndarray:
        memory = self._rows_of(steps, steps.memory_before[rows])
        stored, linked_to, _ = self._marks(steps, rows, steps.desk[rows, None], steps.chain[rows])
        held = self._mark(self._lexicon.mentions, memory)
        size, linked = stored.sum(1), (stored & linked_to).sum(1)
        otherwise = np.where((stored & held).any(1), 0, -1)
        coherence = self.relevance * np.where(linked > 0, linked / np.maximum(size, 1), otherwise)
        coherence[(size == 0) | ~linked_to.any(1)] = np.nan
        unscored = np.full(len(rows), np.nan)
        return np.stack([unscored, coherence, unscored], axis=1)

    def _marks(
        self, steps: StepBatch, rows: np.ndarray, units: np.ndarray, chain: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(r, V) marks of the words of M, of Q and C together, and of C."""
        texts = [self._rows_of(steps, part) for part in (units, chain)]
        questions = self._lexicon.rows(steps.questions, steps.question[rows])
        mentioned, said = (self._mark(self._lexicon.mentions, text) for text in texts)
        asked = self._mark(self._lexicon.content, questions[:, None])
        return mentioned, said | asked, said

    def _rows_of(self, steps: StepBatch, units: np.ndarray) -> np.ndarray:
        return self._lexicon.rows(steps.sentences, units.reshape(len(units), -1))

    def _mark(self, column: np.ndarray, texts: np.ndarray) -> np.ndarray:
        words = column[texts].reshape(len(texts), -1)
        marks = np.zeros((len(texts), self._lexicon.num_words), bool)
        marks[np.arange(len(texts))[:, None], words] = True
        marks[:, 0] = False
        return marks

    def _stale(self, steps: StepBatch, rows: np.ndarray, units: np.ndarray, positions: np.ndarray,
               chain: np.ndarray, chain_positions: np.ndarray) -> np.ndarray:  # fmt: skip
        """(r, U) whether a visible unit that was read later says otherwise."""
        n, lexicon = len(rows), self._lexicon
        desk = steps.desk[rows, None]
        visible = np.concatenate([steps.memory_before[rows].reshape(n, -1), chain.reshape(n, -1), desk], axis=1)
        when = [
            steps.positions_before[rows].reshape(n, -1),
            chain_positions.reshape(n, -1),
            steps.units_read[rows, None],
        ]
        later = np.concatenate(when, axis=1)[:, None, :] > positions[:, :, None]
        x, y = self._rows_of(steps, units)[:, :, None], self._rows_of(steps, visible)[:, None, :]
        (who, other, what, where, verb), (who_y, other_y, what_y, where_y, verb_y) = (
            [column[t] for column in lexicon.facts.T] for t in (x, y)
        )
        same_people = (who > 0) & ((who == who_y) | (who == other_y)) & ((other == 0) | (other == who_y) | (other == other_y))
        no, no_y = lexicon.negated[x], lexicon.negated[y]
        moved = (where > 0) & (where_y > 0) & ((where == where_y) == (no != no_y)) & ~(no & no_y)
        changed_hands = (what > 0) & (what == what_y) & ((verb != verb_y) | (no != no_y))
        otherwise = (later & same_people & (moved | changed_hands)).any(2)
        asks_for_the_past = lexicon.past[lexicon.rows(steps.questions, steps.question[rows])]
        return otherwise & ~asks_for_the_past[:, None]
