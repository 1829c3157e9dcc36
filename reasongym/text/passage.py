"""A short passage with a question, for the worked episode of ids whose answers are spans."""

from __future__ import annotations

import re

from reasongym.types import Encoding, Problem, Spans, Story

UNITS = (
    "The old lighthouse at Pell Point was built in 1871.",
    "Its first keeper, Ada Brook, kept bees on the roof.",
    "Ships can see its lamp from twenty miles away.",
)
QUESTION = "Who was the first keeper of the lighthouse?"
ANSWER, SUPPORT = "Ada Brook", 1


class Passage:
    """The passage as a source of one problem; tokens are words and symbols."""

    name, split, choices, kinds, choice_kinds = "passage", "train", (), ("span",), ()
    entities, fingerprint, num_problems = ("lighthouse",), "passage-1", 1
    spans = Spans("f1", 30, 1.0)

    def __init__(self) -> None:
        texts = (*UNITS, QUESTION)
        self.vocabulary = tuple(sorted({text[a:b] for text in texts for a, b in _cut(text)}))
        self._ids = {word: i + 1 for i, word in enumerate(self.vocabulary)}
        self.unit_tokens = max(len(_cut(text)) for text in UNITS)
        self.question_tokens, self.max_units = len(_cut(QUESTION)), len(UNITS)

    def problem(self, index: int) -> Problem:
        """The only problem, whatever the index."""
        n = len(UNITS)
        story = Story(UNITS, (-1,) * n, (1,) * n, tuple(range(n)))
        return Problem("passage/0", 1, story, n, QUESTION, 1, "span", (ANSWER,), (SUPPORT,))

    def encode(self, text: str) -> Encoding:
        """Words and symbols, with offsets."""
        cut = _cut(text)
        return Encoding(tuple(self._ids[text[a:b]] for a, b in cut), tuple(a for a, _ in cut), tuple(b for _, b in cut))

    def tokenize(self, text: str) -> list[int]:
        """The ids of `encode`."""
        return list(self.encode(text).ids)

    def choice_of(self, answer: str) -> int:
        """Raises ValueError: there are no choices."""
        raise ValueError(f"answers are spans, there is no choice {answer!r}")


def _cut(text: str) -> list[tuple[int, int]]:
    return [match.span() for match in re.finditer(r"\w+|[^\w\s]", text)]
