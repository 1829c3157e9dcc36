"""`TreePRM`: a reward tree as a process reward model, for environments and for step records.

A step's criteria are selected, the scorer scores the step on each (one call for all steps), and each coarse criterion gets the
mean of its fine scores; what was not selected, or what the scorer left open, is unscored. With `weights="selection"` a coarse
criterion counts for its share of the selection: each selected criterion exp(−distance/τ), the weights of a step's scored coarse
criteria adding up to how many they are, so a step with more criteria is not paid more.

The tree is frozen and the criteria with it: a tree that has grown makes another PRM, of another version.

Axes: n steps, T steps of a record, c coarse criteria, b selected criteria at most.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from reasongym.errors import PRMError, unknown
from reasongym.prm.base import Scores, StepBatch
from reasongym.prm.records import StepRecord
from reasongym.prm.tree.context import Context, CriterionScorer, contexts_of, contexts_of_batch
from reasongym.prm.tree.pareto import Group
from reasongym.prm.tree.selection import Selection, Selector
from reasongym.prm.tree.tree import RewardTree

WEIGHTS = ("equal", "selection")


class FineScores(NamedTuple):
    """What was selected, and how it was scored.

    Attributes:
        selection: see `Selection`.
        values: (n, b) float32 in [-1, 1], NaN = unscored or not selected.
    """

    selection: Selection
    values: np.ndarray


class TreePRM:
    """See the module's docstring.

    Args:
        tree: a grown tree.
        scorer: scores a step on a criterion in words.
        selector: selects the criteria of a step.
        mu: earlier steps that the scorer reads; as many as the selector unless given.
        weights: "equal" (every coarse criterion 1), or "selection".
        temperature: τ of the weights by selection, above 0.
        log_bytes: of an environment's carry: most text of a prompt and the steps before, which is kept there so that a step in
            an environment is judged in the context that it has in a record.
    """

    needs_annotation = False

    def __init__(
        self,
        tree: RewardTree,
        scorer: CriterionScorer,
        selector: Selector,
        *,
        mu: int | None = None,
        weights: str = "equal",
        temperature: float = 0.2,
        log_bytes: int = 16_384,
    ) -> None:
        if not tree.coarse:
            raise ValueError("a TreePRM needs a tree with criteria; grow it first with reasongym.prm.tree.grow")
        if weights not in WEIGHTS:
            raise unknown("weights", weights, WEIGHTS)
        if not 0 < temperature < np.inf:
            raise ValueError(f"temperature must be a positive finite number, got {temperature!r}")
        if log_bytes < 256 or log_bytes % 8:
            raise ValueError(f"log_bytes must be a multiple of 8 of at least 256, got {log_bytes!r}")
        self.tree, self.scorer, self.selector = tree, scorer, selector
        self.carry_size = 1 + log_bytes // 8
        self.mu = selector.mu if mu is None else mu
        self.weights, self.temperature = weights, float(temperature)
        self.criteria = tuple(coarse.name for coarse in tree.coarse)
        self.default_beta: Mapping[str, float] = dict.fromkeys(self.criteria, 1 / len(self.criteria))

    @property
    def version(self) -> str:
        """Changes with tree, scorer and selector; a scorer that is trained further makes another PRM."""
        return (
            f"tree[{self.tree.version}; {self.scorer.version}; {self.selector.version}; mu={self.mu}, weights={self.weights}"
            + (f", temperature={self.temperature:g}]" if self.weights == "selection" else "]")
        )

    @property
    def windowed(self) -> int:
        """How many times the scorer has read a prompt or step in part, where it counts that."""
        return getattr(self.scorer, "windowed", 0)

    def score(self, steps: StepBatch) -> np.ndarray | Scores:
        """(n, c) float32 scores, with weights by selection `Scores`; notes the steps in their carry.

        Raises:
            PRMError: no carry, or a prompt and steps too long for it.
        """
        fine = self.fine_scores(contexts_of_batch(steps, self._read))
        values = self._coarse(fine)
        return values if self.weights == "equal" else Scores(values, self._weights(fine, values))

    def score_records(self, records: Sequence[StepRecord]) -> list[np.ndarray]:
        """One (T, c) float32 array a record; a step's scores read no later step and no label."""
        if not records:
            return []
        values = self._coarse(self.fine_scores([context for record in records for context in contexts_of(record, self._read)]))
        return np.split(values, np.cumsum([len(record.steps) for record in records])[:-1])

    def fine_scores(self, contexts: Sequence[Context]) -> FineScores:
        """The selected fine criteria of every context, each scored.

        Raises:
            PRMError: the scorer returned another number of scores, or one outside [-1, 1].
        """
        selection = self.selector.select(self.tree, contexts)
        rows, places = np.nonzero(selection.fine >= 0)
        cut = self._cut(contexts)
        texts = [self.tree.fine[f].text for f in selection.fine[rows, places].tolist()]
        values = np.full(selection.fine.shape, np.nan, np.float32)
        values[rows, places] = self._scored([cut[row] for row in rows.tolist()], texts)
        return FineScores(selection, values)

    def group(
        self, prompt: str, prefix: Sequence[str], candidates: Sequence[str], *, problem: str, kind: str = "", most: int = 6
    ) -> Group:
        """Candidate steps at one state, all scored on the same fine criteria: what any of them raises.

        Args:
            prompt, prefix: what was asked, and the steps that led to the state.
            candidates: step texts.
            problem, kind: see `reasongym.prm.tree.Group`.
            most: criteria, those that most candidates raise first; the more there are, the less is dominated.
        """
        start = max(0, len(prefix) - self._read)
        contexts = [Context(prompt, tuple(prefix[start:]), candidate) for candidate in candidates]
        raised = self.selector.select(self.tree, contexts).fine
        count = np.bincount(raised[raised >= 0], minlength=len(self.tree.fine))
        chosen = [f for f in np.argsort(-count, kind="stable").tolist() if count[f]][:most]
        rows = [(context, self.tree.fine[f].text) for context in self._cut(contexts) for f in chosen]
        scores = self._scored([context for context, _ in rows], [text for _, text in rows])
        ids = tuple(self.tree.fine[f].id for f in chosen)
        return Group(prompt, tuple(prefix), tuple(candidates), ids, scores.reshape(len(candidates), len(chosen)), problem, kind)

    def _cut(self, contexts: Sequence[Context]) -> list[Context]:
        """The contexts with no more than the μ earlier steps that the scorer reads."""
        return [context._replace(earlier=context.earlier[max(0, len(context.earlier) - self.mu) :]) for context in contexts]

    def _scored(self, contexts: Sequence[Context], texts: Sequence[str]) -> np.ndarray:
        scores = np.asarray(self.scorer.score(contexts, texts), np.float32)
        if scores.shape != (len(texts),) or (~((scores >= -1) & (scores <= 1)) & ~np.isnan(scores)).any():
            raise PRMError(f"{self.scorer.version} must return {len(texts)} scores in [-1, 1] or NaN, got {scores!r}")
        return scores

    @property
    def _read(self) -> int:
        return max(self.mu, self.selector.mu)

    def _coarse(self, fine: FineScores) -> np.ndarray:
        """(n, c) means of the scored fine criteria of each coarse one; NaN without any."""
        sums, counts = self._by_parent(fine, np.nan_to_num(fine.values)), self._by_parent(fine, ~np.isnan(fine.values))
        mean = np.divide(sums, counts, out=np.full(sums.shape, np.nan), where=counts > 0)
        return np.clip(mean, -1, 1).astype(np.float32)

    def _weights(self, fine: FineScores, values: np.ndarray) -> np.ndarray:
        """(n, c) weights of the scored coarse criteria; 1 for each where the selector knows no distances."""
        near = np.where(np.isnan(fine.values), 0, np.exp(-np.nan_to_num(fine.selection.distance) / self.temperature))
        share = self._by_parent(fine, near)
        scored = (~np.isnan(values)).sum(axis=1, keepdims=True)
        total = share.sum(axis=1, keepdims=True)
        return np.divide(share * scored, total, out=np.ones_like(share), where=total > 0).astype(np.float32)

    def _by_parent(self, fine: FineScores, amounts: np.ndarray) -> np.ndarray:
        """(n, c) sums of (n, b) amounts over the selected criteria of each coarse one."""
        out = np.zeros((len(amounts), len(self.criteria)))
        rows, places = np.nonzero(fine.selection.fine >= 0)
        np.add.at(out, (rows, self.tree.parent[fine.selection.fine[rows, places]]), amounts[rows, places].astype(float))
        return out
