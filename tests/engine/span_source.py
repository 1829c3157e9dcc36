"""A small source of span problems, for tests: texts as they come, whitespace and punctuation as awkward as wanted."""

from __future__ import annotations

import re
from collections.abc import Sequence

from reasongym.types import Encoding, Problem, Spans, Story


class SpanTexts:
    """Each problem: units, question, references, support (None = unknown). Tokens: symbols, and four letters of a word each."""

    name, split, choices, kinds, choice_kinds = "span-texts", "train", (), ("span",), ()
    entities = ("something",)
    fingerprint = "span-texts"

    def __init__(self, problems: Sequence[tuple], metric: str = "f1", max_length: int = 30, right_at: float = 1.0) -> None:
        self._problems = list(problems)
        self.spans = Spans(metric, max_length, right_at)  # type: ignore[arg-type]
        texts = [text for units, question, *_ in problems for text in (*units, question)]
        pieces = sorted({text[a:b] for text in texts for a, b in _cut(text)})
        self.vocabulary = tuple(pieces)
        self._ids = {piece: i + 1 for i, piece in enumerate(pieces)}
        self.unit_tokens = max(len(_cut(text)) for units, *_ in problems for text in units)
        self.question_tokens = max(1, *(len(_cut(question)) for _, question, *_ in problems))
        self.max_units = max(len(units) for units, *_ in problems)
        self.num_problems: int | None = len(problems)

    def problem(self, index: int) -> Problem:
        units, question, answers, support = self._problems[index]
        n = len(units)
        story = Story(tuple(units), (-1,) * n, (1,) * n, tuple(range(n)))
        return Problem(f"span/{index}", 1, story, n, question, 1, "span", tuple(answers), support)

    def encode(self, text: str) -> Encoding:
        cut = _cut(text)
        return Encoding(tuple(self._ids[text[a:b]] for a, b in cut), tuple(a for a, _ in cut), tuple(b for _, b in cut))

    def tokenize(self, text: str) -> list[int]:
        try:
            return list(self.encode(text).ids)
        except KeyError as piece:
            raise ValueError(f"{piece} is outside the vocabulary") from None

    def choice_of(self, answer: str) -> int:
        raise ValueError("spans have no choices")


def _cut(text: str) -> list[tuple[int, int]]:
    out = []
    for match in re.finditer(r"[^\W_]+|\S", text):
        for start in range(match.start(), match.end(), 4):
            out.append((start, min(start + 4, match.end())))
    return out
