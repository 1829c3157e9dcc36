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


def squeezed(batch: Any, i: int, step: int) -> str:
    """The sentences read since the slot was begun, as many of the last ones as its limit admits."""
    table, size = batch.table, group(batch)
    first = int(table.tables.problems[batch.memory.state["row"][i]]["first_unit"])
    rows = table.tables.units["sentence"][first + step // size * size : first + step + 1]
    units = [table.sentences.texts[row] for row in rows.tolist()]
    most = batch.shapes.units_per_slot * batch.shapes.unit_tokens
    while len(units) > 1 and count_tokens(batch.source, " ".join(units)) > most:
        units.pop(0)
    return " ".join(units)


def every_choice(s: Situation) -> list[str]:
    """Keeps nothing, then answers with all choices at once."""
    everything = "answer " + (", ".join(s.env.choices) or "yes")
    return ["next" if reading else everything for reading in s.reading.tolist()]


def no_command(s: Situation) -> list[str]:
    """Talks, and gives no command: the steps run out."""
    return ["I know the answer, and I am right."] * len(s.step)


WRITTEN: dict[str, TextPolicy] = {
    "expert": expert,
    "words: everything": written(lambda batch, i, step: "everything"),
    "words: the question": written(question),
    "words: squeezed": written(squeezed),
    "words: squeezed, unused": written(squeezed, recalls=False),
    "every choice": every_choice,
    "no command": no_command,
}
"""The audited policies of text ids by name."""


def arrays(env: Any, observation: Any) -> dict[str, np.ndarray]:
    """What policies decide on: the observation by number, also where it is shown in words."""
    return observation if isinstance(observation, dict) else env.batch.arena.copy()
