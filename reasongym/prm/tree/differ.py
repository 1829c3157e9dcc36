"""Raw criteria from pairs of solutions: a judge says what the better one does that the worse one does not.

Any object with `differences(chosen, rejected) -> list[str]` is such a judge. `RuleDiffer` reads labels and planted errors where
there are any, and visible text where there are none; it makes no call and serves plumbing tests. `JudgedDiffer` asks a language
model. `raw_criteria` runs a judge over pairs and drops what is no criterion: too short, too long, about this problem's names,
numbers or words in quotation marks.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np

from reasongym.errors import unknown
from reasongym.prm.fences import fenced, labelled, one_line
from reasongym.prm.judge.errors import RefusedError, UnreadableError
from reasongym.prm.records import StepRecord
from reasongym.prm.tree.aspects import content_words, read_prompt
from reasongym.prm.tree.context import Complete
from reasongym.prm.tree.thresholds import Criterion, labelled_criteria
from reasongym.seeding import hash64, rng

logger = logging.getLogger(__name__)
PROMPT = Path(__file__).parents[1] / "prompts" / "differences.txt"
FEWEST_WORDS, MOST_WORDS = 3, 40
_ERROR_NAMES = {"contradiction": ("contradiction", "unsupported_answer")}
"""Criteria that a planted error breaks, where they are more than the one of its own name."""
_QUOTES = re.compile(r"[\"“”`]|\d")
_WORD = re.compile(r"[^\W\d_]+")


class Differ(Protocol):
    """Names what differs.

    Attributes:
        version: part of every cache key and record.
    """

    @property
    def version(self) -> str: ...

    def differences(self, chosen: StepRecord, rejected: StepRecord) -> list[str]:
        """Criteria in words that `chosen` meets and `rejected` does not; none is an answer."""
        ...


class RuleDiffer:
    """By rule, in wordings of the labelled paraphrases.

    In order: the class of error that `rejected.meta` says was planted; criteria on which its worst step has a negative label
    and no step of `chosen` has; a step said before, and fewer steps before the answer, read off the text.

    Args:
        criteria: what is worded; the shipped set by default. An error class names a criterion with "_" for spaces.
        wordings: how many of each criterion's wordings may be used, from the first.
        seed: of which wording is used for which pair.
    """

    def __init__(self, criteria: Sequence[Criterion] | None = None, *, wordings: int | None = None, seed: int = 0) -> None:
        known = labelled_criteria() if criteria is None else criteria
        self._wordings = {c.name: c.wordings[:wordings] for c in known}
        self._seed = seed
        self.version = f"rules-1(seed={seed}, wordings={wordings or 'all'})"

    def differences(self, chosen: StepRecord, rejected: StepRecord) -> list[str]:
        """One wording of every criterion that differs; which one is a pure function of the seed and the pair."""
        draw = rng(self._seed, hash64(repr((chosen.steps, rejected.steps))))
        names = dict.fromkeys([*_planted(rejected), *_labelled(chosen, rejected), *_visible(chosen, rejected)])
        known = [name for name in names if name in self._wordings]
        return [self._wordings[name][int(draw.integers(len(self._wordings[name])))] for name in known]


def _planted(rejected: StepRecord) -> tuple[str, ...]:
    name = str(rejected.meta.get("error_class", "none")).replace(" ", "_")
    return _ERROR_NAMES.get(name, (name,))


def _labelled(chosen: StepRecord, rejected: StepRecord) -> list[str]:
    def worst(record: StepRecord, name: str) -> float:
        if name not in record.criteria:
            return 0.0
        return float(np.nanmin(np.append(record.labels[:, record.criteria.index(name)], 1.0)))

    return [name for name in rejected.criteria if worst(rejected, name) < 0 <= worst(chosen, name)]


def _visible(chosen: StepRecord, rejected: StepRecord) -> list[str]:
    def repeats(record: StepRecord) -> bool:
        said = [content_words(step) for step in record.steps]
        return any(words and words in said[:t] for t, words in enumerate(said))

    def recalled(record: StepRecord) -> int:
        return sum(step.startswith("recall") for step in record.steps)

    found = ["redundant_step"] if repeats(rejected) and not repeats(chosen) else []
    return found + (["premature_answer"] if recalled(rejected) < recalled(chosen) else [])


class JudgedDiffer:
    """Asks a language model.

    Args:
        complete: the model, one prompt to one completion (`LanguageModel.complete`).
        most: criteria a pair.
        on_failure: "raise", or "skip": a pair to which the reply is declined or malformed names nothing, and is counted.

    Attributes:
        failed: pairs that were skipped.
    """

    def __init__(self, complete: Complete, *, most: int = 4, on_failure: str = "raise") -> None:
        if on_failure not in ("raise", "skip"):
            raise unknown("on_failure", on_failure, ("raise", "skip"))
        if isinstance(most, bool) or not isinstance(most, int) or most < 1:
            raise ValueError(f"most must be a whole number of at least 1, got {most!r}")
        self._complete, self._most, self._skips, self.failed = complete, most, on_failure == "skip", 0
        tag, self._template = read_prompt(PROMPT)
        self.version = f"judged-differences({tag}, most={most})"

    def differences(self, chosen: StepRecord, rejected: StepRecord) -> list[str]:
        """One call of the model; the reasons that a judge gave for its scores (`Judge.annotate`) are shown with the steps.

        Raises:
            UnreadableError: the reply has no line that begins with "- ".
            JudgeError: the model gave no reply.
        """
        try:
            return self._asked(chosen, rejected)
        except (RefusedError, UnreadableError) as error:
            if not self._skips:
                raise
            self.failed += 1
            logger.warning("a pair names no criteria: %s", error)
            return []

    def _asked(self, chosen: StepRecord, rejected: StepRecord) -> list[str]:
        prompt = self._template.substitute(
            prompt=fenced(chosen.prompt), chosen=fenced(_told(chosen)), rejected=fenced(_told(rejected)), most=self._most
        )
        reply = self._complete(prompt)
        lines = [match.group(1).strip() for match in re.finditer(r"^\s*[-*] +(\S.*)$", reply, re.MULTILINE)]
        if not lines:
            raise UnreadableError(f"the judge was asked for lines that begin with '- ', but replied {reply!r}")
        return [line for line in lines if line.lower().strip(" .") != "none"][: self._most]


def _told(record: StepRecord) -> str:
    """Numbered steps, each with what was said of it: by criterion the sign of its score, and the reason."""
    lines = []
    for t, step in enumerate(record.steps):
        lines.append(labelled(f"step {t + 1}", step))
        reasons = [""] * len(record.criteria) if record.reasons is None else record.reasons[t]
        for criterion, label, reason in zip(record.criteria, record.labels[t], reasons, strict=True):
            if reason and not np.isnan(label):
                verdict = "met" if label > 0 else "not met" if label < 0 else "neither met nor not"
                lines.append(labelled(f"a judge on step {t + 1}, {one_line(criterion)} {verdict}", reason))
    return "\n".join(lines)


class Raw(NamedTuple):
    """`criteria` that may enter a tree, and the `dropped` ones with why."""

    criteria: list[str]
    dropped: list[tuple[str, str]]


def raw_criteria(differ: Differ, pairs: Iterable[tuple[StepRecord, StepRecord]]) -> Raw:
    """What the judge names over all (chosen, rejected) pairs of one prompt each, in order, filtered.

    Raises:
        ValueError: a pair whose prompts differ.
    """
    out = Raw([], [])
    for chosen, rejected in pairs:
        if chosen.prompt != rejected.prompt:
            raise ValueError(f"a pair shares its prompt, got {chosen.prompt!r} and {rejected.prompt!r}")
        for text in differ.differences(chosen, rejected):
            fault = unusable(text, chosen, rejected)
            if fault:
                out.dropped.append((text, fault))
            else:
                out.criteria.append(text.strip())
    return out


def unusable(text: str, *records: StepRecord) -> str:
    """Why a text is no criterion for other problems; "" where it may be one.

    Args:
        text: what a judge named.
        records: the solutions that it was named for; a name in them (a word that is always capitalised) is of this problem.
    """
    words = _WORD.findall(text)
    if len(words) < FEWEST_WORDS:
        return f"fewer than {FEWEST_WORDS} words"
    if len(words) > MOST_WORDS:
        return f"more than {MOST_WORDS} words"
    if _QUOTES.search(text):
        return "numbers or quotations"
    said = {word for record in records for line in (record.prompt, *record.steps) for word in _WORD.findall(line)}
    names = {word for word in said if word[0].isupper() and word.lower() not in said}
    own = [word for word in words[1:] if word in names]
    return f"the name {own[0]!r} of this problem" if own else ""
