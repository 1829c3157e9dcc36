"""The data sets by name: made to order where `source="procedural"`, read from published files elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from reasongym.types import ProblemSource

TEXT_KEYWORDS = ("tokenizer", "max_answer_length")
"""Keywords of natural text alone."""
PUBLISHED_ONLY = ("strict", "allow_partial")


def babi(tasks: Sequence[int], *, keywords: Mapping[str, Any], widths: Mapping[str, int | None]) -> ProblemSource:
    """bAbI; see `reasongym.tasks.babi.load`."""
    from reasongym.tasks.babi import load

    for name in TEXT_KEYWORDS:
        if keywords.get(name) is not None:
            raise ValueError(f"{name}={keywords[name]!r} is for natural text: bAbI keeps its word vocabulary and its choices")
    made: Any = load(tuple(tasks), **{name: value for name, value in keywords.items() if name not in TEXT_KEYWORDS})
    return made


def squad2(tasks: Sequence[int], *, keywords: Mapping[str, Any], widths: Mapping[str, int | None]) -> ProblemSource:
    """SQuAD 2.0; see `reasongym.tasks.squad2.load` and `reasongym.tasks.prose.source.passages`."""
    from reasongym.tasks.prose.source import passages
    from reasongym.tasks.squad2 import load

    return _text(load, passages, {}, keywords, widths)


def narrativeqa(tasks: Sequence[int], *, keywords: Mapping[str, Any], widths: Mapping[str, int | None]) -> ProblemSource:
    """NarrativeQA; see `reasongym.tasks.narrativeqa.load` and `reasongym.tasks.prose.source.tales`."""
    from reasongym.tasks.narrativeqa import load
    from reasongym.tasks.prose.source import tales

    return _text(load, tales, {"kind": "summary"}, keywords, widths)


def fairytaleqa(tasks: Sequence[int], *, keywords: Mapping[str, Any], widths: Mapping[str, int | None]) -> ProblemSource:
    """FairytaleQA; see `reasongym.tasks.fairytaleqa.load` and `reasongym.tasks.prose.source.tales`."""
    from reasongym.tasks.fairytaleqa import load
    from reasongym.tasks.prose.source import tales

    return _text(load, tales, {"kind": "fairytale"}, keywords, widths)


def _text(
    load: Callable[..., Any],
    generate: Callable[..., Any],
    fixed: Mapping[str, Any],
    keywords: Mapping[str, Any],
    widths: Mapping[str, int | None],
) -> ProblemSource:
    """Natural text from files, or made to order. What is made to order fits its shapes: `widths` are looked at elsewhere."""
    if keywords.get("source", "procedural") != "procedural":
        return load(**keywords, **widths)
    left_out = (*PUBLISHED_ONLY, *TEXT_KEYWORDS[1:], "source")
    made = generate(**fixed, **{name: value for name, value in keywords.items() if name not in left_out})
    longest = keywords.get("max_answer_length")
    if longest is not None:
        if isinstance(longest, bool) or not isinstance(longest, int) or longest < 0:
            raise ValueError(f"max_answer_length must be a whole number of at least 0, got {longest!r}")
        made.spans = replace(made.spans, max_length=longest)
    return made


LOADERS: dict[str, Callable[..., ProblemSource]] = {
    "babi": babi,
    "squad2": squad2,
    "narrativeqa": narrativeqa,
    "fairytaleqa": fairytaleqa,
}
"""Data sets by name; a new one is a function here and a line in `registration`."""
