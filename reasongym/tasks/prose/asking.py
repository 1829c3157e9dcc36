"""Finding questions in a story that it answers, of one hop and of several."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from reasongym.seeding import Draws
from reasongym.tasks.base import Event, Query
from reasongym.tasks.prose.frames import ENTITY_SLOTS, Givens, Grammar
from reasongym.types import Facts

TRIES = 12

Key = tuple[str, int, Givens]
"""What can be asked: (kind, slot asked, slots given)."""


class Asked(NamedTuple):
    """A question found.

    Attributes:
        query: its hops.
        unit, slot: the event and slot that hold the answer, or where there is none the plausible wrong one.
        form: "stated", or what makes it unanswerable: "swap", "absent" or "premise".
        topic: what kind of question it is ("who", "when", ...).
    """

    query: Query
    unit: int
    slot: int
    form: str
    topic: str


def named(query: Query, value: str) -> bool:
    """Whether a question itself says a value."""
    return any(value == given for _, _, givens in query for _, given in givens)


class Asker:
    """Questions about one story.

    Args:
        far: smallest distance between the units of a question of several hops.
    """

    def __init__(self, grammar: Grammar, events: Sequence[Event], draws: Draws, far: int = 0) -> None:
        self.grammar, self.events, self.draws, self.far = grammar, events, draws, far
        self.facts: Facts = tuple(enumerate(events))
        self._meant: dict[str, list[tuple[int, str, int, Givens]]] | None = None

    def answerable(self, hops: int, *, topic: str | None = None, key: Key | None = None) -> Asked | None:
        """A question of so many hops (on this topic; for this key) that the story answers, or None where none was found."""
        ways = self._ways(topic, key)
        for _ in range(TRIES if ways else 0):
            unit, (kind, slot, given) = self.draws.pick(ways)
            event, state = self.events[unit], self.grammar.frames[self.events[unit][0]].state
            shown = slot if kind == event[0] or state is None else state.value
            query = self.extended(self.query((kind, slot, given), unit), {unit}, hops)
            if query is None:
                continue
            proof = self.grammar.solve(self.facts, query)
            if proof.answer is None or proof.support[-1] != unit or len(proof.support) != len(query):
                continue
            if (
                not named(query, proof.answer)
                and self._spread(proof.support)
                and self._needed(proof.support, query, proof.answer)
            ):
                return Asked(query, unit, shown, "stated", self.grammar.frames[kind].topics[slot])
        return None

    def query(self, key: Key, unit: int) -> Query:
        """The query of one hop for a key, about an event."""
        kind, slot, given = key
        event = self.events[unit]
        if kind != event[0]:  # what the event has left behind
            written = self.grammar.written(event)
            assert written is not None
            return ((kind, slot, ((0, written[1]),)),)
        return ((kind, slot, tuple((i, event[i + 1]) for i in given)),)

    def _ways(self, topic: str | None, key: Key | None) -> list[tuple[int, Key]]:
        """Every event with every question about it, or about what it has left behind, that is wanted."""
        frames, out = self.grammar.frames, []
        left = self.grammar.superseded_by(self.events)
        for unit, event in self.facts:
            state = frames[event[0]].state
            kinds = [event[0]]
            if state is not None and state.value >= 0 and state.name in frames and left[unit] < 0:
                kinds.append(state.name)
            for kind in kinds:
                if key is not None:
                    if kind == key[0]:
                        out.append((unit, key))
                    continue
                topics = frames[kind].topics
                out += [(unit, (kind, *ask)) for ask in frames[kind].asks if topic in (None, topics[ask[0]])]
        return out

    def _needed(self, support: Sequence[int], query: Query, answer: str) -> bool:
        """Whether the answer is lost with any unit of its support, both in the whole story and in the support alone."""
        alone = [fact for fact in self.facts if fact[0] in support]
        return all(
            self.grammar.solve([fact for fact in facts if fact[0] != unit], query).answer != answer
            for facts in (alone, self.facts)
            for unit in support
        )

    def _spread(self, units: Sequence[int]) -> bool:
        return all(abs(a - b) >= self.far for a, b in pairwise(units))

    def extended(self, query: Query, used: set[int], hops: int) -> Query | None:
        """The query with one of its entities meant by a phrase instead of named, as often as it takes."""
        while len(query) < hops:
            kind, slot, givens = query[0]
            types = self.grammar.frames[kind].types
            options = [
                (at, step)
                for at, (i, value) in enumerate(givens)
                if value is not None and types[i] in ENTITY_SLOTS
                for step in self.meant(value)
                if step[0] not in used
            ]
            if not options:
                return None
            at, (source, other, meant, given) = self.draws.pick(options)
            used = used | {source}
            hidden = tuple((i, None if n == at else value) for n, (i, value) in enumerate(givens))
            event = self.events[source]
            first = (other, meant, tuple((i, event[i + 1]) for i in given))
            said = {value for _, value in givens}
            if any(value in said for _, value in first[2]):
                return None
            query = (first, (kind, slot, hidden), *query[1:])
        return query

    def meant(self, value: str) -> Sequence[tuple[int, str, int, Givens]]:
        """The noun phrases that mean a value: (unit, kind, slot, slots given)."""
        if self._meant is None:
            self._meant = defaultdict(list)
            for unit, event in self.facts:
                for slot, given in self.grammar.frames[event[0]].phrases:
                    self._meant[event[slot + 1]].append((unit, event[0], slot, given))
        return self._meant.get(value, ())
