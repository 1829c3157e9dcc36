"""Scripted readers of natural text: what keeping and pointing by rule gets, beside agents that learn to.

They read the observation alone (token ids of question, desk, memory and chain) and how rare a token is in training texts.

| reader | keeps | recalls | answers |
| --- | --- | --- | --- |
| abstain | nothing | nothing | abstains |
| last units | the last K units | the two latest | a span by rule |
| tf-idf | the K units nearest to the question so far | the two nearest, the nearest last | a span by rule |

Nearness is the cosine of TF-IDF vectors. The rule for a span: a number where the question asks when or how many, else the
longest run of tokens that are neither common nor in the question.
Axes: N environments, K slots, L tokens of a unit, V tokens of the vocabulary.
"""

from __future__ import annotations

import numpy as np

from reasongym.audit.play import sample
from reasongym.audit.policies import Policy, Situation, answer_at_once
from reasongym.types import ProblemSource

TEXTS = 2_000
"""Training problems whose units say how rare a token is."""
COMMON = 0.02
"""Share of the units from which on a token counts as common."""
LONGEST = 6
"""Most tokens of a span by rule."""
COUNTING = ("when", "year", "many", "much", "old", "long", "tall", "high")
"""Words of questions that ask for a number."""


class Rarity:
    """How rare tokens are: `idf` (V + 1,) float64, 0 for padding; `common` (V + 1,) bool.

    Args:
        source: of the training texts.
        texts: how many of them are read, at most.
    """

    def __init__(self, source: ProblemSource, texts: int = TEXTS) -> None:
        counts, units = np.zeros(len(source.vocabulary) + 1), 0
        for index in sample(source.num_problems, texts).tolist():
            problem = source.problem(index)
            for unit in problem.story.units[: problem.num_units]:
                counts[np.unique(source.tokenize(unit))] += 1
                units += 1
        self.idf = np.log((1 + units) / (1 + counts))
        self.common = counts > COMMON * max(units, 1)
        self.idf[0], self.common[0] = 0.0, True
        self.number = np.array([False, *(piece.isdigit() for piece in source.vocabulary)])
        self.counting = [i + 1 for i, piece in enumerate(source.vocabulary) if piece in COUNTING]

    def nearness(self, questions: np.ndarray, texts: np.ndarray) -> np.ndarray:
        """(N, Lq), (N, M, L) tokens -> (N, M) cosine of the TF-IDF vectors (every token counted once)."""
        shared = (texts[:, :, :, None] == questions[:, None, None, :]).any(3) & (texts > 0)
        weight = self.idf[texts] ** 2
        norm = np.sqrt(weight.sum(2) * (self.idf[questions] ** 2).sum(1)[:, None])
        return (weight * shared).sum(2) / np.maximum(norm, 1e-9)


class Reader:
    """Keeps by a rule, recalls two slots, answers with a span of the better one by rule.

    Args:
        rarity: of the training texts.
        keep: "nearest" or "last".
    """

    def __init__(self, rarity: Rarity, keep: str) -> None:
        self.rarity, self.keep = rarity, keep

    def __call__(self, s: Situation) -> np.ndarray:
        o, mask, k = s.observation, s.mask, s.slots
        width = o["unit"].shape[1]
        first = o["memory"].reshape(len(o["unit"]), k, -1)[:, :, :width].astype(np.int64)
        near = self.rarity.nearness(o["question"].astype(np.int64), first)
        near = np.where(o["memory_features"][:, :, 0] > 0, near, np.inf)
        if self.keep == "last":
            near = np.where(o["memory_features"][:, :, 0] > 0, o["memory_positions"].max(2), np.inf)
        action = self._read(s, near)
        order = np.argsort(np.where(np.isinf(near), -1.0, near), axis=1)
        held, links = (~np.isinf(near)).sum(1), (o["chain_positions"] > 0).any(2).sum(1)
        for row in np.flatnonzero(~s.reading).tolist():
            left = min(2, held[row]) - links[row]  # slots still to be recalled, the best last
            action[row] = 1 + 2 * k + order[row, -left] if left > 0 else 0
            if not mask[row, action[row]]:
                action[row] = self.answer(o, mask[row], row, 1 + 3 * k)
        return action

    def _read(self, s: Situation, near: np.ndarray) -> np.ndarray:
        """STORE where the desk is nearer than what the worst slot holds (an empty slot is always worse), else NEXT."""
        o, k = s.observation, s.slots
        empty = np.isinf(near)
        desk = self.rarity.nearness(o["question"].astype(np.int64), o["unit"][:, None].astype(np.int64))[:, 0]
        worst = np.where(empty.any(1), empty.argmax(1), near.argmin(1))
        better = empty.any(1) | (self.keep == "last") | (desk > near.min(1))
        store = 1 + worst
        return np.where(better & s.mask[np.arange(len(store)), store] & (k > 0), store, 0)

    def answer(self, o: dict[str, np.ndarray], mask: np.ndarray, row: int, answers: int) -> int:
        """START or END of the span by rule in the last link, ABSTAIN where there is nothing to point at."""
        positions = (len(mask) - answers - 1) // 2
        link = int((o["chain_positions"][row] > 0).any(1).sum()) - 1
        if link < 0:
            return len(mask) - 1
        tokens = o["chain"][row, link].astype(np.int64)
        start, end = self._span(tokens, o["question"][row].astype(np.int64))
        legal = mask[answers:-1]
        if o["span_start"][row, 0] > 0:
            ends = np.flatnonzero(legal[positions:])
            return answers + positions + int(ends[np.abs(ends - end).argmin()])
        starts = np.flatnonzero(legal[:positions])
        return answers + int(starts[np.abs(starts - start).argmin()]) if len(starts) else len(mask) - 1

    def _span(self, tokens: np.ndarray, question: np.ndarray) -> tuple[int, int]:
        """First and last token of the span."""
        if np.isin(question, self.rarity.counting).any():
            numbers = np.flatnonzero(self.rarity.number[tokens])
            if len(numbers):
                return int(numbers[0]), int(numbers[0])
        fits = ~self.rarity.common[tokens] & ~np.isin(tokens, question)
        best, start = (0, 0), -1
        for p, fit in enumerate([*fits.tolist(), False]):
            if fit and start < 0:
                start = p
            elif not fit and start >= 0:
                if p - start > best[1] - best[0]:
                    best = (start, p)
                start = -1
        return best[0], min(max(best[1] - 1, best[0]), best[0] + LONGEST - 1)


def readers(source: ProblemSource) -> dict[str, Policy]:
    """The readers by name; `source` holds training texts."""
    rarity = Rarity(source)
    return {"abstain": answer_at_once, "last units": Reader(rarity, "last"), "tf-idf": Reader(rarity, "nearest")}
