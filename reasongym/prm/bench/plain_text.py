"""`lexical` for anybody's steps: what the words of prompt and steps say, without annotation, training or arithmetic.

With M the stems and numbers of a step and C those of the prompt and of all earlier steps (read by `reasongym.prm.natural`):

| criterion | score |
| --- | --- |
| logic | -1 when an earlier step, or the prompt, says (nearly) the same with the other sign of negation, or when the step says again what one earlier step said; else 1 |
| coherence | 2 |M ∩ C| / |M| - 1; unscored when the step has no words, or nothing was said yet |

*Nearly the same*: at least three words in common, and `SAME` of the longer text's. *Says again*: at least three words, all of
them said by that one step, which has few others (`SAME`), the same negation.
"""  # noqa: E501

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from reasongym.prm.natural import SAME, read
from reasongym.prm.reading import Reading
from reasongym.prm.records import StepRecord

FEWEST = 3
"""Words in common from which on two texts can be about the same."""


class LexicalScorer:
    """See the module's docstring for the formulas."""

    criteria = ("logic", "coherence")
    version = "lexical-text-1"

    def score_records(self, records: Sequence[StepRecord]) -> list[np.ndarray]:
        """(T, 2) each, in [-1, 1]; NaN = unscored."""
        return [self._score(record) for record in records]

    def _score(self, record: StepRecord) -> np.ndarray:
        prompt = read(record.prompt)
        said, earlier = set(prompt.mentions), [prompt]
        out = np.full((len(record), 2), np.nan, np.float32)
        for t, text in enumerate(record.steps):
            step = read(text)
            words = set(step.mentions)
            against = any(_contradicts(step, other) for other in earlier)
            again = any(_repeats(step, other) for other in earlier[1:])
            out[t, 0] = -1 if against or again else 1
            if words and said:
                out[t, 1] = 2 * len(words & said) / len(words) - 1
            said |= words
            earlier.append(step)
        return out


def _contradicts(step: Reading, other: Reading) -> bool:
    shared = len(set(step.mentions) & set(other.mentions))
    longest = max(len(step.mentions), len(other.mentions))
    return step.negated != other.negated and shared >= FEWEST and shared >= SAME * longest


def _repeats(step: Reading, other: Reading) -> bool:
    words, others = set(step.mentions), set(other.mentions)
    return step.negated == other.negated and len(words) >= FEWEST and words <= others and len(words) >= SAME * len(others)
