"""`lexical`: logic, coherence and goal without annotation, from the words of what the agent can see, and nothing else.

Where answers are chosen from a list (bAbI), the rules below hold; where they are open (`StepBatch.choices` is empty), those of
natural text, at the end. Every distinct sentence is read once: its *content words* (function words dropped, plurals folded), its *mentions* (content
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

**Natural text** (`natural`): stems instead of mentions, kinship k = kin(M, Q ∪ C) instead of the share, and k' = k, times 0.7 where
the unit brings nothing new or not the kind of thing that is asked for:

| | RECALL |
| --- | --- |
| logic | -1 when every unit of x is already in the chain, or a later visible unit says the contrary; else 0 |
| coherence | 2^-h k, or -0.5 when that is none |
| goal | 2^-h (k' - 0.15) / 0.85, or, where k' < 0.15, from 0 down to -0.5 (k' = 0) |

STORE and UPDATE: `relevance` k; 0 when that is none but M shares a word with memory; else -`relevance`.
"""  # noqa: E501

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from reasongym.prm import natural
from reasongym.prm.base import RECALL, STORE, UPDATE, StepBatch
from reasongym.prm.reading import Lexicon

LOGIC, COHERENCE, GOAL = range(3)
MOST_TEXTS = 500_000
"""Readings that are kept."""
_CHUNK = 1 << 23
"""Most cells of a (steps, words) table of marks at a time: bounds memory with the vocabulary of natural text."""


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
        self.version = f"lexical-2(relevance={relevance:g})"
        self._lexicon, self._natural = Lexicon(), Lexicon(natural.read)

    def __repr__(self) -> str:
        return f"LexicalPRM(relevance={self.relevance!r})"

    def score(self, steps: StepBatch) -> np.ndarray:
        """(n, 3) float32 scores in [-1, 1]; NaN = unscored."""
        if len(self._lexicon) + len(self._natural) > MOST_TEXTS:  # texts know no end; what is read anew scores the same
            self._lexicon, self._natural = Lexicon(), Lexicon(natural.read)
        lexicon = self._lexicon if len(steps.choices) else self._natural
        values = np.full((len(steps), 3), np.nan, np.float32)
        stored = (steps.kind == STORE) | (steps.kind == UPDATE)
        for kind, score in ((steps.kind == RECALL, self._recalls), (stored & (self.relevance > 0), self._stores)):
            rows = np.flatnonzero(kind & ~steps.illegal)
            size = max(1, _CHUNK // max(1024, lexicon.num_words))
            for start in range(0, len(rows), size):
                chunk = rows[start : start + size]
                values[chunk] = score(steps, chunk, lexicon)
        return values

    def _recalls(self, steps: StepBatch, rows: np.ndarray, lexicon: Lexicon) -> np.ndarray:
        each = np.arange(len(rows))
        slot, links = steps.slot[rows], steps.chain_length[rows] - 1
        units, positions = steps.memory_before[rows, slot], steps.positions_before[rows, slot]
        chain, chain_positions = steps.chain[rows], steps.chain_positions[rows]  # copies: the new link is taken out
        chain[each, links] = chain_positions[each, links] = -1
        halving = 0.5**links
        if lexicon is self._natural:
            kin, promising, judged = self._kinship(steps, rows, units, chain)
            coherence = np.where(kin > 0, halving * kin, -0.5)
            goal = natural.usefulness(kin, promising, halving)
        else:
            recalled, linked_to, said = self._marks(steps, rows, units, chain)
            size, linked = recalled.sum(1), (recalled & linked_to).sum(1)
            useful = np.minimum(linked, (recalled & ~said).sum(1))
            coherence = np.where(linked > 0, halving * linked / np.maximum(size, 1), -1)
            goal = np.where(useful > 0, halving * np.minimum(1, 2 * useful / np.maximum(size, 1)), -0.5)
            judged = (size > 0) & linked_to.any(1)
        coherence[~judged] = goal[~judged] = np.nan
        known = (positions[:, :, None] == chain_positions.reshape(len(rows), 1, -1)).any(2)
        useless = known | self._stale(steps, rows, units, positions, chain, chain_positions, lexicon)
        logic = np.where((useless | (units < 0)).all(1), -1, 0)
        return np.stack([logic, coherence, goal], axis=1)

    def _stores(self, steps: StepBatch, rows: np.ndarray, lexicon: Lexicon) -> np.ndarray:
        memory = self._rows_of(steps, steps.memory_before[rows], lexicon)
        desk, chain = steps.desk[rows, None], steps.chain[rows]
        if lexicon is self._natural:
            share, _, judged = self._kinship(steps, rows, desk, chain)
        else:
            stored, linked_to, _ = self._marks(steps, rows, desk, chain)
            share = (stored & linked_to).sum(1) / np.maximum(stored.sum(1), 1)
            judged = np.logical_and(stored.any(1), linked_to.any(1))
        words = (lexicon.mentions[texts].reshape(len(rows), -1) for texts in (lexicon.rows(steps.sentences, desk), memory))
        stored, held = lexicon.marks(*words)
        otherwise = np.where((stored & held).any(1), 0, -1)
        coherence = self.relevance * np.where(share > 0, share, otherwise)
        coherence[~judged] = np.nan
        unscored = np.full(len(rows), np.nan)
        return np.stack([unscored, coherence, unscored], axis=1)

    def _kinship(self, steps: StepBatch, rows: np.ndarray, units: np.ndarray, chain: np.ndarray) -> tuple[np.ndarray, ...]:
        lexicon = self._natural
        recalled, said = (self._rows_of(steps, part, lexicon) for part in (units, chain))
        return natural.kinship(lexicon, recalled, said, lexicon.rows(steps.questions, steps.question[rows]))

    def _marks(
        self, steps: StepBatch, rows: np.ndarray, units: np.ndarray, chain: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(r, v) marks of the words of M, of Q and C together, and of C."""
        lexicon = self._lexicon
        texts = [self._rows_of(steps, part, lexicon) for part in (units, chain)]
        questions = lexicon.rows(steps.questions, steps.question[rows])
        words = [lexicon.mentions[text].reshape(len(rows), -1) for text in texts]
        mentioned, said, asked = lexicon.marks(*words, lexicon.content[questions])
        return mentioned, said | asked, said

    def _rows_of(self, steps: StepBatch, units: np.ndarray, lexicon: Lexicon) -> np.ndarray:
        return lexicon.rows(steps.sentences, units.reshape(len(units), -1))

    def _stale(self, steps: StepBatch, rows: np.ndarray, units: np.ndarray, positions: np.ndarray,
               chain: np.ndarray, chain_positions: np.ndarray, lexicon: Lexicon) -> np.ndarray:  # fmt: skip
        """(r, U) whether a visible unit that was read later says otherwise."""
        n = len(rows)
        desk = steps.desk[rows, None]
        visible = np.concatenate([steps.memory_before[rows].reshape(n, -1), chain.reshape(n, -1), desk], axis=1)
        when = [
            steps.positions_before[rows].reshape(n, -1),
            chain_positions.reshape(n, -1),
            steps.units_read[rows, None],
        ]
        later = np.concatenate(when, axis=1)[:, None, :] > positions[:, :, None]
        x_rows, y_rows = self._rows_of(steps, units, lexicon), self._rows_of(steps, visible, lexicon)
        asks_for_the_past = lexicon.past[lexicon.rows(steps.questions, steps.question[rows])][:, None]
        if lexicon is self._natural:
            return natural.contradicted(lexicon, x_rows, y_rows, later) & ~asks_for_the_past
        x, y = x_rows[:, :, None], y_rows[:, None, :]
        (who, other, what, where, verb), (who_y, other_y, what_y, where_y, verb_y) = (
            [column[t] for column in lexicon.facts.T] for t in (x, y)
        )
        same_people = (who > 0) & ((who == who_y) | (who == other_y)) & ((other == 0) | (other == who_y) | (other == other_y))
        no, no_y = lexicon.negated[x], lexicon.negated[y]
        moved = (where > 0) & (where_y > 0) & ((where == where_y) == (no != no_y)) & ~(no & no_y)
        changed_hands = (what > 0) & (what == what_y) & ((verb != verb_y) | (no != no_y))
        return (later & same_people & (moved | changed_hands)).any(2) & ~asks_for_the_past
