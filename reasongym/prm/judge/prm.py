"""`judge`: another language model as process reward model, one rubric a criterion.

The model is asked two things about a step and a criterion: whether the criterion has anything to say about the step (topic),
and whether the step meets it (verdict). Each is asked in both label orders ("yes or no", "no or yes") and averaged. With p the
probability of "yes" among the labels, calibrated per criterion, the score is 2p - 1. A step is left unscored (NaN) where the
criterion does not apply (p of the topic below 0.5) or where the labels together get less than half of the probability.

The judge is shown what the solver could see (`StepBatch.text`; of a record the prompt and the steps so far), quoted line by
line, and no thoughts: what a policy writes to itself is no evidence, and the cheapest place to argue with the judge. A judge
that fails raises a `JudgeError`, or leaves steps unscored where `on_failure` says so; it never scores 0 by silence.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from reasongym.errors import unknown
from reasongym.prm.base import ACTION_NAMES, StepBatch
from reasongym.prm.judge import calibration as calibrating
from reasongym.prm.judge.calibration import Calibration
from reasongym.prm.judge.hearing import Hearing
from reasongym.prm.judge.model import LanguageModel, language_model
from reasongym.prm.judge.questions import PROMPTS, Asking, Rubric, read_rubric
from reasongym.prm.judge.verdicts import Verdict
from reasongym.prm.records import StepRecord

SHIPPED = ("logic", "coherence", "goal")
"""Rubrics; the other prompts are for other questions."""
ANSWERS = ("probabilities", "json", "either")


def step_text(steps: StepBatch, i: int) -> str:
    """What a judge is shown of an environment's step."""
    return steps.text(i)


class Judge:
    """A process reward model, and a scorer of records, that asks a language model.

    Args:
        model: folder or name of a `transformers` causal language model; with `url`, the server's name for it; or a
            `LanguageModel`, which brings its own `cache` and `backend` and may be shared.
        url: root of an OpenAI-compatible API; None: the model is loaded into this process.
        criteria: names of rubrics that are shipped (logic, coherence, goal), paths of rubric files, or `Rubric` objects.
        answers: "probabilities" of the labels; "json": a verdict in words with its reason, for servers that return no
            log-probabilities; "either": the first where the server can, else the second.
        reasons: also ask why, in "probabilities" (one more call a verdict); "json" always brings reasons.
        on_failure: "raise", or "unscored": NaN, with the error's text in the verdict.
        actions: names of the environment's actions that are judged; others are unscored without a call. Default: all.
        thoughts: whether records' `meta["thoughts"]` are shown; leave them out wherever scores make rewards.
        context_steps: how many steps before the judged one a record's judge is shown; None: all.
        calibration: by criterion; see `calibrate`.
        default_beta: weight by criterion when it makes the reward; what is not named weighs as `annotated`'s, or 1.
        cache: folder of the store of replies; None: in memory. A killed run that is started again pays for nothing twice.
        reply_tokens: most tokens of a reply in words.
        backend: keywords of `local.LocalModel` or `clients.ServerClient`: batch_size, dtype, device; concurrency,
            timeout, max_retries, price, max_cost, api_key, request.

    Attributes:
        ledger: what it has cost so far.
    """

    needs_annotation = False

    def __init__(
        self,
        model: str | os.PathLike | LanguageModel,
        *,
        url: str | None = None,
        criteria: Sequence[str | os.PathLike | Rubric] = SHIPPED,
        answers: str = "probabilities",
        reasons: bool = False,
        on_failure: str = "raise",
        actions: Sequence[str] = ACTION_NAMES,
        thoughts: bool = False,
        context_steps: int | None = None,
        calibration: Mapping[str, Calibration] | None = None,
        default_beta: Mapping[str, float] | None = None,
        cache: str | os.PathLike | None = None,
        reply_tokens: int = 160,
        **backend: Any,
    ) -> None:
        for kind, name, known in (
            ("answers", answers, ANSWERS),
            ("on_failure", on_failure, ("raise", "unscored")),
            *(("action", action, ACTION_NAMES) for action in actions),
        ):
            if name not in known:
                raise unknown(kind, name, known)
        self._asking = Asking([_rubric(criterion) for criterion in criteria], reply_tokens)
        self.criteria = tuple(self._asking.rubrics)
        if not self.criteria or len(self.criteria) < len(criteria):
            raise ValueError(f"criteria must be at least one rubric, each of another name, got {criteria!r}")
        beta = {"logic": 0.2, "coherence": 0.1, "goal": 0.3} | dict(default_beta or {})
        self.default_beta: Mapping[str, float] = {name: float(beta.get(name, 1.0)) for name in self.criteria}
        self._calibration = calibrating.checked(calibration or {}, self.criteria)
        self._kinds = frozenset(map(ACTION_NAMES.index, actions))
        self._reasons, self._thoughts, self._context_steps = reasons, thoughts, context_steps
        self._model = language_model(model, url=url, cache=cache, **backend)
        self.ledger, self._backend = self._model.ledger, self._model.backend
        self._hearing = Hearing(self._asking, self._model, reasons=reasons, skips=on_failure == "unscored")
        self.answers = self._model.able(answers)

    def __repr__(self) -> str:
        return f"Judge({self._backend.identity}, answers={self.answers!r}, criteria={self.criteria})"

    def close(self) -> None:
        """Closes the connections to a server."""
        self._model.close()

    @property
    def version(self) -> str:
        """Model, dtype, prompts, way of answering, calibration: all that a score depends on beside the step."""
        tags = [self._asking.version, *(rubric.version for rubric in self._asking.rubrics.values())]
        fitted = {name: (c.slope, c.offset) for name, c in self._calibration.items() if c != Calibration()}
        shown = f"thoughts={self._thoughts}, context_steps={self._context_steps}, actions={sorted(self._kinds)}"
        return f"judge({self._backend.identity}; {self.answers}; {', '.join(tags)}; {shown}; calibration={fitted})"

    def score(self, steps: StepBatch) -> np.ndarray:
        """(n, k) float32 scores in [-1, 1]; NaN = unscored.

        Raises:
            JudgeError: the judge failed, unless `on_failure="unscored"`.
        """
        out = np.full((len(steps), len(self.criteria)), np.nan, np.float32)
        rows, materials = self._shown(steps)
        for i, verdicts in zip(rows, self.verdicts(materials), strict=True):
            out[i] = [verdict.score for verdict in verdicts]
        return out

    def explain(self, steps: StepBatch) -> list[list[str]]:
        """Why, one string a step and criterion, "" where it was not asked; of steps that were just scored, from the store."""
        out = [[""] * len(self.criteria) for _ in range(len(steps))]
        rows, materials = self._shown(steps) if self._reasons or self.answers == "json" else ([], [])
        for i, verdicts in zip(rows, self._judged(materials), strict=True):
            out[i] = [verdict.reason for verdict in verdicts]
        return out

    def _shown(self, steps: StepBatch) -> tuple[list[int], list[str]]:
        """The steps that are judged, and what is shown of each."""
        rows = [i for i in range(len(steps)) if int(steps.kind[i]) in self._kinds]
        return rows, [self._asking.step(step_text(steps, i)) for i in rows]

    def score_records(self, records: Sequence[StepRecord]) -> list[np.ndarray]:
        """One (T, k) float32 array a record, in [-1, 1], NaN = unscored; a step is judged by itself and those before it.

        Raises:
            JudgeError: as for `score`.
        """
        return [record.labels for record in self.annotate(records)]

    def annotate(self, records: Sequence[StepRecord]) -> list[StepRecord]:
        """The records with the judge's scores as labels, its reasons, and `meta["judge"]`: its version, and why not scored.

        Raises:
            JudgeError: as for `score`.
        """
        verdicts = iter(self.verdicts(text for record in records for text in self._solutions(record)))
        out = []
        for record in records:
            rows = [next(verdicts) for _ in record.steps]
            gaps = {f"{t}/{v.criterion}": v.unscored for t, row in enumerate(rows) for v in row if v.unscored}
            out.append(
                replace(
                    record,
                    criteria=self.criteria,
                    labels=np.array([[v.score for v in row] for row in rows], np.float32).reshape(-1, len(self.criteria)),
                    reasons=tuple(tuple(v.reason for v in row) for row in rows),
                    meta={**record.meta, "judge": {"version": self.version, "unscored": gaps}},
                )
            )
        return out

    def verdicts(self, materials: Iterable[str]) -> list[tuple[Verdict, ...]]:
        """k verdicts for each material (`Asking.step`, `Asking.solution`), in the order of `criteria`.

        Raises:
            JudgeError: as for `score`.
        """
        out = self._judged(materials)
        for verdict in (verdict for row in out for verdict in row):
            self.ledger.scored += not verdict.unscored
            self.ledger.unscored += bool(verdict.unscored)
        return out

    def _judged(self, materials: Iterable[str]) -> list[tuple[Verdict, ...]]:
        """As `verdicts`, not counted as scores."""
        pairs = [(material, criterion) for material in materials for criterion in self.criteria]
        judged = self._hearing.in_words(pairs) if self.answers == "json" else self._hearing.by_label(pairs)
        out, k = [self._scored(judged[pair]) for pair in pairs], len(self.criteria)
        return [tuple(out[start : start + k]) for start in range(0, len(out), k)]

    def calibrate(self, records: Sequence[StepRecord], *, human: bool) -> dict[str, Calibration]:
        """Fits the calibration to labelled records (above 0 is good, 0 and NaN are left out), and uses it from now on.

        Args:
            records: of a validation set, with labels on some of the judge's criteria.
            human: whether people made the labels; each then counts as a bit in the ledger.

        Raises:
            ValueError: no label on any of the judge's criteria.
        """
        raw, fitted, read = [self._probabilities_of(record) for record in records], {}, 0
        for j, criterion in enumerate(self.criteria):
            p, good = [], []
            for record, probabilities in zip(records, raw, strict=True):
                if criterion in record.criteria:
                    labels = np.asarray(record.labels, float)[:, record.criteria.index(criterion)]
                    used = ~np.isnan(probabilities[:, j]) & ~np.isnan(labels) & (labels != 0)
                    p += probabilities[used, j].tolist()
                    good += (labels[used] > 0).tolist()
            read += len(p)
            if p:
                fitted[criterion] = calibrating.fit(p, good)
        if not fitted:
            raise ValueError(f"no record has both a label and a verdict on any of {', '.join(self.criteria)}")
        self.ledger.human_label_bits += read if human else 0
        self._calibration |= fitted
        return fitted

    def _probabilities_of(self, record: StepRecord) -> np.ndarray:
        return np.array([[v.probability for v in row] for row in self.verdicts(self._solutions(record))])

    def _solutions(self, record: StepRecord) -> list[str]:
        thoughts = record.meta.get("thoughts") if self._thoughts else None
        if thoughts is not None and len(thoughts) != len(record.steps):
            raise ValueError(
                f'meta["thoughts"] has {len(thoughts)} entries for {len(record.steps)} steps; one a step is expected'
            )
        seen = len(record.steps) if self._context_steps is None else self._context_steps
        out = []
        for t in range(len(record.steps)):
            first = max(0, t - seen)
            part = slice(first, t + 1)
            out.append(self._asking.solution(record.prompt, record.steps[part], thoughts[part] if thoughts else None))
        return out

    def _scored(self, verdict: Verdict) -> Verdict:
        if verdict.unscored:
            return verdict
        score = 2 * self._calibration[verdict.criterion](verdict.probability) - 1
        return replace(verdict, score=min(1.0, max(-1.0, score)))


def _rubric(criterion: str | os.PathLike | Rubric) -> Rubric:
    if isinstance(criterion, Rubric):
        return criterion
    shipped = {path.stem: path for path in PROMPTS.glob("*.txt") if path.stem in SHIPPED}
    if str(criterion) in shipped:
        return read_rubric(shipped[str(criterion)])
    if Path(criterion).is_file():
        return read_rubric(criterion)
    raise unknown("rubric", str(criterion), shipped)
