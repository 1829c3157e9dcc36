"""A step of an environment in words, as it stands in a `StepRecord`, for any scorer that reads text.

    pass over 3: Mary went to the kitchen.             NEXT
    note 4: Mary got the milk there.                   STORE; "..., dropping 1: ..." where it replaces something
    add 5: Mary left the milk. to 4: Mary got ...      UPDATE
    recall 4: Mary got the milk there. (chain: 2)      RECALL, with the chain as it stood before
    answer: kitchen (chain: 4, 3)                      ANSWER

A number is a sentence's place in the text, from 1: it says which sentence it is where two are alike, and which came later.
Slots have no number, since that means nothing outside; the numbers of a chain stand for sentences that earlier steps spell
out. What did nothing ends with "(no effect)". Only what the agent could see is shown. Thoughts, and replies that hold no
command, are not: they could talk to the scorer.

Where answers are chosen from a list (made-up worlds), a recalled pronoun is explained, "she (Mary)", once the sentence before
its own is in the chain or comes before it in the slot: whom it stands for can be known from there, and only from there. Then
it is the names in that sentence.

A question that is asked after the text (`question_at="end"`) is not part of the prompt: it stands in front of the first step
that sees it.
"""

from __future__ import annotations

import re

import numpy as np

from reasongym.prm.base import ANSWER, NEXT, RECALL, START, STORE, StepBatch
from reasongym.prm.reading import FUNCTION_WORDS

UNASKED = "(the question is asked after the text)"
"""Prompt of an episode whose question is hidden at first."""
_PRONOUN = re.compile(r"\b(he|she|they)\b", re.IGNORECASE)


def prompt_text(steps: StepBatch, i: int) -> str:
    """The prompt of the episode whose first step is step i: its question, or `UNASKED`."""
    return steps.questions[steps.question[i]] if steps.question[i] >= 0 else UNASKED


def step_text(steps: StepBatch, i: int, *, asked: bool = True) -> str:
    """Step i in words.

    Args:
        steps: the batch.
        i: which of its steps.
        asked: whether the prompt or an earlier step has shown the question.
    """
    kind = int(steps.kind[i])
    if kind in (RECALL, ANSWER, START):
        text = _recall(steps, i) if kind == RECALL else _answer(steps, i)
    else:
        text = _reading(steps, i)
    if steps.illegal[i]:
        text += " (no effect)"
    if not asked and steps.question[i] >= 0:
        text = f"question: {steps.questions[steps.question[i]]} {text}"
    return text


def _reading(steps: StepBatch, i: int) -> str:
    """NEXT, STORE or UPDATE."""
    kind, slot = int(steps.kind[i]), int(steps.slot[i])
    verb = "pass over" if kind == NEXT else "note" if kind == STORE else "add"
    if steps.desk[i] < 0:
        return f"{verb} nothing"
    number = int(steps.units_read[i]) + int(steps.illegal[i])  # read now, unless nothing happened
    text = f"{verb} {number}: {steps.sentences[steps.desk[i]]}"
    if kind == NEXT:
        return text
    words = steps.own_words_of(i)
    if words:
        text += f" as: {words}"
    held = _content(steps, steps.memory_before[i, slot], steps.positions_before[i, slot])
    if not held:
        return text
    return f"{text}, dropping {held}" if kind == STORE else f"{text} to {held}"


def link_text(steps: StepBatch, i: int, h: int) -> str:
    """Link h of the chain of step i, as the step that recalled it was worded."""
    return _recalled(steps, i, steps.chain[i, h], steps.chain_positions[i, h], h)


def _recall(steps: StepBatch, i: int) -> str:
    slot = int(steps.slot[i])
    return _recalled(steps, i, steps.memory_before[i, slot], steps.positions_before[i, slot], links_before(steps, i))


def _recalled(steps: StepBatch, i: int, units: np.ndarray, places: np.ndarray, links: int) -> str:
    """The recall of a slot's content when the chain had so many links."""
    known: dict[int, str] | None = None
    if len(steps.choices):
        pairs = zip(steps.chain[i, :links].ravel().tolist(), steps.chain_positions[i, :links].ravel().tolist(), strict=True)
        known = {place: steps.sentences[unit] for unit, place in pairs if unit >= 0}
    return f"recall {_content(steps, units, places, known) or 'nothing'}{_chain(steps, i, links)}"


def _answer(steps: StepBatch, i: int) -> str:
    chain = _chain(steps, i, links_before(steps, i))
    if steps.kind[i] == START:
        return f"begin an answer{chain}"
    if steps.choice[i] < 0:
        return "reply without command"
    return f"answer: {steps.answer_text(i) or '(none)'}{chain}"


def _chain(steps: StepBatch, i: int, links: int) -> str:
    """The numbers of the sentences in the first links of the chain of step i."""
    numbers = [str(place + 1) for link in steps.chain_positions[i, :links].tolist() for place in link if place >= 0]
    return f" (chain: {', '.join(numbers)})" if numbers else ""


def links_before(steps: StepBatch, i: int) -> int:
    """Links of the chain before step i."""
    return int(steps.chain_length[i]) - int(steps.kind[i] == RECALL and not steps.illegal[i])


def _content(steps: StepBatch, units: np.ndarray, places: np.ndarray, known: dict[int, str] | None = None) -> str:
    """A slot's sentences with their numbers, pronouns explained from `known` sentences by place; "" where it is empty."""
    parts: list[str] = []
    explains, known = known is not None, dict(known or {})
    for unit, place in zip(units.tolist(), places.tolist(), strict=True):
        if unit >= 0:
            text = steps.sentences[unit]
            parts.append(f"{place + 1}: {_explained(text, known[place - 1]) if place - 1 in known else text}")
            if explains:
                known[place] = text
    return " ".join(parts)


def _explained(text: str, before: str) -> str:
    """A sentence whose first pronoun is followed by the names of the sentence before, in brackets."""
    names = [word for word in re.findall(r"\w+", before) if word[0].isupper() and word.lower() not in FUNCTION_WORDS]
    if not names:
        return text
    return _PRONOUN.sub(lambda found: f"{found.group()} ({' and '.join(names)})", text, count=1)
