"""Keeping units by rule, recalling what is nearest to the question, and answering from a table.

| rule | which slot a new unit overwrites once memory is full |
| --- | --- |
| fifo | the oldest |
| lifo | the newest |
| uniform | any, each equally likely |
| lru | the least recently used: read by content, or written |
| tf-idf | the one farthest from the question, where the new unit is nearer; else none |

The first four are the line-up of EMR (Han et al. 2019, arXiv 1903.06164), rules for keeping, there under a trained reader.
Here the
reader is a rule as well, the same for all of them: it recalls the slot nearest to the question, where that paid in training
then the one nearest to what was recalled, and answers what training problems with the same evidence were answered with.
Answers in spans are pointed at by the rule of `reasongym.audit.readers`. Nearness is the TF-IDF weight of the words shared;
of equals, the later unit is nearer.

Axes: N environments, K slots, L tokens of a unit, M units of a story.
"""

from __future__ import annotations

from collections import Counter

import numpy as np

from reasongym.audit.accuracy import TRAINING_PROBLEMS
from reasongym.audit.play import sample
from reasongym.audit.policies import Situation, noise
from reasongym.audit.readers import Rarity, Reader
from reasongym.types import ProblemSource

KEEPERS = ("fifo", "lifo", "uniform", "lru", "tf-idf")
"""The rules."""
DECAY = 0.95
"""Of usage, a step (least recently used access; Santoro et al. 2016, arXiv 1605.06065, eq. 20)."""
LATER = 1e-6
"""What position adds to nearness: of equals, the later unit."""
HOPS = (1, 2)
"""Numbers of units recalled that are tried."""
Tokens = tuple[int, ...]


class Answers:
    """Which answer follows which evidence, counted over training problems: by question and units recalled, then by the last
    unit recalled, then the majority.

    Args:
        source: of training problems.
        rarity: of its tokens.
        majority: its most frequent answer.

    Attributes:
        hops: how many units are recalled: what answered more of the last quarter of the training problems.
    """

    def __init__(self, source: ProblemSource, rarity: Rarity, majority: int) -> None:
        self.majority = majority
        problems = [source.problem(int(index)) for index in sample(source.num_problems, TRAINING_PROBLEMS)]
        rows = []
        for problem in problems:
            units = [tuple(source.tokenize(unit)) for unit in problem.story.units[: problem.num_units]]
            question = tuple(source.tokenize(problem.question))
            rows.append((question, chain(rarity, question, units, max(HOPS)), source.choice_of(problem.answers[0])))
        cut = len(rows) - len(rows) // 4
        scores = {}
        for self.hops in HOPS:
            self._count(rows[:cut])
            scores[self.hops] = sum(self(question, links[: self.hops]) == gold for question, links, gold in rows[cut:])
        self.hops = max(HOPS, key=lambda hops: (scores[hops], -hops))
        self._count(rows)

    def _count(self, rows: list[tuple[Tokens, list[Tokens], int]]) -> None:
        counts: dict[object, Counter[int]] = {}
        for question, links, gold in rows:
            links = links[: self.hops]
            for key in ((question, *links), links[-1:] and links[-1]):
                counts.setdefault(key, Counter())[gold] += 1
        self._table = {key: min(count, key=lambda gold: (-count[gold], gold)) for key, count in counts.items()}

    def __call__(self, question: Tokens, links: list[Tokens]) -> int:
        """The choice, given the question and what was recalled."""
        last = links[-1] if links else ()
        return self._table.get((question, *links), self._table.get(last, self.majority))


def chain(rarity: Rarity, question: Tokens, units: list[Tokens], links: int) -> list[Tokens]:
    """The unit nearest to the question, then the one nearest to that, ...; the latest of equals."""
    out: list[Tokens] = []
    rest = list(range(len(units)))
    query = question
    while rest and len(out) < links:
        near = overlap(rarity, padded([query]), padded([units[i] for i in rest])[None])[0] + LATER * np.array(rest)
        best = rest.pop(int(near.argmax()))
        out.append(units[best])
        query = units[best]
    return out


def overlap(rarity: Rarity, queries: np.ndarray, texts: np.ndarray) -> np.ndarray:
    """(N, L), (N, M, L') tokens -> (N, M) float64: TF-IDF weight of each query's distinct words that a text has.

    Not their cosine: of two sentences about John, the one with the rarer verb is no farther from "Where is John?".
    """
    words = np.where((queries[:, :, None] == queries[:, None, :]).argmax(2) == np.arange(queries.shape[1]), queries, 0)
    shared = (words[:, None, :, None] == texts[:, :, None, :]).any(3) & (words > 0)[:, None]
    return (rarity.idf[words][:, None] ** 2 * shared).sum(2)


def padded(rows: list[Tokens]) -> np.ndarray:
    """(len(rows), longest) int64, 0 padded."""
    out = np.zeros((len(rows), max(map(len, rows), default=0)), np.int64)
    for i, row in enumerate(rows):
        out[i, : len(row)] = row
    return out


class Keeper:
    """A policy (`reasongym.audit.policies`) that keeps by a rule and recalls what is near.

    Args:
        rarity: of training tokens.
        rule: one of `KEEPERS`.
        answers: of closed tasks; None where answers are spans.
    """

    def __init__(self, rarity: Rarity, rule: str, answers: Answers | None) -> None:
        self.rarity, self.rule, self.answers = rarity, rule, answers
        self._pointing = Reader(rarity, "nearest")
        self._usage = np.zeros((0, 0))

    def __call__(self, s: Situation) -> np.ndarray:
        o = s.observation
        units = o["memory"].reshape(len(o["unit"]), s.slots, -1)[:, :, : o["unit"].shape[1]].astype(np.int64)
        action = self._store(s, units)
        for row in np.flatnonzero(~s.reading).tolist():
            action[row] = self._reason(s, units[row], row)
        return action

    def _store(self, s: Situation, units: np.ndarray) -> np.ndarray:
        """STORE into the first empty slot, else as the rule says; NEXT where that is closed. (N,)"""
        n, k = len(units), s.slots
        if k == 0:
            return np.zeros(n, np.int64)
        held = s.observation["memory_features"][:, :, 0] > 0
        slot = np.where(held.all(1), self._overwritten(s, units), (~held).argmax(1))
        store = np.where(slot >= 0, 1 + slot, 0)
        action = np.where(s.mask[np.arange(n), store], store, 0)
        if self.rule == "lru":
            written = (action[:, None] == 1 + np.arange(k)) & s.reading[:, None]
            self._usage = self._usage + written
        return action

    def _overwritten(self, s: Situation, units: np.ndarray) -> np.ndarray:
        """(N,) the slot that gives way, -1 for none."""
        o = s.observation
        position = o["memory_positions"].max(2)
        if self.rule == "fifo":
            return position.argmin(1)
        if self.rule == "lifo":
            return position.argmax(1)
        if self.rule == "uniform":
            return noise(s, s.slots).argmax(1)
        desk = o["unit"].astype(np.int64)
        if self.rule == "lru":
            before = self._usage if self._usage.shape == position.shape else np.zeros(position.shape)
            self._usage = DECAY * before * (s.step > 0)[:, None] + self.rarity.nearness(desk, units)
            return self._usage.argmin(1)
        question = o["question"].astype(np.int64)
        near = overlap(self.rarity, question, units)
        oldest = (near + LATER * position).argmin(1)
        return np.where(overlap(self.rarity, question, desk[:, None])[:, 0] >= near.min(1), oldest, -1)

    def _reason(self, s: Situation, units: np.ndarray, row: int) -> int:
        """RECALL what is nearest to the question or to the last link, or an answer."""
        o, mask, k = s.observation, s.mask[row], s.slots
        question = o["question"][row].astype(np.int64)
        links = o["chain"][row][(o["chain_positions"][row] > 0).any(1)][:, : o["unit"].shape[1]].astype(np.int64)
        held = o["memory_features"][row, :, 0] > 0
        wanted = min(max(HOPS) if self.answers is None else self.answers.hops, int(held.sum())) - len(links)
        legal = mask[1 + 2 * k : 1 + 3 * k]
        if wanted > 0 and legal.any():
            query = links[-1] if len(links) and self.answers is not None else question
            near = overlap(self.rarity, query[None], units[None])[0] + LATER * o["memory_positions"][row].max(1)
            order = np.argsort(np.where(legal, -near, np.inf), kind="stable")
            # what a span is pointed at in comes last; else the reasoning begins with what is nearest
            place = min(wanted - 1, int(legal.sum()) - 1) if self.answers is None else 0
            return 1 + 2 * k + int(order[place])
        if self.answers is None:
            return self._pointing.answer(o, mask, row, 1 + 3 * k)
        shown = [tuple(link[link > 0].tolist()) for link in links]
        return 1 + 3 * k + self.answers(tuple(question[question > 0].tolist()), shown)
