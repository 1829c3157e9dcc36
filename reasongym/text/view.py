"""The situation of one environment in words: all that the array observation shows, and nothing else but what is asked for.

With `reasons` the observer says why it scored the last step as it did, where it can (`explain`, as `prm.judge.Judge` has it).
"""

from __future__ import annotations

import numpy as np

from reasongym.engine.batch import Batch
from reasongym.engine.layout import FEATURES, WORDS
from reasongym.prm.base import StepBatch
from reasongym.text.commands import SLOT_VERBS, Commands, one_line
from reasongym.wrappers.reasons import explained

CHARACTERS_PER_TOKEN = 40
"""Of a unit or question as shown, at most; longer ones end in an ellipsis."""
MOST_REASON = 300
"""Characters of a reason as shown, at most."""
OVERHEAD = 120
"""Characters that a shown unit takes besides its own, at most."""


class View:
    """Renders the environments of a batch.

    Args:
        batch: the environments.
        reasons: whether the observer's reasons are shown.

    Raises:
        ValueError: reasons of an observer that gives none.

    Attributes:
        reasons: as given.
        max_length: most characters of a rendered situation.
    """

    def __init__(self, batch: Batch, reasons: bool = False) -> None:
        self._batch, self._commands = batch, Commands(batch.source, batch.shapes)
        settings, shapes = batch.settings, batch.shapes
        self._moving = settings.observer_model is not None or settings.gate != "open"
        self._criteria = () if settings.observer_model is None else settings.observer_model.criteria
        self.reasons = reasons
        self._old: tuple[StepBatch, np.ndarray] | None = None
        self._said: dict[int, dict[str, str]] = {}
        if reasons and not hasattr(settings.observer_model, "explain"):
            raise ValueError(
                "reasons=True shows what the observer says of its scores, which needs an observer with explain(steps), such as "
                f"Judge(..., reasons=True); got observer={settings.observer!r}"
            )
        self._most = shapes.unit_tokens * CHARACTERS_PER_TOKEN, shapes.question_tokens * CHARACTERS_PER_TOKEN
        units = 1 + shapes.units_per_slot * (shapes.slots + shapes.chain_length)
        listed = (
            sum(len(choice) + 3 for choice in batch.source.choices)
            + 30 * shapes.slots
            + (60 + MOST_REASON * reasons) * len(self._criteria)
        )
        pointed = shapes.positions * (CHARACTERS_PER_TOKEN + 10) if shapes.span else 0
        self.max_length = units * (self._most[0] + OVERHEAD) + self._most[1] + listed + pointed + 4_000

    def __call__(self, i: int) -> str:
        """The situation of environment `i`."""
        batch = self._batch
        state, shapes = batch.memory.state[i], batch.shapes
        n, cursor, steps = int(state["num_units"]), int(state["cursor"]), int(state["steps"])
        asked = batch.settings.question_at == "start" or cursor >= n
        question = batch.table.questions.texts[batch.table.tables.problems[state["row"]]["question"]] if asked else ""
        desk = f"(sentence {cursor + 1} of {n}): {self._unit(i, cursor)}" if cursor < n else "is empty: the text is over."
        lines = [
            f"Question: {_short(question, self._most[1])}" if asked else "Question: not asked before the text is over.",
            f"Progress: {cursor} of {n} sentences read, {steps} of at most {state['max_steps']} steps taken.",
            f"Desk {desk}",
        ]
        if shapes.slots:
            lines.append(f"Memory ({state['occupied']} of {shapes.slots} slots in use):")
            lines += [self._slot(i, k) for k in range(int(state["occupied"]))]
        if shapes.chain_length:
            lines.append(f"Chain ({state['chain_length']} of {shapes.chain_length} links):")
            lines += [f"  {h + 1}. {self._link(i, h)}" for h in range(int(state["chain_length"]))]
        if self._criteria:
            lines.append(f"Scores of the last step: {self._scores(i)}.")
            lines += self._reasons(i)
        if batch.result.outcome["terminated"][i]:  # not where it was cut from outside: by number nothing shows that either
            return "\n".join([*lines, "The episode is over."])
        return "\n".join([*lines, *self._pointing(i), f"Commands now: {self.legal(i)}."])

    def listen(self) -> None:
        """Asks the observer for its reasons for the last step of all environments at once."""
        scorer, observer = self._batch.scorer, self._batch.settings.observer_model
        self._said = {}
        if (
            self.reasons
            and observer is not None
            and scorer is not None
            and scorer.last is not None
            and scorer.last is not self._old
        ):
            steps, rows = scorer.last
            self._said = dict(zip(rows.tolist(), explained(observer, steps) or [], strict=False))

    def forget(self) -> None:
        """The last step is of another time: a state was set."""
        self._old = None if self._batch.scorer is None else self._batch.scorer.last

    def legal(self, i: int) -> str:
        """The legal commands, in words."""
        mask, shapes = self._batch.observation.action_mask[i] != 0, self._batch.shapes
        out = ["next"] if mask[0] else []
        for v, verb in enumerate(SLOT_VERBS):
            slots = np.flatnonzero(mask[1 + v * shapes.slots : 1 + (v + 1) * shapes.slots]) + 1
            if len(slots):
                out.append(f"{verb} {'|'.join(map(str, slots.tolist()))}")
        answers = mask[1 + 3 * shapes.slots :]
        if not shapes.span and answers.any():
            out.append("answer X, where X is " + " | ".join(self._batch.source.choices))
        elif shapes.span and answers[-1]:
            out.append("answer WORDS" + ("; start P" if answers[: shapes.positions].any() else "") + "; answer none")
        elif shapes.span and answers.any():
            out.append("end P")
        return "; ".join(out) or "none"

    def _unit(self, i: int, unit: int) -> str:
        table = self._batch.table
        first = table.tables.problems[self._batch.memory.state["row"][i]]["first_unit"]
        return _short(table.sentences.texts[table.tables.units["sentence"][first + unit]], self._most[0])

    def _units(self, i: int, units: list[int], *, hidden: bool = False) -> list[str]:
        """Units with their places in the text."""
        n = self._batch.memory.state["num_units"][i]
        return [f"{'hidden' if hidden else self._unit(i, u)} (sentence {u + 1} of {n})" for u in units if u >= 0]

    def _own(self, words: str, at: int, i: int, *, hidden: bool = False) -> str:
        n = self._batch.memory.state["num_units"][i]
        said = "own words, hidden" if hidden else f'own words: "{words}"'
        return f"{said} (written at sentence {at + 1} of {n})"

    def _slot(self, i: int, k: int) -> str:
        memory, notes = self._batch.memory, self._batch.notes
        slot, held = memory.slots[i, k], memory.held["unit"][i, k].tolist()
        hidden, noted = self._batch.settings.memory_view == "recalled", int(slot["noted"])
        parts = self._units(i, held[noted:], hidden=hidden)
        if noted and notes is not None:
            parts.insert(0, self._own(notes.slots[i, k], int(notes.slots_at[i, k]), i, hidden=hidden))
        about = []
        if self._moving:
            about.append(f"salience {slot['salience']:.2f}")
        if slot["recalls"]:
            about.append(f"recalled {slot['recalls']}x")
        features = self._batch.observation.memory_features[i, k]
        closed = [verb for verb in SLOT_VERBS if not features[FEATURES.index(f"open to {verb}")]]
        about += [f"closed to {', '.join(closed)}"] if closed else []
        return f"  {k + 1}. {' '.join(parts)}" + (f" [{'; '.join(about)}]" if about else "")

    def _link(self, i: int, h: int) -> str:
        link, notes = self._batch.memory.chain[i, h].tolist(), self._batch.notes
        parts = self._units(i, link)
        if link[0] == WORDS and notes is not None:
            parts.insert(0, self._own(notes.links[i, h], int(notes.links_at[i, h]), i))
        return " ".join(parts)

    def _scores(self, i: int) -> str:
        o = self._batch.observation
        return ", ".join(
            f"{name} {value:+.2f}" if scored else f"{name} unscored"
            for name, value, scored in zip(self._criteria, o.scores[i].tolist(), o.scored[i].tolist(), strict=True)
        )

    def _reasons(self, i: int) -> list[str]:
        """Of what was scored; a model's words, in one line each."""
        scored = dict(zip(self._criteria, self._batch.observation.scored[i].tolist(), strict=True))
        said = self._said.get(i, {})
        return [f"  {name}: {_short(reason, MOST_REASON)}" for name, reason in said.items() if scored[name]]

    def _pointing(self, i: int) -> list[str]:
        """Where answers are spans: the words of the last link that can be pointed at, by position."""
        shapes, batch = self._batch.shapes, self._batch
        if not shapes.span:
            return []
        state, answers = batch.memory.state[i], batch.observation.action_mask[i, 1 + 3 * shapes.slots :]
        begun = int(state["span_start"])
        offset = 0 if begun < 0 else shapes.positions
        positions = np.flatnonzero(answers[offset : offset + shapes.positions]).tolist()
        if not positions:
            return []
        head = "Positions in the last link" if begun < 0 else f"The answer starts at {begun + 1}; it may end at"
        return [f"{head}: {', '.join(f'{p + 1} {self._word(i, p)}' for p in positions)}"]

    def _word(self, i: int, p: int) -> str:
        """The word at a position of the last link."""
        batch, width = self._batch, self._batch.shapes.unit_tokens
        state, tables = batch.memory.state[i], batch.table.tables
        unit = int(batch.memory.chain[i, state["chain_length"] - 1, p // width])
        row = int(tables.units["sentence"][tables.problems[state["row"]]["first_unit"] + unit])
        return _short(batch.table.text_between(row, p % width, p % width), CHARACTERS_PER_TOKEN)


def _short(text: str, most: int) -> str:
    text = one_line(text)
    return text if len(text) <= most else f"{text[: most - 1]}…"
