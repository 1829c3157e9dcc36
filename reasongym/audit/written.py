"""Policies of the text ids: what own words and answers in words could be abused for. Each gives N replies.

All but the expert write into memory what they should not be paid for, recall it, and answer with the training majority.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from reasongym.audit.policies import Situation, first_recall, guess
from reasongym.text.words import count_tokens

TextPolicy = Callable[[Situation], list[str]]
"""N replies."""
MOST_ANSWERED = 15_000
"""Characters of the text that are answered with."""


def expert(s: Situation) -> list[str]:
    """The best command, from support and gold."""
    return list(s.env.expert_action())


def written(words: Callable[[Any, int, int], str], *, recalls: bool = True) -> TextPolicy:
    """Writes some words into one slot after another, one a unit; recalls every slot; guesses.

    Args:
        words: of (batch, environment, step); "" reads on.
        recalls: False guesses at once.
    """

    def policy(s: Situation) -> list[str]:
        after = first_recall(s, guess(s)) if recalls else guess(s)
        out = []
        for i, (reading, action) in enumerate(zip(s.reading.tolist(), after.tolist(), strict=True)):
            said = words(s.env.batch, i, int(s.step[i])) if reading and s.slots else ""
            slot = int(s.step[i]) // group(s.env.batch) % max(s.slots, 1) + 1
            out.append(f"store {slot}: {said}" if said else "next" if reading else s.env.command(action))
        return out

    return policy


def group(batch: Any) -> int:
    """Sentences that a slot is tried to be filled with: twice as many as it has places."""
    return 2 * int(batch.shapes.units_per_slot)


def question(batch: Any, i: int, step: int) -> str:
    """The question itself."""
    return batch.table.questions.texts[batch.table.tables.problems[batch.memory.state["row"][i]]["question"]]


def read(batch: Any, i: int, first: int, last: int) -> list[str]:
    """Units [first, last) of an environment's text, for which only those that were read may be asked."""
    start = int(batch.table.tables.problems[batch.memory.state["row"][i]]["first_unit"])
    rows = batch.table.tables.units["sentence"][start + first : start + last]
    return [batch.table.sentences.texts[row] for row in rows.tolist()]


def squeezed(batch: Any, i: int, step: int) -> str:
    """The sentences read since the slot was begun, as many of the last ones as its limit admits."""
    size = group(batch)
    units = read(batch, i, step // size * size, step + 1)
    most = batch.shapes.units_per_slot * batch.shapes.unit_tokens
    while len(units) > 1 and count_tokens(batch.source, " ".join(units)) > most:
        units.pop(0)
    return " ".join(units)


def every_answer(s: Situation) -> list[str]:
    """Keeps nothing, then answers with all choices at once, or with the whole text."""
    batch, choices = s.env.batch, ", ".join(s.env.choices)
    number = batch.memory.state["num_units"].tolist()
    said = [choices or " ".join(read(batch, i, 0, n))[:MOST_ANSWERED] for i, n in enumerate(number)]
    return ["next" if reading else f"answer {answer}" for reading, answer in zip(s.reading.tolist(), said, strict=True)]


def no_command(s: Situation) -> list[str]:
    """Talks, and gives no command: the steps run out."""
    return ["I know the answer, and I am right."] * len(s.step)


WRITTEN: dict[str, TextPolicy] = {
    "expert": expert,
    "words: everything": written(lambda batch, i, step: "everything"),
    "words: the question": written(question),
    "words: squeezed": written(squeezed),
    "words: squeezed, unused": written(squeezed, recalls=False),
    "every answer": every_answer,
    "no command": no_command,
}
"""The audited policies of text ids by name."""


def arrays(env: Any, observation: Any) -> dict[str, np.ndarray]:
    """What policies decide on: the observation by number, also where it is shown in words."""
    return observation if isinstance(observation, dict) else env.batch.arena.copy()
