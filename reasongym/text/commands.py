"""Commands: how a reply is read, and which command stands for an action.

The last line of a reply that parses is its command; what comes before is the thought. A line parses when all of it is a command
(verb, slot, words), whatever its case, behind bullets, backticks, emphasis or "Action:", and with a full stop after it.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from reasongym.engine.layout import Shapes
from reasongym.types import ProblemSource

MOST_READ = 65_536
"""Characters at the end of a reply in which its command is looked for."""
MOST_LINE = 20_000
"""Characters of the longest line that can be a command."""
SLOT_VERBS = ("store", "update", "recall")
NO_ANSWER = ("none", "abstain")
"""Where answers are spans, `answer none` abstains; to answer with the word itself, put it in quotation marks."""

_LEAD = re.compile(r"(?:[\s>*•#`_\"'-]+|[0-9]{1,3}[.)]\s|(?:action|command|reply)\s*:)*", re.IGNORECASE)
_TRAIL = " \t.!;,:`*_\"'"
_SIMPLE = re.compile(r"(next|abstain|(?:store|update|recall|start|end)(?: slot| at)? #?([0-9]{1,9}))", re.IGNORECASE)
_WORDS = re.compile(r"store(?: slot)? #?([0-9]{1,9}) ?: ?(.+)", re.IGNORECASE)
_ANSWER = re.compile(r"answer ?[: ] ?(.+)", re.IGNORECASE)
_UNSEEN = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
"""Control characters, line breaks of other kinds, and halves of surrogate pairs, which no file could hold."""


class Command(NamedTuple):
    """A parsed line.

    Attributes:
        verb: "next", "store", "update", "recall", "answer", "start", "end" or "abstain".
        number: slot or position, from 1; 0 = none.
        words: the agent's own words, or an answer; "" = none.
    """

    verb: str
    number: int = 0
    words: str = ""

    def __str__(self) -> str:
        head = f"{self.verb} {self.number}" if self.number or self.verb in (*SLOT_VERBS, "start", "end") else self.verb
        if self.words:
            return f"{head}: {self.words}" if self.verb == "store" else f"{head} {self.words}"
        return head


def one_line(text: str) -> str:
    """The text in one line, without control characters: nothing that it says can look like a line of its own."""
    return " ".join(_UNSEEN.sub(" ", text).split())


def read(reply: str, *, spans: bool) -> tuple[str, Command | None]:
    """(thought, command) of a reply; no command where no line parses.

    Args:
        reply: any string.
        spans: whether answers are spans: then `start`, `end` and `abstain` are commands too.
    """
    end = len(reply)
    for line in reversed(reply[-MOST_READ:].splitlines(keepends=True)):
        end -= len(line)
        command = parse(line, spans=spans)
        if command is not None:
            return reply[:end].strip(), command
    return reply.strip(), None


def parse(line: str, *, spans: bool) -> Command | None:
    """The command that a line is, or None."""
    if len(line) > MOST_LINE:
        return None
    lead = _LEAD.match(line)
    line = one_line(line[lead.end() :] if lead else line)
    bare = line.rstrip(_TRAIL)
    if simple := _SIMPLE.fullmatch(bare):
        verb = simple[1].split()[0].lower()
        if verb in ("start", "end", "abstain") and not spans:
            return None
        return Command(verb, int(simple[2] or 0))
    line = line.rstrip(" `*")
    if words := _WORDS.fullmatch(line):
        return Command("store", int(words[1]), words[2])
    if answer := _ANSWER.fullmatch(line):
        if not spans:
            return Command("answer", 0, answer[1].strip(_TRAIL) or answer[1])
        said = answer[1].rstrip(" .!`*")
        return Command("abstain") if said.lower() in NO_ANSWER else Command("answer", 0, answer[1])
    return None


class Commands:
    """The commands of an environment: actions by command, and commands by action."""

    def __init__(self, source: ProblemSource, shapes: Shapes) -> None:
        self._source, self.shapes = source, shapes
        self._folded = {_folded(choice): c for c, choice in enumerate(source.choices)}

    def of(self, action: int) -> str:
        """The command that stands for an action.

        Raises:
            ValueError: no such action.
        """
        slots, shapes = self.shapes.slots, self.shapes
        if not 0 <= action < shapes.actions:
            raise ValueError(f"action {action} is outside Discrete({shapes.actions})")
        if action == 0:
            return "next"
        if action <= 3 * slots:
            return f"{SLOT_VERBS[(action - 1) // slots]} {(action - 1) % slots + 1}"
        choice = action - 1 - 3 * slots
        if not shapes.span:
            return f"answer {self._source.choices[choice]}"
        if choice == 2 * shapes.positions:
            return "abstain"
        return f"{('start', 'end')[choice // shapes.positions]} {choice % shapes.positions + 1}"

    def action(self, command: Command) -> int | None:
        """The action that a command without words stands for; None where there is no such slot or position."""
        first, positions = 1 + 3 * self.shapes.slots, self.shapes.positions
        if command.verb == "next":
            return 0
        if command.verb == "abstain":
            return first + 2 * positions
        if command.verb in SLOT_VERBS:
            inside = 1 <= command.number <= self.shapes.slots
            return command.number + self.shapes.slots * SLOT_VERBS.index(command.verb) if inside else None
        inside = 1 <= command.number <= positions
        return first + command.number - 1 + positions * (command.verb == "end") if inside else None

    def choice(self, words: str) -> int | None:
        """The closed choice that an answer names, whatever its case and spaces; the parts of a list in any order."""
        folded = _folded(words)
        if folded in self._folded:
            return self._folded[folded]
        try:
            return self._source.choice_of(folded)
        except ValueError:
            return None

    def usage(self) -> str:
        """The forms of all commands, in one line."""
        slots = ["store K", "store K: own words", "update K", "recall K"] if self.shapes.slots else []
        answers = ["answer WORDS", "answer none", "start P", "end P"] if self.shapes.span else ["answer X"]
        return ", ".join(["next", *slots, *answers])


def _folded(answer: str) -> str:
    return re.sub(r" ?, ?", ",", one_line(answer)).lower()
