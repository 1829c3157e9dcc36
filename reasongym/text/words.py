"""Own words: how much of a slot they take, and which facts they state.

A fact counts as held only if it can be read off the words again. In the bAbI worlds their sentences are parsed by the world's
own grammar, and stand for the unit read last that says the same (in whatever wording). In natural text they have to contain
the unit, case, punctuation and spaces aside. Words that state nothing that was read take their place and count for nothing.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

from reasongym.engine.batch import Batch
from reasongym.types import ProblemSource

CHARACTERS_PER_TOKEN = 10
"""Characters that a token may stand for: without it, words glued together would be one token."""
_KEPT = 100_000

_WORD = re.compile(r"[^\s.?!,]+")
_SENTENCE = re.compile(r"[.!?;]+")
_LETTERS = re.compile(r"[\W_]+")


def count_tokens(source: ProblemSource, text: str) -> int:
    """Tokens that own words take: those of the source's tokenizer, words outside of its vocabulary as one each."""
    try:
        tokens = len(source.tokenize(text))
    except ValueError:
        tokens = len(_WORD.findall(text))
    return max(tokens, -(-len(text) // CHARACTERS_PER_TOKEN))


class Facts:
    """Recovers facts from own words."""

    def __init__(self, batch: Batch) -> None:
        self._batch = batch
        self._worlds: dict[int, Any] = {world.task: world for world in getattr(batch.source, "worlds", ())}
        self._names = {name.lower(): name for name in batch.source.entities if name[:1].isupper()}
        self._events: dict[tuple[int, str], Any] = {}

    def recovered(self, i: int, words: str, most: int) -> list[int]:
        """Indices of the units of environment `i`'s text, read so far or on the desk, that the words state; at most `most`."""
        table, state = self._batch.table, self._batch.memory.state[i]
        problem = table.tables.problems[state["row"]]
        first, last = int(problem["first_unit"]), int(problem["first_unit"]) + int(state["cursor"])
        rows = table.tables.units["sentence"][first : min(last + 1, first + int(state["num_units"]))]
        units = [table.sentences.texts[row] for row in rows.tolist()]
        task = int(problem["task"])
        found = self._parsed(task, units, words) if task in self._worlds else _contained(units, words)
        return found[:most]

    def _parsed(self, task: int, units: list[str], words: str) -> list[int]:
        latest = {self._event(task, unit): u for u, unit in enumerate(units)}
        latest.pop(None, None)
        stated = (self._stated(task, sentence) for sentence in _SENTENCE.split(words))
        return list(dict.fromkeys(latest[event] for event in stated if event in latest))

    def _stated(self, task: int, sentence: str) -> Any:
        """The event of a sentence of the agent's: as it stands, or with the case that the world writes."""
        sentence = sentence.strip(" ,'\"`*-")
        if not sentence:
            return None
        usual = " ".join(self._names.get(word, word) for word in sentence.lower().split())
        event = self._event(task, f"{sentence}.")
        return event if event is not None else self._event(task, f"{usual[:1].upper()}{usual[1:]}.")

    def _event(self, task: int, text: str) -> Any:
        """The event that a sentence states, None where it is outside the world's grammar."""
        key = task, text
        if key not in self._events:
            if len(self._events) >= _KEPT:
                self._events.clear()
            try:
                self._events[key] = self._worlds[task].parse_unit(text)
            except ValueError:
                self._events[key] = None
        return self._events[key]


def _contained(units: list[str], words: str) -> list[int]:
    """The units that the words contain, in the order in which the words say them; of equal ones the last."""
    said = f" {_plain(words)} "
    places = {text: u for u, unit in enumerate(units) if (text := _plain(unit)) and f" {text} " in said}
    return [u for _, u in sorted((said.index(f" {text} "), u) for text, u in places.items())]


@lru_cache(maxsize=_KEPT)
def _plain(text: str) -> str:
    """Letters and digits alone, lower-cased, single spaces."""
    return _LETTERS.sub(" ", text.lower()).strip()
