"""A `ProcessRewardModel` of environments as a scorer of records: each step is told to it as a RECALL.

The prompt is the question, the steps so far are the chain, and the step at hand stands in the one slot of memory. No text is on
the desk, nothing counts as terminated, and the length of the text is given as what has been read, so that no later step shows.
Steps are handed over one time step after another for all records, so a PRM that carries numbers through an episode can.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from reasongym.prm.base import RECALL, ProcessRewardModel, StepBatch, carry_size, check_prm, checked_scores
from reasongym.prm.records import StepRecord


class StepBatchScorer:
    """Scores records with a PRM that was made for environments.

    Args:
        prm: keeps `ProcessRewardModel`, and needs no annotation: records have none of an environment's.

    Raises:
        TypeError: it needs annotation, or is no PRM.
    """

    def __init__(self, prm: ProcessRewardModel) -> None:
        self.prm = check_prm(prm)
        if prm.needs_annotation:
            raise TypeError(
                f"{type(prm).__name__} reads gold answers or support of an environment, which records of text do not have; "
                "score its episodes in the environment, or test a PRM with needs_annotation = False"
            )
        self.criteria = prm.criteria

    @property
    def version(self) -> str:
        """The PRM's own."""
        return self.prm.version

    def score_records(self, records: Sequence[StepRecord]) -> list[np.ndarray]:
        """(T, k) each, in [-1, 1]; NaN = unscored. Per-step weights are not used."""
        sentences = list(dict.fromkeys(step for record in records for step in record.steps))
        place = {sentence: i for i, sentence in enumerate(sentences)}
        texts = [np.array([place[step] for step in record.steps], np.int32) for record in records]
        out = [np.full((len(record), len(self.criteria)), np.nan, np.float32) for record in records]
        carry = np.zeros((len(records), carry_size(self.prm)))
        for t in range(max(map(len, records), default=0)):
            rows = np.array([i for i, record in enumerate(records) if len(record) > t])
            steps = _batch(records, sentences, texts, rows, t, carry[rows])
            values, _ = checked_scores(self.prm, self.prm.score(steps), len(rows))
            if steps.carry is not None:
                carry[rows] = steps.carry
            for i, value in zip(rows, values, strict=True):
                out[i][t] = value
        return out


def _batch(
    records: Sequence[StepRecord], sentences: list[str], texts: list[np.ndarray], rows: np.ndarray, t: int, carry: np.ndarray
) -> StepBatch:
    """Step t of the records `rows`."""
    n = len(rows)
    chain = np.stack([texts[i][: t + 1] for i in rows])[:, :, None]
    positions = np.broadcast_to(np.arange(t + 1, dtype=np.int16)[None, :, None], chain.shape).copy()
    none = np.full((n, 1, 1), -1)
    return StepBatch(
        sentences=sentences,
        questions=[record.prompt for record in records],
        choices=(),
        sentence_tokens=np.zeros((len(sentences), 1), np.int32),
        question_tokens=np.zeros((len(records), 1), np.int32),
        kind=np.full(n, RECALL, np.int8),
        slot=np.zeros(n, np.int16),
        choice=np.full(n, -1, np.int16),
        illegal=np.zeros(n, bool),
        question=rows.astype(np.int32),
        desk=np.full(n, -1, np.int32),
        units_read=np.full(n, t + 1, np.int16),
        num_units=np.full(n, t + 1, np.int16),
        memory_before=chain[:, -1:, :].copy(),
        memory_after=chain[:, -1:, :].copy(),
        positions_before=none.astype(np.int16) + t + 1,
        positions_after=none.astype(np.int16) + t + 1,
        chain=chain,
        chain_positions=positions,
        chain_length=np.full(n, t + 1, np.int16),
        terminated=np.zeros(n, bool),
        problem=rows.astype(np.int64),
        carry=carry if carry.shape[1] else None,
    )
