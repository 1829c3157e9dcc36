"""Training problems as tensors: what a network that is trained on answers alone reads.

Axes: P problems, M units of the longest text, L tokens of the longest sentence, U distinct sentences.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from reasongym.audit.play import sample
from reasongym.types import ProblemSource


class Stories(NamedTuple):
    """Texts with questions.

    Attributes:
        table: (U, L) int64 distinct sentences as token ids, row 0 all padding.
        units: (P, M) int64 rows of `table` in reading order, 0 after the last one.
        question: (P,) int64 rows of `table`.
    """

    table: Tensor
    units: Tensor
    question: Tensor

    @property
    def lengths(self) -> Tensor:
        """(P,) int64: units of each text."""
        return (self.units > 0).sum(1)

    def take(self, rows: Tensor) -> Stories:
        """The problems `rows`, with the sentences that they use and as many units as the longest of them has."""
        units, question = self.units[rows], self.question[rows]
        units = units[:, : max(1, int((units > 0).sum(1).max()))]
        used = torch.cat([self.table.new_zeros(1), units.flatten(), question])
        kept, place = torch.unique(used, return_inverse=True)
        size = units.numel()
        return Stories(self.table[kept], place[1 : 1 + size].view(units.shape), place[1 + size :])

    @classmethod
    def of(cls, units: np.ndarray, questions: np.ndarray, device: torch.device) -> Stories:
        """Of token rows: units (P, M, L), 0 after the last unit, and questions (P, Lq)."""
        P, M, _ = units.shape
        width = max(units.shape[2], questions.shape[1])
        rows = np.concatenate(
            [np.zeros((1, width), np.int64), padded(units.reshape(P * M, -1), width), padded(questions, width)]
        )
        table, index = np.unique(rows, axis=0, return_inverse=True)  # sorted, so padding stays first
        place = torch.as_tensor(index.reshape(-1), device=device)
        return cls(torch.as_tensor(table, device=device), place[1 : 1 + P * M].view(P, M), place[1 + P * M :])


class Lesson(NamedTuple):
    """Stories with what is known of them.

    Attributes:
        stories: P of them.
        answers: (P,) int64 gold choices.
        support: (P, M) bool, which units prove the answer; read only where a support loss is asked for.
        support_known: (P,) bool.
    """

    stories: Stories
    answers: Tensor
    support: Tensor
    support_known: Tensor

    def take(self, rows: Tensor) -> Lesson:
        """The problems `rows`."""
        stories = self.stories.take(rows)
        support = self.support[rows][:, : stories.units.shape[1]]
        return Lesson(stories, self.answers[rows], support, self.support_known[rows])


def padded(rows: np.ndarray, width: int) -> np.ndarray:
    """(R, L) -> (R, width) int64, 0 padded."""
    return np.pad(rows.astype(np.int64), ((0, 0), (0, width - rows.shape[1])))


def lesson_of(source: ProblemSource, most: int, device: torch.device, support: bool) -> Lesson:
    """The training problems of a source.

    Args:
        source: closed, with gold answers.
        most: problems, at most (always the same draw).
        device: of the tensors.
        support: whether support is read.

    Raises:
        ValueError: a source without choices, or one that shows no answers.
    """
    if not source.choices:
        raise ValueError(f"{source.name} has no closed answers: networks trained on answers alone choose among some")
    rows: dict[tuple[int, ...], int] = {(): 0}
    problems = [source.problem(int(index)) for index in sample(source.num_problems, most)]
    if not all(problem.answers for problem in problems):
        raise ValueError(f"{source.name} shows no gold answers here: make the environments so that something reads them")
    texts: dict[str, int] = {}

    def row(text: str) -> int:
        if text not in texts:
            texts[text] = rows.setdefault(tuple(source.tokenize(text)), len(rows))
        return texts[text]

    longest = max(problem.num_units for problem in problems)
    units, proves = np.zeros((len(problems), longest), np.int64), np.zeros((len(problems), longest), bool)
    question, known = np.zeros(len(problems), np.int64), np.zeros(len(problems), bool)
    for p, problem in enumerate(problems):
        units[p, : problem.num_units] = [row(unit) for unit in problem.story.units[: problem.num_units]]
        question[p] = row(problem.question)
        if support and problem.support is not None:
            known[p] = True
            proves[p, list(problem.support)] = True
    width = max(map(len, rows))
    table = np.array([[*tokens, *[0] * (width - len(tokens))] for tokens in rows], np.int64)
    stories = Stories(*(torch.as_tensor(array, device=device) for array in (table, units, question)))
    gold = [source.choice_of(problem.answers[0]) for problem in problems]
    columns = (torch.as_tensor(array, device=device) for array in (np.array(gold), proves, known))
    return Lesson(stories, *columns)
