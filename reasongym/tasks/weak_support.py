"""A guess at the support of questions that were published without: the units that come nearest to saying an answer.

The guess reads the answers, so it is annotation like any other support, only noisy: `Problem.meta["support"]` is "weak" where
it was made, and a source with `annotation=False` has none. It finds a sentence that says an answer, which need not prove it:
the same words may stand elsewhere for another reason, and of a proof in several steps only the end is found. Measured on 45 of
FairytaleQA's training tales (1,989 questions): 95% get a unit, and 80% of these units lie in a section that the question was
written about (with a least score of 0.7: 83% and 86%; with two units a question: 95% and 58%).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from reasongym.metrics.generated import words
from reasongym.tasks.passages import Passage, Support, Units
from reasongym.tasks.rouge import Words, best_span
from reasongym.tasks.tokens import Tokenizer

MOST = 1
LEAST_SCORE = 0.5


@dataclass(frozen=True, slots=True)
class WeakSupport:
    """Finds the units whose best span is nearest to an answer by ROUGE-L; of equals those that share more link words with
    the question, then the first. Where no unit comes near, the support stays unknown (None).

    Attributes:
        max_length: most tokens between the first and the last token of a span.
        most: units of a support, at most.
        least_score: ROUGE-L in [0, 1] that a unit needs.
    """

    tokenizer: Tokenizer
    max_length: int
    most: int = MOST
    least_score: float = LEAST_SCORE

    def __call__(self, passage: Passage, units: Units, question_links: Sequence[int]) -> list[Support]:
        pairs = zip(units.texts, self.tokenizer.encode_all(list(units.texts)), strict=True)
        found = [Words.of(text, encoding) for text, encoding in pairs]
        out: list[Support] = []
        for asked, links in zip(passage.asked, question_links, strict=True):
            references = [words(reference) for reference in asked.references]
            ranks = [
                (best_span(unit, references, self.max_length)[0], (units.links[i] & links).bit_count(), -i)
                for i, unit in enumerate(found)
            ]
            near = sorted((rank for rank in ranks if rank[0] >= self.least_score), reverse=True)[: self.most]
            if near:
                asked.gold_meta["support"] = "weak"
            out.append(tuple(sorted(-rank[2] for rank in near)) if near else None)
        return out
