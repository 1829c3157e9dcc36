"""`JudgeCriterionScorer`: a language model that scores a step on any criterion given in words.

    model = LanguageModel("name", url="http://127.0.0.1:8000/v1", cache="replies")
    prm = TreePRM(tree, JudgeCriterionScorer(model), DynamicSelection(embedder, JudgedAspects(model.complete)))

It asks as `Judge` does (`prm.judge.hearing`): whether the step raises the criterion, and whether it meets it, in both label
orders; the score is 2p − 1, and NaN where the step does not raise it or the labels get too little probability. What is shown of
a step is its context: the prompt, the μ steps before, the step. Prompt, steps and criterion are fenced.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from reasongym.errors import unknown
from reasongym.prm.judge.hearing import Hearing
from reasongym.prm.judge.model import LanguageModel, language_model
from reasongym.prm.judge.prm import ANSWERS
from reasongym.prm.judge.questions import AskingInWords
from reasongym.prm.judge.verdicts import Verdict
from reasongym.prm.tree.context import Context


class JudgeCriterionScorer:
    """See the module's docstring.

    Args:
        model: a `LanguageModel`, or what makes one: a folder or name, with `url`, `cache` and keywords of the backend.
        answers: "probabilities", "json" or "either", as for `Judge`.
        on_failure: "raise", or "unscored": NaN where the model fails.
        reply_tokens: most tokens of a verdict in words.
        keywords: of `LanguageModel`: url, cache, max_cost, price, batch_size, ...

    Attributes:
        ledger: what it has cost so far, all that shares the model together.
    """

    def __init__(
        self,
        model: str | os.PathLike | LanguageModel,
        *,
        answers: str = "either",
        on_failure: str = "raise",
        reply_tokens: int = 160,
        **keywords: Any,
    ) -> None:
        for kind, name, known in (("answers", answers, ANSWERS), ("on_failure", on_failure, ("raise", "unscored"))):
            if name not in known:
                raise unknown(kind, name, known)
        self.model = language_model(model, **keywords)
        self.ledger, self.answers = self.model.ledger, self.model.able(answers)
        self._asking = AskingInWords(reply_tokens)
        self._hearing = Hearing(self._asking, self.model, reasons=False, skips=on_failure == "unscored")

    @property
    def version(self) -> str:
        """Model, prompts and way of answering."""
        return f"judged-criteria({self.model.identity}; {self.answers}; {self._asking.version})"

    def score(self, contexts: Sequence[Context], criteria: Sequence[str]) -> np.ndarray:
        """(n,) float32 in [-1, 1], NaN = unscored: context i on criterion i. Equal pairs are asked once, known ones not at all.

        Raises:
            ValueError: another number of criteria than of contexts.
            JudgeError: the model failed, unless `on_failure="unscored"`.
        """
        verdicts = self.verdicts(contexts, criteria)
        return np.clip([verdict.score for verdict in verdicts], -1, 1).astype(np.float32)

    def verdicts(self, contexts: Sequence[Context], criteria: Sequence[str]) -> list[Verdict]:
        """As `score`, with probability, label mass and, of verdicts in words, the reason."""
        if len(contexts) != len(criteria):
            raise ValueError(f"one criterion a context: got {len(contexts)} contexts and {len(criteria)} criteria")
        shown = {context: self._asking.solution(context.prompt, [*context.earlier, context.step]) for context in set(contexts)}
        pairs = [(shown[context], criterion) for context, criterion in zip(contexts, criteria, strict=True)]
        distinct = list(dict.fromkeys(pairs))
        judged = self._hearing.in_words(distinct) if self.answers == "json" else self._hearing.by_label(distinct)
        for verdict in judged.values():
            self.ledger.scored += not verdict.unscored
            self.ledger.unscored += bool(verdict.unscored)
        return [judged[pair] for pair in pairs]
