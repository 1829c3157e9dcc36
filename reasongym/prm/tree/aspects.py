"""What a step should be judged on, as phrases: the bridge from steps (which state things) to criteria (which criticise).

The raw text of a step is never compared with criteria: the two registers lie far apart whatever the step is about.
`RelationAspects` names topics from the action and its relation to the steps before it, as far as they are visible; it says what
to look at, never what is wrong. `JudgedAspects` asks a language model for the coarse criteria that apply and for the phrase.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from string import Template
from typing import NamedTuple, Protocol

from reasongym.prm.fences import fenced, labelled, one_line
from reasongym.prm.judge.errors import RefusedError, UnreadableError
from reasongym.prm.natural import STOP_WORDS, stem
from reasongym.prm.tree.context import Complete, Context
from reasongym.prm.tree.tree import RewardTree

logger = logging.getLogger(__name__)
PROMPT = Path(__file__).parents[1] / "prompts" / "aspect.txt"
ANSWERS = ("whether the answer follows from the facts that were gathered", "whether enough was gathered before answering",
           "whether the answer is of the kind that is asked for")  # fmt: skip
USES = "whether what the step builds on was established before"
RELEVANT = "whether the recalled fact has to do with the question"
CURRENT = "whether the recalled fact is still true or was replaced later"
AGREES = "whether the step contradicts an earlier step"
REPEATS = "whether the step repeats what was said already"
PROGRESS = "whether the step brings the solution nearer to its goal"
LEGAL = "whether the action is allowed by the rules"
_ANSWER = re.compile(r"\s*(?:the )?(?:final )?answer\b|.*\\boxed\b", re.IGNORECASE | re.DOTALL)
_READS = re.compile(r"\s*(?:note|store|add|update|pass over|next)\b", re.IGNORECASE)
_RECALL = re.compile(r"\s*recall\b", re.IGNORECASE)
_WORD = re.compile(r"[^\W\d_]+")
_ACTION_WORDS = frozenset(map(stem, "recall note store add update pass over next answer chain dropping nothing effect".split()))


class Aspects(NamedTuple):
    """Phrases that name what the step should be judged on, foremost first; coarse indices, or None for "by distance"."""

    phrases: tuple[str, ...]
    coarse: tuple[int, ...] | None = None


class AspectReader(Protocol):
    """Reads the aspects of a step.

    Attributes:
        version: part of every cache key and record.
    """

    @property
    def version(self) -> str: ...

    def read(self, tree: RewardTree, context: Context) -> Aspects:
        """At least one phrase; from visible text only."""
        ...


class RelationAspects:
    """Topics from the action and its relation to the visible earlier steps, by rule; needs no model.

    | the step | topics |
    | --- | --- |
    | answers | support, completeness, kind of answer |
    | says nothing that one of the steps before it does not say | repetition, first |
    | is about something that an earlier step is about | agreement, currency |
    | recalls or states | relevance, currency, prerequisites |
    | reads | relevance, progress |
    | had no effect | legality, alone |
    """

    version = "relations-1"

    def read(self, tree: RewardTree, context: Context) -> Aspects:
        """See the table of the class; `tree` is not read."""
        step = context.step
        if step.endswith("(no effect)"):
            return Aspects((LEGAL,))
        if _ANSWER.match(step):
            return Aspects(ANSWERS)
        if _READS.match(step):
            return Aspects((RELEVANT, PROGRESS))
        said = content_words(step)
        before = [content_words(earlier) for earlier in context.earlier if not _READS.match(earlier)]
        topics = []
        if said and any(said <= other for other in before):
            topics.append(REPEATS)
        if any(said & other for other in before):
            topics += [AGREES, CURRENT]
        topics += [RELEVANT, CURRENT, USES]
        if not _RECALL.match(step):
            topics.append(REPEATS)
        return Aspects(tuple(dict.fromkeys(topics)))


@lru_cache(maxsize=1 << 16)
def content_words(text: str) -> frozenset[str]:
    """The stems of what a step says, without its action."""
    stems = (stem(word) for word in map(str.lower, _WORD.findall(text)) if word not in STOP_WORDS)
    return frozenset(stems) - _ACTION_WORDS


class JudgedAspects:
    """Asks a language model which coarse criteria apply to a step, and for the aspect to judge it on.

    Args:
        complete: the model, one prompt to one completion (`LanguageModel.complete`).
        on_unknown: what a criterion number outside the tree does: "raise", or "drop" (the others stay).
        fallback: reads the steps to which the model's reply is declined or malformed; None: such a reply raises.

    Attributes:
        failed: steps that were left to the fallback.
    """

    def __init__(self, complete: Complete, *, on_unknown: str = "raise", fallback: AspectReader | None = None) -> None:
        if on_unknown not in ("raise", "drop"):
            raise ValueError(f"on_unknown must be 'raise' or 'drop', got {on_unknown!r}")
        self._complete, self._on_unknown, self._fallback = complete, on_unknown, fallback
        self.failed = 0
        tag, self._template = read_prompt(PROMPT)
        self.version = f"judged-aspects({tag}, on_unknown={on_unknown}{f', else {fallback.version}' if fallback else ''})"

    def read(self, tree: RewardTree, context: Context) -> Aspects:
        """One call of the model.

        Raises:
            UnreadableError: the reply lacks a line, names no criterion, or (unless dropped) one that the tree does not have.
            JudgeError: the model gave no reply.
        """
        try:
            return self._asked(tree, context)
        except (RefusedError, UnreadableError) as error:
            if self._fallback is None:
                raise
            self.failed += 1
            logger.warning("aspects are read by %s where the judge's reply is of no use: %s", self._fallback.version, error)
            return self._fallback.read(tree, context)

    def _asked(self, tree: RewardTree, context: Context) -> Aspects:
        listed = "\n".join(f"{i + 1}. {one_line(coarse.text)}" for i, coarse in enumerate(tree.coarse))
        prompt = self._template.substitute(
            criteria=fenced(listed),
            prompt=fenced(context.prompt),
            earlier=fenced(numbered(context.earlier)),
            step=fenced(context.step),
        )
        reply = self._complete(prompt)
        numbers = _line(reply, "criteria")
        coarse = []
        for number in re.findall(r"\d+", numbers):
            index = int(number) - 1
            if 0 <= index < len(tree.coarse):
                coarse.append(index)
            elif self._on_unknown == "raise":
                raise UnreadableError(
                    f"the judge named criterion {number}, but the tree has 1 to {len(tree.coarse)}; reply: {reply!r}"
                )
        if not coarse:
            raise UnreadableError(f"the judge named no criterion of the tree; reply: {reply!r}")
        return Aspects((_line(reply, "aspect"),), tuple(dict.fromkeys(coarse)))


def _line(reply: str, key: str) -> str:
    found = re.search(rf"^\W*{key}\W*:\s*(\S.*)$", reply, re.IGNORECASE | re.MULTILINE)
    if found is None:
        raise UnreadableError(f"the judge's reply has no line '{key}: ...'; reply: {reply!r}")
    return found.group(1).strip()


def numbered(steps: Sequence[str]) -> str:
    """Steps one below the other, each with its number; "(none)" for none."""
    return "\n".join(labelled(f"step {i}", step) for i, step in enumerate(steps, 1)) or "(none)"


def read_prompt(path: Path) -> tuple[str, Template]:
    """(version tag, template) of a prompt file, whose first line is the tag."""
    tag, _, body = path.read_text(encoding="utf-8").partition("\n")
    return tag.strip(), Template(body)
