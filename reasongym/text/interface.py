"""What one text environment and a vector of them do alike: replies become actions, situations become strings.

Axes: N environments. A reply's command is looked up here, its own words and written answers are handed to the engine, and
whether the command is legal is the engine's to say, as for an action by number.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from reasongym.engine.batch import Batch
from reasongym.engine.layout import NO_COMMAND, TOO_LONG, WORDS
from reasongym.metrics import exact_match, f1, rouge_l
from reasongym.text.commands import Command, Commands, one_line, read
from reasongym.text.spaces import REPLY_LENGTH, Prose
from reasongym.text.view import View
from reasongym.text.words import Facts, count_tokens

MOST_REPEATED = 4_000
"""Characters of an earlier reply that `history` repeats: its last ones."""
ROUNDING = 1e-9
"""The engine computes scores by another formula than the metrics on strings."""


class Turn(NamedTuple):
    """What a reply came to: its thought, its command ("" = none), and what is wrong with it beyond what the engine says."""

    thought: str = ""
    command: str = ""
    fault: str = ""


class Interface:
    """Strings in and out of a batch.

    Args:
        batch: the environments; from now on it takes own words.
        system: what a chat begins with; "" = nothing.
        history: how many earlier turns each observation repeats.
        reasons: whether the observer's reasons for its scores are shown.

    Attributes:
        turns: of the last step, one an environment.
        commands: by action, and back.
    """

    def __init__(self, batch: Batch, system: str = "", history: int = 0, reasons: bool = False) -> None:
        if isinstance(history, bool) or not isinstance(history, int) or not 0 <= history <= 1000:
            raise ValueError(f"history must be a whole number in [0, 1000], got {history!r}")
        self.batch, self.system, self.history = batch, system, history
        batch.take_words()
        self.view, self.commands = View(batch, reasons), Commands(batch.source, batch.shapes)
        self.turns = [Turn()] * batch.n
        self._facts = Facts(batch)
        self._past: list[deque[tuple[str, str]]] = [deque(maxlen=history) for _ in range(batch.n)]
        self._now = [""] * batch.n

    def spaces(self) -> tuple[Prose, Prose]:
        """(observations, replies) of one environment."""
        shapes, choices = self.batch.shapes, self.batch.source.choices
        actions = [
            *range(1 + 3 * shapes.slots),
            *(1 + 3 * shapes.slots + c for c in range(len(choices) or 2 * shapes.positions)),
        ]
        examples = [self.commands.of(action) for action in actions] + (["answer none"] if shapes.span else [])
        length = self.view.max_length + self.history * (self.view.max_length + 2 * MOST_REPEATED + 100)
        return Prose(length, ["Question: ...", "", "Commands now: next."]), Prose(REPLY_LENGTH, examples)

    def read(self, replies: Sequence[str], live: np.ndarray | None = None) -> np.ndarray:
        """(N,) actions that replies stand for, own words and written answers handed to the engine.

        Args:
            replies: N strings.
            live: (N,) bool, which environments will be stepped; the others' replies are not looked at.

        Raises:
            TypeError: a reply is no string.
        """
        stepped = [(i, reply) for i, reply in enumerate(replies) if live is None or live[i]]
        for _, reply in stepped:
            if not isinstance(reply, str):
                raise TypeError(f"an action is a string such as 'next' or 'store 1', got {reply!r} ({type(reply).__name__})")
        actions, self.turns = np.zeros(self.batch.n, np.int64), [Turn()] * self.batch.n
        for i, reply in stepped:
            thought, command = read(reply, spans=self.batch.shapes.span)
            actions[i], fault = self._action(i, command, reply)
            by_number = command is not None and actions[i] < self.batch.shapes.actions and command.verb != "store"
            said = self.commands.of(int(actions[i])) if by_number else "" if command is None else str(command)
            self.turns[i] = Turn(thought, said, fault)
            if self.history:
                self._past[i].append((self._now[i], reply[-MOST_REPEATED:]))
        return actions

    def begin(self, rows: np.ndarray) -> None:
        """Forgets the earlier turns of environments whose episode begins."""
        for i in rows.tolist():
            self._past[i].clear()

    def observe(self) -> tuple[str, ...]:
        """N observations."""
        self.view.listen()
        self._now = [self.view(i) for i in range(self.batch.n)]
        return tuple(self._with_history(i) for i in range(self.batch.n))

    def messages(self, i: int) -> list[dict[str, str]]:
        """The observation of environment `i` as a chat: system, the earlier turns that are repeated, the situation."""
        out = [{"role": "system", "content": self.system}] if self.system else []
        for situation, reply in self._past[i]:
            out += [{"role": "user", "content": situation}, {"role": "assistant", "content": reply}]
        return [*out, {"role": "user", "content": self._now[i]}]

    def fault(self, i: int) -> str | None:
        """What was wrong with the last reply of environment `i`, where it is more than the engine knows."""
        return self.turns[i].fault if self.batch.result.outcome["invalid"][i] in (NO_COMMAND, TOO_LONG) else None

    def get_state(self) -> dict[str, Any]:
        """What changes here, copied."""
        return {"past": [list(turns) for turns in self._past], "now": list(self._now)}

    def set_state(self, state: dict[str, Any]) -> None:
        """Resumes from `get_state`."""
        self.view.forget()
        self._past = [deque(turns, maxlen=self.history) for turns in state["past"]]
        self._now, self.turns = list(state["now"]), [Turn()] * self.batch.n

    def _with_history(self, i: int) -> str:
        past, parts = self._past[i], []
        for ago, (situation, reply) in zip(range(len(past), 0, -1), past, strict=True):
            said = "\n".join(f"> {one_line(line)}" for line in reply.splitlines()) or ">"
            parts.append(f"[{ago} turn{'s' if ago > 1 else ''} ago]\n{situation}\n{said[: 2 * MOST_REPEATED]}\n")
        return "\n".join([*parts, *(["[now]"] if parts else []), self._now[i]])

    def _action(self, i: int, command: Command | None, reply: str) -> tuple[int, str]:
        """(action, what is wrong with the reply beyond what the engine knows)."""
        batch, commands = self.batch, self.commands
        first, notes = 1 + 3 * batch.shapes.slots, batch.take_words()
        no_command = first + batch.shapes.written + 1
        if command is None:
            notes.reply[i] = one_line(reply[-200:])
            return no_command, f"no line of the reply is a command; the commands are: {commands.usage()}"
        if command.verb == "answer":
            choice = None if batch.shapes.span else commands.choice(command.words)
            return (first + choice, "") if choice is not None else (self._written(i, command.words), "")
        action = commands.action(command)
        if action is None:
            notes.reply[i] = str(command)
            most = batch.shapes.slots if command.verb in ("store", "update", "recall") else batch.shapes.positions
            what = "slot" if most == batch.shapes.slots else "position"
            return no_command, f"{str(command)!r:.80}: there is no {what} {command.number}, they count from 1 to {most}"
        return action, self._own_words(i, command.words) if command.words else ""

    def _own_words(self, i: int, words: str) -> str:
        """Hands own words to the engine; returns why they are refused, if they are."""
        batch, state, width = self.batch, self.batch.memory.state, self.batch.shapes.unit_tokens
        tokens, most = count_tokens(batch.source, words), batch.shapes.units_per_slot * width
        batch.take_words().reply[i] = words
        if tokens > most:
            state["words"][i] = -1
            return f"the words take {tokens} tokens, but a slot holds {most}"
        places = -(-tokens // width)
        state["words"][i] = places
        batch.result.noted[i] = WORDS
        if state["cursor"][i] < state["num_units"][i]:
            units = self._facts.recovered(i, words, places)
            batch.result.noted[i, : len(units)] = units
        return ""

    def _written(self, i: int, words: str) -> int:
        """Hands a written answer to the engine, scored."""
        batch = self.batch
        batch.take_words().reply[i] = words
        state, spans = batch.memory.state, batch.table.spans
        state["written"][i], state["written_right"][i] = 0.0, 0
        if spans is not None and batch.settings.reads_gold:
            references = batch.table.answers(int(state["row"][i]))
            exact = spans.metric == "f1" and spans.right_at >= 1
            score = f1(words, references) if spans.metric == "f1" else rouge_l(words, references or [""])
            right = exact_match(words, references) > 0 if exact else score >= spans.right_at - ROUNDING
            state["written"][i], state["written_right"][i] = score, right
        return 1 + 3 * batch.shapes.slots + batch.shapes.written
